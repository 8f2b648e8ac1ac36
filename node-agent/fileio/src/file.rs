//! One open file and the operations on it: the choice between inline and queued, and `O_DIRECT`'s
//! alignment, are made here; everything slow is the queue's.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::sync::Arc;

use lunette_backend::{Driver, Durability, Extent, IoErrorKind, Result, Space};
use lunette_iobuf::DataBuf;
use nix::errno::Errno;
use nix::sys::statvfs::fstatvfs;
use thiserror::Error;

use crate::extents;
use crate::layout::{Layout, set_direct};
use crate::policy::{Attempt, Policy};
use crate::queue::Queue;
use crate::request::{Kind, Outcome, Request};
use crate::syscall;

/// Zeroes written at once where the file system has no call for them.
const ZERO_CHUNK: usize = 1 << 20;

const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
const ZERO: i32 = libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE;

/// What runs operations that would block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// io_uring, or threads where it is forbidden.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// Threads.
    Threads,
}

/// How bytes travel between the volume and the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// `O_DIRECT` where the file takes it in blocks of the volume and is not in memory anyway.
    #[default]
    Auto,
    /// `O_DIRECT` or an error.
    Direct,
    /// The page cache.
    Buffered,
}

/// How to use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Who waits.
    pub engine: Engine,
    /// Through the page cache or not.
    pub io: IoMode,
    /// Bytes; every offset and length will be a multiple of it.
    pub block_size: u32,
}

/// Why a file cannot be used as asked.
#[derive(Debug, Error)]
pub enum SetupError {
    /// `O_DIRECT` was demanded.
    #[error("the file system takes no O_DIRECT on it; use buffered I/O")]
    NoDirect,
    /// `O_DIRECT` was demanded for blocks that it cannot address.
    #[error(
        "the file system takes O_DIRECT only in multiples of {needed} bytes and the volume's blocks have \
         {block_size}; use buffered I/O, or volumes with blocks of {needed} bytes"
    )]
    SmallBlocks {
        /// Bytes of the volume's block.
        block_size: u32,
        /// Bytes that `O_DIRECT` asks for.
        needed: u32,
    },
    /// The system said no.
    #[error("it could not be set up for I/O")]
    System(#[from] io::Error),
}

/// One open file on the thread of its LUN.
pub struct FileIo {
    // Dropped first: it waits for what is in flight.
    queue: Queue,
    file: Arc<File>,
    layout: Layout,
    policy: Rc<Policy>,
    /// Bytes of `O_DIRECT`'s alignment; `None` through the page cache.
    direct: Option<usize>,
    can_punch: Cell<bool>,
    can_zero: Cell<bool>,
    /// A single-issuer ring belongs to one thread.
    one_thread: PhantomData<*const ()>,
}

impl FileIo {
    /// Takes over an open file or block device. No engine is started yet.
    ///
    /// # Errors
    /// When `O_DIRECT` was demanded and cannot be had, or the system refuses a call.
    pub fn new(file: File, options: FileOptions) -> std::result::Result<Self, SetupError> {
        let layout = Layout::of(&file)?;
        let direct = direct_alignment(&layout, options)?;
        set_direct(&file, direct.is_some())?;
        let file = Arc::new(file);
        let policy = Rc::new(Policy::new(direct.is_none(), &layout));
        Ok(Self {
            queue: Queue::new(Arc::clone(&file), options.engine, Rc::clone(&policy))?,
            file,
            layout,
            policy,
            direct,
            can_punch: Cell::new(true),
            can_zero: Cell::new(true),
            one_thread: PhantomData,
        })
    }

    /// The file itself, for questions about it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What the kernel said of it.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The file's space, and what its file system has left for users.
    ///
    /// # Errors
    /// What fstat(2) or fstatvfs(2) said.
    pub fn space(&self) -> io::Result<Space> {
        let of_the_system = fstatvfs(&self.file)?;
        let available = of_the_system.blocks_available().saturating_mul(of_the_system.fragment_size());
        Ok(Space { used: self.file.metadata()?.blocks().saturating_mul(512), available })
    }

    /// Whether the page cache is passed by.
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// What the LUN's thread must run.
    pub fn driver(&self) -> &dyn Driver {
        &self.queue
    }

    /// Fills `buf` from byte `at` if that is known to be done inline, and is. `None`: [`FileIo::read`] is to be asked.
    pub fn read_at_once(&self, at: u64, buf: &mut DataBuf) -> Option<()> {
        let attempt = self.policy.read_at_once();
        let outcome = self.attempt_at_once(attempt, Kind::Read, at, buf)?;
        if outcome == Ok(buf.len()) {
            return Some(());
        }
        self.policy.refused(attempt, Kind::Read);
        None
    }

    /// Writes `buf` at byte `at` if that is known to be done inline, and is. `None`: [`FileIo::write`] is to be asked.
    pub fn write_at_once(&self, at: u64, buf: &DataBuf, durability: Durability) -> Option<()> {
        let durable = durability == Durability::Durable;
        let attempt = self.policy.write(at, buf.len(), durable);
        let outcome = self.attempt_at_once(attempt, Kind::Write { durable }, at, buf)?;
        (outcome == Ok(buf.len())).then_some(())
    }

    /// Fills `buf` from byte `at`.
    ///
    /// # Errors
    /// `MediumRead` also where the file ends before the buffer is full; else by errno.
    pub async fn read(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        if !self.takes(&buf) {
            return self.read_bounced(at, buf).await;
        }
        let attempt = self.policy.read();
        let outcome = self.attempt(attempt, Kind::Read, at, &buf);
        // The whole of it at once, as a rule: nothing else is set up for that.
        if outcome == Ok(buf.len()) {
            self.policy.read_hit();
            return Ok(buf);
        }
        let mut request = Request::read(at, buf);
        if let Some(result) = self.go_on(&mut request, attempt, outcome) {
            return request.handed_back(result);
        }
        self.queue.run(request).await
    }

    /// Writes `buf` at byte `at`.
    ///
    /// # Errors
    /// By errno.
    pub async fn write(&self, at: u64, buf: DataBuf, durability: Durability) -> Result<DataBuf> {
        let durable = durability == Durability::Durable;
        if !self.takes(&buf) {
            let bounce = bounced(&buf);
            self.queue.run(Request::write(at, bounce, durable)).await?;
            return Ok(buf);
        }
        let (attempt, outcome) = self.attempt_write(at, &buf, durable);
        if outcome == Ok(buf.len()) {
            return Ok(buf);
        }
        let mut request = Request::write(at, buf, durable);
        if let Some(result) = self.go_on(&mut request, attempt, outcome) {
            return request.handed_back(result);
        }
        self.queue.run(request).await
    }

    /// Makes everything that was written durable (fdatasync).
    ///
    /// # Errors
    /// By errno. The kernel reports a lost write once, to the next flush.
    pub async fn flush(&self) -> Result<()> {
        let mut request = Request::sync();
        let attempt = self.policy.sync();
        if attempt == Attempt::Plain {
            let outcome = self.run(&request, attempt);
            if let Some(result) = self.go_on(&mut request, attempt, outcome) {
                return result;
            }
        }
        self.queue.run(request).await.map(drop)
    }

    /// Gives the space of `len` bytes at `at` back; they read as zeroes.
    ///
    /// # Errors
    /// `Unsupported` where the file system has no holes; else by errno.
    pub async fn punch_hole(&self, at: u64, len: u64) -> Result<()> {
        if !self.can_punch.get() {
            return Err(IoErrorKind::Unsupported.into());
        }
        let result = self.queue.run(Request::allocate(PUNCH, at, len)).await;
        learn(&self.can_punch, result)
    }

    /// Makes `len` bytes at `at` read as zeroes by the cheapest way there is; only with `may_unmap` is
    /// their space given back.
    ///
    /// # Errors
    /// By errno.
    pub async fn write_zeroes(&self, at: u64, len: u64, may_unmap: bool, durability: Durability) -> Result<()> {
        if !self.zero_by_allocation(at, len, may_unmap).await? {
            return self.write_zero_chunks(at, len, durability).await;
        }
        if durability == Durability::Durable { self.flush().await } else { Ok(()) }
    }

    /// Whether holes can be punched, asked without changing a byte: the kernel is told to punch behind
    /// the end of the file.
    pub fn probe_punch_hole(&self, size: u64) -> bool {
        let request = Request::allocate(PUNCH, size, 4096);
        let can = !matches!(syscall::run(self.file.as_fd(), &request, 0), Err(Errno::EOPNOTSUPP | Errno::ENOSYS));
        self.can_punch.set(can);
        can
    }

    /// Whether the bytes from `at` are data or a hole, and how many of the following `len` are like them.
    ///
    /// # Errors
    /// By errno.
    pub fn extent(&self, at: u64, len: u64) -> Result<Extent> {
        extents::extent(&self.file, at, len)
    }

    /// Whether memory is aligned as the file wants it.
    fn takes(&self, buf: &DataBuf) -> bool {
        self.direct.is_none_or(|align| buf.is_aligned(align))
    }

    /// The first transfer of an operation, if it is to be tried inline; else as if it had refused.
    #[inline]
    fn attempt(&self, attempt: Attempt, kind: Kind, at: u64, buf: &DataBuf) -> Outcome {
        let transfer = || syscall::transfer(self.file.as_fd(), kind, at, buf, 0, attempt.flags());
        match attempt {
            Attempt::Queue => Err(Errno::EAGAIN),
            Attempt::NoWait | Attempt::Plain => transfer(),
            Attempt::Timed => self.policy.timed(transfer),
        }
    }

    /// The same, where nothing is to be tried unless it may end at once.
    #[inline]
    fn attempt_at_once(&self, attempt: Attempt, kind: Kind, at: u64, buf: &DataBuf) -> Option<Outcome> {
        (attempt != Attempt::Queue && self.takes(buf)).then(|| self.attempt(attempt, kind, at, buf))
    }

    fn attempt_write(&self, at: u64, buf: &DataBuf, durable: bool) -> (Attempt, Outcome) {
        let kind = Kind::Write { durable };
        let attempt = self.policy.write(at, buf.len(), durable);
        let outcome = self.attempt(attempt, kind, at, buf);
        if attempt != Attempt::NoWait || outcome != Err(Errno::EOPNOTSUPP) {
            return (attempt, outcome);
        }
        // Once per file: there is another way without the flag.
        self.policy.no_nowait(kind);
        self.attempt_write(at, buf, durable)
    }

    fn run(&self, request: &Request, attempt: Attempt) -> Outcome {
        syscall::run(self.file.as_fd(), request, attempt.flags())
    }

    /// Takes an operation further inline after its first transfer; `None` leaves the rest to the queue.
    fn go_on(&self, request: &mut Request, attempt: Attempt, first: Outcome) -> Option<Result<()>> {
        let mut outcome = first;
        loop {
            match outcome {
                Err(Errno::EAGAIN) => {
                    self.policy.refused(attempt, request.kind);
                    return None;
                }
                Err(Errno::EOPNOTSUPP) if attempt == Attempt::NoWait => {
                    self.policy.no_nowait(request.kind);
                    return None;
                }
                outcome => {
                    if let Some(result) = request.settle(outcome) {
                        return Some(result);
                    }
                }
            }
            outcome = self.run(request, attempt);
        }
    }

    async fn read_bounced(&self, at: u64, mut buf: DataBuf) -> Result<DataBuf> {
        match self.queue.run(Request::read(at, DataBuf::zeroed(buf.len()))).await {
            Ok(bounce) => {
                copy(&bounce, &mut buf);
                Ok(buf)
            }
            Err(error) => Err(error.with_buffer(buf)),
        }
    }

    /// Whether the file system zeroed the range without data being written.
    async fn zero_by_allocation(&self, at: u64, len: u64, may_unmap: bool) -> Result<bool> {
        let ways = [(PUNCH, &self.can_punch, may_unmap), (ZERO, &self.can_zero, true)];
        for (mode, can, wanted) in ways {
            if !wanted || !can.get() {
                continue;
            }
            let result = self.queue.run(Request::allocate(mode, at, len)).await;
            match learn(can, result) {
                Err(error) if error.kind == IoErrorKind::Unsupported => {}
                result => return result.map(|()| true),
            }
        }
        Ok(false)
    }

    async fn write_zero_chunks(&self, at: u64, len: u64, durability: Durability) -> Result<()> {
        let end = at + len;
        let (mut at, mut zeroes) = (at, DataBuf::zeroed(usize::try_from(len).unwrap_or(ZERO_CHUNK).min(ZERO_CHUNK)));
        while at < end {
            zeroes.truncate(usize::try_from(end - at).unwrap_or(ZERO_CHUNK));
            let written = zeroes.len() as u64;
            zeroes = self.write(at, zeroes, durability).await?;
            at += written;
        }
        Ok(())
    }
}

/// Remembers that the file system cannot do something.
fn learn(can: &Cell<bool>, result: Result<DataBuf>) -> Result<()> {
    if result.as_ref().is_err_and(|error| error.kind == IoErrorKind::Unsupported) {
        can.set(false);
    }
    result.map(drop)
}

/// Bytes of alignment if the file is to be used with `O_DIRECT`.
fn direct_alignment(layout: &Layout, options: FileOptions) -> std::result::Result<Option<usize>, SetupError> {
    let block_size = options.block_size;
    let fitting = layout.direct.filter(|needed| block_size.is_multiple_of(*needed));
    match (options.io, fitting, layout.direct) {
        (IoMode::Buffered, ..) => Ok(None),
        (IoMode::Auto, ..) if layout.resident => Ok(None),
        (_, Some(align), _) => Ok(Some(align as usize)),
        (IoMode::Auto, None, _) => Ok(None),
        (IoMode::Direct, None, Some(needed)) => Err(SetupError::SmallBlocks { block_size, needed }),
        (IoMode::Direct, None, None) => Err(SetupError::NoDirect),
    }
}

/// A copy of `buf` in aligned memory.
fn bounced(buf: &DataBuf) -> DataBuf {
    let mut bounce = DataBuf::zeroed(buf.len());
    copy(buf, &mut bounce);
    bounce
}

fn copy(from: &DataBuf, to: &mut DataBuf) {
    let mut chunk = [0; 4096];
    for at in (0..from.len()).step_by(chunk.len()) {
        let n = from.copy_out(at, &mut chunk);
        to.copy_in(at, &chunk[..n]);
    }
}

#[cfg(test)]
mod tests;
