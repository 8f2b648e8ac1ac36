//! A volume in RAM with a volatile cache, that can fail, wait, and lose power.

use std::cell::{Cell, Ref, RefCell};
use std::future::poll_fn;
use std::ops::Deref;
use std::rc::Rc;
use std::task::Poll;

use lunette_backend::{Backend, Discard, Driver, Durability, Extent, Geometry, IoError, IoErrorKind, Result, Space};
use lunette_iobuf::DataBuf;

/// What a discarded range reads as where discarding promises nothing.
pub const GARBAGE: u8 = 0xdb;

/// The volume; clones are hands on the same one.
#[derive(Clone)]
pub struct Ram(Rc<Medium>);

impl Ram {
    pub fn new(size: u64, geometry: Geometry) -> Self {
        Self(Rc::new(Medium::new(size, geometry)))
    }
}

impl Deref for Ram {
    type Target = Medium;

    fn deref(&self) -> &Medium {
        &self.0
    }
}

/// What a volume is made of.
pub struct Medium {
    geometry: Geometry,
    grown: Cell<u64>,
    size: Cell<u64>,
    /// What reads see.
    cached: RefCell<Vec<u8>>,
    /// What survives a power cut.
    durable: RefCell<Vec<u8>>,
    /// Which bytes it keeps.
    mapped: RefCell<Vec<bool>>,
    /// Bytes of an atomic write at most.
    pub atomic: Cell<u64>,
    /// What it says that others have left.
    pub available: Cell<Option<u64>>,
    /// Whether what was read is served from memory.
    pub caches: Cell<bool>,
    /// Operations that succeed before `fail` counts.
    pub fail_after: Cell<usize>,
    /// What the next operations fail with.
    pub fail: Cell<Option<IoErrorKind>>,
    /// The first byte of a block that cannot be read, and how often it cannot.
    pub flaw: Cell<Option<(u64, u32)>>,
    /// Whether a read that fails hands its buffer back.
    pub hands_back: Cell<bool>,
    /// How many times an operation is not ready before it does its work.
    pub delay: Cell<u32>,
    /// Operations so far, by name, with their range.
    pub calls: RefCell<Vec<(&'static str, u64, u64)>>,
}

impl Medium {
    fn new(size: u64, geometry: Geometry) -> Self {
        let bytes = vec![0; usize::try_from(size).unwrap()];
        Self {
            geometry,
            grown: Cell::new(size),
            size: Cell::new(size),
            durable: RefCell::new(bytes.clone()),
            mapped: RefCell::new(vec![false; bytes.len()]),
            atomic: Cell::new(8 * 512),
            available: Cell::new(None),
            caches: Cell::new(true),
            fail_after: Cell::new(0),
            cached: RefCell::new(bytes),
            fail: Cell::new(None),
            flaw: Cell::new(None),
            hands_back: Cell::new(true),
            delay: Cell::new(0),
            calls: RefCell::default(),
        }
    }

    /// Makes it larger; it shows at the next `refresh_size`.
    pub fn grow(&self, size: u64) {
        let len = usize::try_from(size).unwrap();
        self.cached.borrow_mut().resize(len, 0);
        self.durable.borrow_mut().resize(len, 0);
        self.mapped.borrow_mut().resize(len, false);
        self.grown.set(size);
    }

    pub fn cut_power(&self) {
        *self.cached.borrow_mut() = self.durable.borrow().clone();
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.cached.borrow().clone()
    }

    pub fn borrow_bytes(&self) -> Ref<'_, Vec<u8>> {
        self.cached.borrow()
    }

    pub fn count(&self, operation: &str) -> usize {
        self.calls.borrow().iter().filter(|call| call.0 == operation).count()
    }

    async fn enter(&self, operation: &'static str, at: u64, len: u64) -> Result<()> {
        self.calls.borrow_mut().push((operation, at, len));
        let mut left = self.delay.get();
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let Some(kind) = self.fail.get() else { return Ok(()) };
        match self.fail_after.get().checked_sub(1) {
            Some(left) => self.fail_after.set(left),
            None => return Err(kind.into()),
        }
        Ok(())
    }

    /// Where an operation neither waits nor fails.
    fn enter_at_once(&self, operation: &'static str, at: u64, len: u64) -> Option<()> {
        let plain = self.delay.get() == 0 && self.fail.get().is_none() && self.flaw.get().is_none();
        plain.then(|| self.calls.borrow_mut().push((operation, at, len)))
    }

    /// Whether these bytes cannot be read, this time.
    fn meets_flaw(&self, at: u64, len: u64) -> bool {
        let Some((flaw, times)) = self.flaw.get().filter(|(flaw, _)| (at..at + len).contains(flaw)) else {
            return false;
        };
        self.flaw.set((times > 1).then(|| (flaw, times - 1)));
        true
    }

    fn set(&self, at: u64, len: u64, durable: bool, byte: u8) {
        self.put(at, &vec![byte; usize::try_from(len).unwrap()], durable);
    }

    fn keep(&self, at: u64, len: u64, kept: bool) {
        let at = usize::try_from(at).unwrap();
        self.mapped.borrow_mut()[at..at + usize::try_from(len).unwrap()].fill(kept);
    }

    fn put(&self, at: u64, bytes: &[u8], durable: bool) {
        let at = usize::try_from(at).unwrap();
        let range = at..at + bytes.len();
        self.cached.borrow_mut()[range.clone()].copy_from_slice(bytes);
        if durable {
            self.durable.borrow_mut()[range].copy_from_slice(bytes);
        }
    }
}

impl Backend for Ram {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn size(&self) -> u64 {
        self.size.get()
    }

    fn refresh_size(&self) -> Result<u64> {
        self.size.set(self.grown.get());
        Ok(self.size.get())
    }

    async fn read(&self, at: u64, mut buf: DataBuf) -> Result<DataBuf> {
        self.enter("read", at, buf.len() as u64).await?;
        if self.meets_flaw(at, buf.len() as u64) {
            let error = IoError::from(IoErrorKind::MediumRead);
            return Err(if self.hands_back.get() { error.with_buffer(buf) } else { error });
        }
        let from = usize::try_from(at).unwrap();
        buf.copy_in(0, &self.cached.borrow()[from..from + buf.len()]);
        Ok(buf)
    }

    async fn write(&self, at: u64, buf: DataBuf, durability: Durability) -> Result<DataBuf> {
        self.enter("write", at, buf.len() as u64).await?;
        self.put(at, &buf.to_vec(), durability == Durability::Durable);
        self.keep(at, buf.len() as u64, true);
        Ok(buf)
    }

    fn read_at_once(&self, at: u64, buf: &mut DataBuf) -> Option<()> {
        self.enter_at_once("read", at, buf.len() as u64)?;
        let from = usize::try_from(at).unwrap();
        buf.copy_in(0, &self.cached.borrow()[from..from + buf.len()]);
        Some(())
    }

    fn write_at_once(&self, at: u64, buf: &DataBuf, durability: Durability) -> Option<()> {
        self.enter_at_once("write", at, buf.len() as u64)?;
        self.put(at, &buf.to_vec(), durability == Durability::Durable);
        self.keep(at, buf.len() as u64, true);
        Some(())
    }

    async fn flush(&self) -> Result<()> {
        self.enter("flush", 0, 0).await?;
        self.durable.borrow_mut().clone_from(&self.cached.borrow());
        Ok(())
    }

    async fn discard(&self, at: u64, len: u64) -> Result<()> {
        self.enter("discard", at, len).await?;
        self.set(at, len, false, if self.geometry.discard == Discard::Zeroes { 0 } else { GARBAGE });
        self.keep(at, len, self.geometry.discard != Discard::Zeroes);
        Ok(())
    }

    async fn write_zeroes(&self, at: u64, len: u64, may_unmap: bool, durability: Durability) -> Result<()> {
        self.enter(if may_unmap { "unmap_zeroes" } else { "write_zeroes" }, at, len).await?;
        self.set(at, len, durability == Durability::Durable, 0);
        self.keep(at, len, !may_unmap);
        Ok(())
    }

    fn atomic_limit(&self) -> u64 {
        self.atomic.get()
    }

    async fn write_atomic(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        self.enter("write_atomic", at, buf.len() as u64).await?;
        self.put(at, &buf.to_vec(), true);
        self.keep(at, buf.len() as u64, true);
        Ok(buf)
    }

    async fn extent(&self, at: u64, len: u64) -> Result<Extent> {
        self.enter("extent", at, len).await?;
        let (from, mapped) = (usize::try_from(at).unwrap(), self.mapped.borrow());
        let like = mapped[from..from + usize::try_from(len).unwrap()].iter().take_while(|kept| **kept == mapped[from]);
        Ok(Extent { len: like.count() as u64, mapped: mapped[from] })
    }

    fn space(&self) -> Option<Space> {
        let used = self.mapped.borrow().iter().filter(|kept| **kept).count() as u64;
        self.available.get().map(|available| Space { used, available })
    }

    fn caches_reads(&self) -> bool {
        self.caches.get()
    }

    fn driver(&self) -> Option<&dyn Driver> {
        None
    }
}
