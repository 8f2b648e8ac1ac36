//! What storage must be able to do, in its own nouns: bytes, durability, volumes.
//!
//! Two sides. A [`Backend`] is one open volume on the thread of its LUN: it moves bytes, completes out
//! of order, and is never shared. A [`Pool`] is where volumes live: it makes, grows and removes them
//! from the agent's control threads. Neither knows SCSI or TCMU. [`Disk`] is what callers of a backend
//! hold: it checks every range once, so that no backend has to. The conformance suite (feature `conformance`) is what every
//! backend must pass.

#![forbid(unsafe_code)]

mod block;
mod changes;
#[cfg(feature = "conformance")]
pub mod conformance;
mod disk;
mod error;
mod pool;

pub use changes::Changes;
pub use disk::Disk;
pub use error::{IoError, IoErrorKind, PoolError, PoolErrorKind};
pub use pool::{
    Capacity, Copied, CopySpec, Created, Draft, Import, ImportSpec, OpenOptions, Pool, Usage, VolumeId, VolumeSpec,
};

use std::future::Future;
use std::os::fd::BorrowedFd;

use lunette_iobuf::DataBuf;

/// Result of an operation on an open volume.
pub type Result<T> = std::result::Result<T, IoError>;

/// When a write may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As soon as later reads see it; a flush makes it durable.
    Volatile,
    /// Only when it survives a power cut (SBC's FUA, or a LUN without a write cache).
    Durable,
}

/// What a discarded range reads as afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Zeroes, always (SBC's LBPRZ = 1).
    Zeroes,
    /// Anything that was there or zeroes.
    Unspecified,
    /// The volume cannot discard: the call fails with `Unsupported`.
    Unsupported,
}

/// Facts of an open volume that do not change while it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes; every offset and length given to the backend is a multiple of it (512 or 4096).
    pub block_size: u32,
    /// Bytes of the storage's own allocation or physical block; at least `block_size`.
    pub physical_block_size: u32,
    /// Bytes; the granularity at which discarding frees space. Zero where it is unknown.
    pub discard_granularity: u32,
    /// Bytes of one operation that suits the storage best. Zero where it is unknown.
    pub preferred_io: u32,
    /// Whether writing is refused.
    pub read_only: bool,
    /// Whether acknowledged writes may be lost until they are flushed.
    pub volatile_cache: bool,
    /// What discarding does.
    pub discard: Discard,
    /// Whether the storage allocates space only when it is written (thin provisioning).
    pub thin: bool,
}

impl Geometry {
    /// Of storage with a write cache that can do no more than read and write blocks of `block_size` bytes. Which of these facts are
    /// otherwise is for the caller to say.
    #[must_use]
    pub const fn plain(block_size: u32) -> Self {
        Self {
            block_size,
            physical_block_size: block_size,
            discard_granularity: 0,
            preferred_io: 0,
            read_only: false,
            volatile_cache: true,
            discard: Discard::Unsupported,
            thin: false,
        }
    }
}

/// A run of bytes that are all in the storage, or all not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub len: u64,
    /// Whether the storage keeps them. What it does not keep reads as zeroes.
    pub mapped: bool,
}

/// Space of an open volume, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// What it occupies.
    pub used: u64,
    /// What it could still get; others may get it first.
    pub available: u64,
}

/// One open volume, on the thread of its LUN.
///
/// # Contract
/// - Offsets and lengths are in bytes, inside the volume and whole blocks: [`Disk`] has checked them.
///   A buffer may still be cut anywhere (segments of any address and length).
/// - An operation keeps its buffer until the storage has stopped touching it, even if its future is
///   dropped. Dropping the backend waits for that too.
/// - A read fills the whole buffer or fails; a short transfer is the backend's to finish.
/// - Operations may complete in any order; a flush covers every write that was acknowledged before it
///   was first polled.
/// - No number makes it panic. Nothing blocks for long on the calling thread: what may block goes to
///   the [`Driver`], to a thread or to a library that calls back.
#[expect(async_fn_in_trait, reason = "a LUN lives on one thread: its futures are not Send")]
pub trait Backend: 'static {
    /// Facts that stay the same while it is open.
    fn geometry(&self) -> &Geometry;

    /// Size in bytes; it may grow.
    fn size(&self) -> u64;

    /// Looks up the size anew, after the pool grew the volume.
    ///
    /// # Errors
    /// When the storage cannot be asked; the old size stays in force.
    fn refresh_size(&self) -> Result<u64>;

    /// Fills `buf` from byte `at`, and hands it back; with an error if it can ([`IoError::with_buffer`]).
    async fn read(&self, at: u64, buf: DataBuf) -> Result<DataBuf>;

    /// Writes `buf` at byte `at`, and hands it back.
    async fn write(&self, at: u64, buf: DataBuf, durability: Durability) -> Result<DataBuf>;

    /// Fills `buf` from byte `at` if that takes no waiting. `None` where it does, or where anything is wrong: some of the
    /// buffer may be filled then, and [`Backend::read`] is asked.
    fn read_at_once(&self, _at: u64, _buf: &mut DataBuf) -> Option<()> {
        None
    }

    /// Writes `buf` at byte `at` if that takes no waiting. `None` where it does, or where anything is wrong: some of it may be
    /// written then, and [`Backend::write`] is asked for all of it.
    fn write_at_once(&self, _at: u64, _buf: &DataBuf, _durability: Durability) -> Option<()> {
        None
    }

    /// Makes every acknowledged write durable.
    async fn flush(&self) -> Result<()>;

    /// Gives `len` bytes at `at` back to the storage.
    async fn discard(&self, at: u64, len: u64) -> Result<()>;

    /// Makes `len` bytes at `at` read as zeroes, by the cheapest way there is; `may_unmap` allows it to
    /// give their space back (SBC's UNMAP bit).
    async fn write_zeroes(&self, at: u64, len: u64, may_unmap: bool, durability: Durability) -> Result<()>;

    /// Bytes that one [`write_atomic`](Backend::write_atomic) takes at most; zero where there is no such write.
    fn atomic_limit(&self) -> u64 {
        0
    }

    /// Writes `buf` at byte `at` so that whatever happens meanwhile, a power cut too, all of it is there
    /// afterwards or none; durable when it is done. The caller keeps other operations off those bytes.
    async fn write_atomic(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        let _ = (at, buf);
        Err(IoErrorKind::Unsupported.into())
    }

    /// Whether the bytes from `at` are kept, and how many of the following `len` (at least one byte) are like
    /// them. An answer may end early; storage that cannot tell says that it keeps them all.
    async fn extent(&self, at: u64, len: u64) -> Result<Extent> {
        let _ = at;
        Ok(Extent { len, mapped: true })
    }

    /// The volume's space, as the storage counts it now; `None` where that cannot be told at once.
    fn space(&self) -> Option<Space> {
        None
    }

    /// Whether bytes that were read once are then served from memory, as long as there is room.
    fn caches_reads(&self) -> bool {
        false
    }

    /// What the LUN's thread must run for it, if its operations complete on that thread.
    fn driver(&self) -> Option<&dyn Driver>;
}

/// A completion queue that lives on the LUN's thread, such as an io_uring.
///
/// The thread calls [`submit`](Driver::submit) after it polled its commands, sleeps on
/// [`event_fd`](Driver::event_fd) along with the TCMU device, and calls [`reap`](Driver::reap) when it
/// wakes; reaping wakes the futures that waited.
pub trait Driver {
    /// Hands all queued operations to the kernel at once.
    fn submit(&self);

    /// Takes finished operations and wakes their futures; returns how many there were.
    fn reap(&self) -> usize;

    /// Operations that are queued or running.
    fn in_flight(&self) -> usize;

    /// From now on, operations in flight keep the file of this descriptor open, even if the process dies before they
    /// have ended; `None` ends that. Whether it is so.
    fn hold_open(&self, file: Option<BorrowedFd<'_>>) -> bool {
        file.is_none()
    }

    /// What carries operations out, in one word for metrics; nothing while none has had to be queued.
    fn engine(&self) -> Option<&'static str> {
        None
    }

    /// Readable when there is something to reap. It may be another descriptor from one call to the next
    /// (a queue that exists only once it is needed), so it is asked for before each sleep.
    fn event_fd(&self) -> BorrowedFd<'_>;
}

/// Drives one future to its end on this thread, with the backend's driver: for tests and for tools.
///
/// # Panics
/// Never by itself; a panic of the future passes through.
pub fn block_on<B: Backend, F: Future>(backend: &B, future: F) -> F::Output {
    block::block_on(backend.driver(), future)
}

/// The same for a driver without a backend around it.
///
/// # Panics
/// As [`block_on`].
pub fn drive<F: Future>(driver: &dyn Driver, future: F) -> F::Output {
    block::block_on(Some(driver), future)
}
