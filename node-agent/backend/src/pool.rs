//! Where volumes live: the control side of storage, called from the agent's control threads.
//!
//! Every call is idempotent and crash-safe: repeated after a crash at any point it ends in the same
//! state. Calls may block; callers give them a thread and a deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use crate::{Backend, PoolError, PoolErrorKind};

/// Names one volume in its pool: the UID of its LUN (lower-case letters, digits and dashes only, at
/// most 64 bytes), so that no name that a user chose ever becomes a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId(String);

impl VolumeId {
    /// Takes a UID that is safe as a file name, an object key and an image name.
    #[must_use]
    pub fn parse(uid: &str) -> Option<Self> {
        let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=64).contains(&uid.len()) && !uid.starts_with('-');
        (fits && uid.bytes().all(safe)).then(|| Self(uid.to_owned()))
    }

    /// The UID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a volume is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Bytes; a multiple of `block_size`.
    pub size: u64,
    /// Bytes of a logical block: 512 or 4096.
    pub block_size: u32,
    /// `namespace/name` of the LUN, kept beside the data for people who look into a pool.
    pub owner: String,
}

/// How a volume is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Bytes of a logical block: 512 or 4096.
    pub block_size: u32,
    /// Whether writes are refused.
    pub read_only: bool,
    /// Whether a write may be acknowledged before it is durable.
    pub write_cache: bool,
}

/// Space of a pool, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// All there is.
    pub total: u64,
    /// What is free now.
    pub available: u64,
    /// The largest volume that the storage can hold at all.
    pub max_volume: u64,
}

/// Space of a volume, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the LUN shows.
    pub size: u64,
    /// What it occupies in the pool now.
    pub allocated: u64,
    /// When its description was last written: of a snapshot, when it was taken.
    pub described: Option<SystemTime>,
}

/// What a copy of a volume is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySpec {
    /// The volume whose bytes it gets: one that a LUN has, or a snapshot, which is a volume that no LUN has.
    pub source: VolumeId,
    /// Bytes: at least those of the source. `None`: as many as the source has at that instant.
    pub size: Option<u64>,
    /// `namespace/name` of the LUN or snapshot that it is for, as in [`VolumeSpec::owner`].
    pub owner: String,
}

/// A copy that is prepared, and is no volume yet. Dropped before it is kept, it leaves nothing behind.
pub trait Draft: Send {
    /// Bytes of the source now.
    ///
    /// # Errors
    /// Storage's.
    fn source_size(&self) -> Result<u64, PoolError>;

    /// Brings to storage what was written to the source, so that [`Draft::take`] finds little to do. It blocks for as long as
    /// storage takes.
    ///
    /// # Errors
    /// Storage's.
    fn settle(&mut self) -> Result<(), PoolError>;

    /// Takes these bytes of the source as they are now, and copies none: that takes as long as the file system has metadata
    /// of them to change. What is written to them later has to be taken again, so whoever wants the bytes of one instant
    /// of a LUN takes the last of them while nobody writes. Ranges ascend, begin at multiples of 16 KiB, and end there or
    /// at the source's end.
    ///
    /// # Errors
    /// Why they could not be taken: the draft is of no use any more.
    fn take(&mut self, ranges: &[Range<u64>]) -> Result<(), PoolError>;

    /// Makes a volume of what was taken, durably.
    ///
    /// # Errors
    /// `Mismatch` where the source has more bytes than were asked for; or why it is not durable.
    fn keep(self: Box<Self>) -> Result<(), PoolError>;
}

/// What a volume that is made from an image is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSpec {
    /// The image's name among those of the pool.
    pub image: String,
    /// The volume; beyond the image's end it reads as zeroes.
    pub volume: VolumeSpec,
}

/// How far an import is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Those of the image that are copied.
    pub done: u64,
    /// Those that it has.
    pub total: u64,
}

/// A volume that is being made from an image, and is none yet. Dropped before it is kept, it leaves nothing behind.
pub trait Import: Send {
    /// Copies another part, of a size that takes seconds at most.
    ///
    /// # Errors
    /// Why it could not be copied.
    fn copy_more(&mut self) -> Result<Copied, PoolError>;

    /// Makes a volume of what was copied, durably.
    ///
    /// # Errors
    /// `InUse` where the image was changed meanwhile; or why it is not durable.
    fn keep(self: Box<Self>) -> Result<(), PoolError>;
}

/// What `create` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The volume is new and reads as zeroes.
    New,
    /// The volume was there already, of at most the size asked for; its data are untouched.
    Found,
}

/// Where volumes live.
pub trait Pool: Send + Sync + 'static {
    /// An open volume of this pool.
    type Backend: Backend;

    /// Whether the pool can be used now, and its space.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn check(&self) -> Result<Capacity, PoolError>;

    /// Makes a volume durable and empty, or finds it.
    ///
    /// # Errors
    /// `Invalid` for a size or a block size that no volume has, `TooLarge` or `NoSpace` for one that this
    /// pool cannot hold, `Mismatch` where one of that name has another block size or is larger than asked
    /// for. Nothing is left behind.
    fn create(&self, id: &VolumeId, spec: &VolumeSpec) -> Result<Created, PoolError>;

    /// Grows a volume to `size` bytes; a volume that has it already is left alone.
    ///
    /// # Errors
    /// `Mismatch` where it is larger: nothing ever shrinks. `NotFound`; else as [`create`](Pool::create).
    fn grow(&self, id: &VolumeId, size: u64) -> Result<(), PoolError>;

    /// Removes a volume and all of its data; one that is not there is removed already.
    ///
    /// # Errors
    /// `InUse` where someone holds it.
    fn remove(&self, id: &VolumeId) -> Result<(), PoolError>;

    /// Whether volumes can be copied without copying their data, found out by doing it with an empty one.
    ///
    /// # Errors
    /// Why that cannot be found out.
    fn can_copy(&self) -> Result<bool, PoolError> {
        Ok(false)
    }

    /// Prepares volume `id` as a copy of another; `None`: there is a volume of that name already, and it is left as it
    /// is. What an earlier attempt for `id` left is removed.
    ///
    /// # Errors
    /// `Unsupported` where the storage cannot copy volumes in no time; `NotFound` where there is no source.
    fn draft(&self, id: &VolumeId, copy: &CopySpec) -> Result<Option<Box<dyn Draft>>, PoolError> {
        let _ = (id, copy);
        let text = "this kind of pool takes no snapshots and makes no clones: copy the data from one LUN to another";
        Err(PoolError::new(PoolErrorKind::Unsupported, text))
    }

    /// The raw images from which volumes can be made, and the bytes of each.
    ///
    /// # Errors
    /// Why that cannot be found out.
    fn images(&self) -> Result<BTreeMap<String, u64>, PoolError> {
        Ok(BTreeMap::new())
    }

    /// Prepares volume `id` as a copy of an image; `None`: there is a volume of that name already, and it is left as it
    /// is. What an earlier attempt for `id` left is removed. The image is never changed.
    ///
    /// # Errors
    /// `NotFound` where there is no such image; `Mismatch` where it is no plain file, or larger than the volume is to be.
    fn import(&self, id: &VolumeId, import: &ImportSpec) -> Result<Option<Box<dyn Import>>, PoolError> {
        let _ = (id, import);
        let text = "this kind of pool has no images: copy the data into a LUN";
        Err(PoolError::new(PoolErrorKind::NotFound, text))
    }

    /// A volume's size and space.
    ///
    /// # Errors
    /// `NotFound`, or why the pool cannot be asked.
    fn usage(&self, id: &VolumeId) -> Result<Usage, PoolError>;

    /// Opens a volume on the calling thread and takes its writer's lock, waiting (bounded) for the
    /// operations of a previous process that died to end.
    ///
    /// # Errors
    /// `InUse` where another writer holds it, or why it cannot be opened.
    fn open(&self, id: &VolumeId, options: &OpenOptions) -> Result<Self::Backend, PoolError>;
}
