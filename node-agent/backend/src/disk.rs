//! What callers of a backend hold: every range is checked here, once, before storage sees it.

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use lunette_iobuf::DataBuf;

use crate::{Backend, Changes, Discard, Driver, Durability, Extent, Geometry, IoErrorKind, Result, Space};

/// A backend behind range, alignment and permission checks.
pub struct Disk<B> {
    backend: B,
    /// Whether anybody asks what is written to.
    is_watched: Cell<bool>,
    watchers: RefCell<Vec<Weak<Changes>>>,
}

/// Bytes that are being written; they are noted when that is over, however it ends.
struct Writing<'a, B: Backend> {
    disk: &'a Disk<B>,
    at: u64,
    len: u64,
}

impl<B: Backend> Drop for Writing<'_, B> {
    fn drop(&mut self) {
        if self.disk.is_watched.get() {
            self.disk.note(self.at, self.len);
        }
    }
}

impl<B: Backend> Disk<B> {
    /// Takes over an open backend.
    pub fn new(backend: B) -> Self {
        Self { backend, is_watched: Cell::new(false), watchers: RefCell::default() }
    }

    /// Facts that stay the same while it is open.
    pub fn geometry(&self) -> &Geometry {
        self.backend.geometry()
    }

    /// Whole blocks, in bytes.
    pub fn size(&self) -> u64 {
        let block = u64::from(self.geometry().block_size);
        self.backend.size() / block * block
    }

    /// Looks up the size anew, after the pool grew the volume.
    ///
    /// # Errors
    /// As [`Backend::refresh_size`].
    pub fn refresh_size(&self) -> Result<u64> {
        self.backend.refresh_size()
    }

    /// What the LUN's thread must run for it.
    pub fn driver(&self) -> Option<&dyn Driver> {
        self.backend.driver()
    }

    /// Notes what is written from now on, for as long as anybody else has these changes.
    pub fn watch(&self, changes: Weak<Changes>) {
        self.watchers.borrow_mut().push(changes);
        self.is_watched.set(true);
    }

    #[cold]
    fn note(&self, at: u64, len: u64) {
        let mut watchers = self.watchers.borrow_mut();
        watchers.retain(|changes| changes.upgrade().map(|changes| changes.note(at, len)).is_some());
        self.is_watched.set(!watchers.is_empty());
    }

    /// Fills `buf` from byte `at`.
    ///
    /// # Errors
    /// `OutOfRange`, or what the storage said.
    pub async fn read(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        self.check(at, buf.len() as u64)?;
        if buf.is_empty() { Ok(buf) } else { self.backend.read(at, buf).await }
    }

    /// Writes `buf` at byte `at`.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, or what the storage said.
    pub async fn write(&self, at: u64, buf: DataBuf, durability: Durability) -> Result<DataBuf> {
        let _writing = self.check_write(at, buf.len() as u64)?;
        if buf.is_empty() { Ok(buf) } else { self.backend.write(at, buf, durability).await }
    }

    /// Fills `buf` from byte `at` if that takes no waiting and goes well; else [`Disk::read`] is to be asked.
    pub fn read_at_once(&self, at: u64, buf: &mut DataBuf) -> Option<()> {
        self.check(at, buf.len() as u64).ok()?;
        if buf.is_empty() { Some(()) } else { self.backend.read_at_once(at, buf) }
    }

    /// Writes `buf` at byte `at` if that takes no waiting and goes well; else [`Disk::write`] is to be asked for all of it.
    pub fn write_at_once(&self, at: u64, buf: &DataBuf, durability: Durability) -> Option<()> {
        let _writing = self.check_write(at, buf.len() as u64).ok()?;
        if buf.is_empty() { Some(()) } else { self.backend.write_at_once(at, buf, durability) }
    }

    /// Bytes that one atomic write takes at most, in whole blocks; zero where there is no such write.
    pub fn atomic_limit(&self) -> u64 {
        let block = u64::from(self.geometry().block_size);
        if self.geometry().read_only { 0 } else { self.backend.atomic_limit() / block * block }
    }

    /// Writes `buf` at byte `at` as a whole or not at all, and durably.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, `Unsupported` beyond the limit, or what the storage said.
    pub async fn write_atomic(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        let _writing = self.check_write(at, buf.len() as u64)?;
        if buf.is_empty() {
            return Ok(buf);
        }
        if buf.len() as u64 > self.atomic_limit() {
            return Err(IoErrorKind::Unsupported.into());
        }
        self.backend.write_atomic(at, buf).await
    }

    /// Makes every acknowledged write durable.
    ///
    /// # Errors
    /// What the storage said.
    pub async fn flush(&self) -> Result<()> {
        self.backend.flush().await
    }

    /// Gives `len` bytes at `at` back to the storage.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, `Unsupported`, or what the storage said.
    pub async fn discard(&self, at: u64, len: u64) -> Result<()> {
        let _writing = self.check_write(at, len)?;
        if self.geometry().discard == Discard::Unsupported {
            return Err(IoErrorKind::Unsupported.into());
        }
        if len == 0 { Ok(()) } else { self.backend.discard(at, len).await }
    }

    /// Makes `len` bytes at `at` read as zeroes.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`, or what the storage said.
    pub async fn write_zeroes(&self, at: u64, len: u64, may_unmap: bool, durability: Durability) -> Result<()> {
        let _writing = self.check_write(at, len)?;
        if len == 0 { Ok(()) } else { self.backend.write_zeroes(at, len, may_unmap, durability).await }
    }

    /// Whether the blocks from byte `at` are kept by the storage, and how many of the following `len` bytes are
    /// like them; whole blocks, at least one unless `len` is zero. A block that is kept in part is kept.
    ///
    /// # Errors
    /// `OutOfRange`, or what the storage said.
    pub async fn extent(&self, at: u64, len: u64) -> Result<Extent> {
        self.check(at, len)?;
        if len == 0 {
            return Ok(Extent { len, mapped: true });
        }
        let block = u64::from(self.geometry().block_size);
        let found = self.backend.extent(at, len).await?;
        let holes = found.len / block * block;
        if !found.mapped && holes > 0 {
            return Ok(Extent { len: holes.min(len), mapped: false });
        }
        let kept = if found.mapped { found.len } else { block };
        Ok(Extent { len: kept.max(1).div_ceil(block).saturating_mul(block).min(len), mapped: true })
    }

    /// The volume's space, where the storage can tell.
    pub fn space(&self) -> Option<Space> {
        self.backend.space()
    }

    /// Whether bytes that were read once are then served from memory.
    pub fn caches_reads(&self) -> bool {
        self.backend.caches_reads()
    }

    fn check_write(&self, at: u64, len: u64) -> Result<Writing<'_, B>> {
        if self.geometry().read_only {
            return Err(IoErrorKind::ReadOnly.into());
        }
        self.check(at, len)?;
        Ok(Writing { disk: self, at, len })
    }

    fn check(&self, at: u64, len: u64) -> Result<()> {
        let block = u64::from(self.geometry().block_size);
        let whole = at.is_multiple_of(block) && len.is_multiple_of(block);
        let inside = at.checked_add(len).is_some_and(|end| end <= self.backend.size());
        if whole && inside { Ok(()) } else { Err(IoErrorKind::OutOfRange.into()) }
    }
}
