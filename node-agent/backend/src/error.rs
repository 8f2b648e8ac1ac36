//! What can go wrong with storage, in kinds that a caller would act on differently.
//!
//! [`IoError`] is of one operation on an open volume; the SCSI room turns its kind into sense data in
//! one table. [`PoolError`] is of the control side; its text is what a user reads in a condition, so it
//! says what was wrong, with what, and what to do.

use std::error::Error;
use std::fmt;

use lunette_iobuf::DataBuf;

/// Why an operation on an open volume failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IoErrorKind {
    /// The range is not inside the volume, or not whole blocks.
    OutOfRange,
    /// The volume, or this opening of it, does not take writes.
    ReadOnly,
    /// The storage cannot do this at all.
    Unsupported,
    /// There is no space left to allocate.
    NoSpace,
    /// The bytes could not be read.
    MediumRead,
    /// The bytes could not be written.
    MediumWrite,
    /// Try again: the storage is short of something for the moment.
    Busy,
    /// The storage cannot be reached.
    Unreachable,
    /// Another writer has taken the volume over.
    Fenced,
    /// A fault of the backend itself.
    Internal,
}

/// A failed operation: its kind for the caller, its cause for the log.
#[derive(Debug)]
pub struct IoError {
    /// What a caller acts on.
    pub kind: IoErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// Boxed, since results are moved about that have none.
    buffer: Option<Box<DataBuf>>,
}

impl IoError {
    /// An error with the cause that storage gave.
    pub fn new(kind: IoErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()), buffer: None }
    }

    /// The same, with the operation's buffer, which storage does not touch any more.
    #[must_use]
    pub fn with_buffer(mut self, buffer: DataBuf) -> Self {
        self.buffer = Some(Box::new(buffer));
        self
    }

    /// The operation's buffer, once, if the backend has handed it back. What it holds is undefined.
    pub fn take_buffer(&mut self) -> Option<DataBuf> {
        self.buffer.take().map(|buffer| *buffer)
    }
}

impl From<IoErrorKind> for IoError {
    fn from(kind: IoErrorKind) -> Self {
        Self { kind, source: None, buffer: None }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            IoErrorKind::OutOfRange => "the range is outside the volume or not whole blocks",
            IoErrorKind::ReadOnly => "the volume does not take writes",
            IoErrorKind::Unsupported => "the storage cannot do this",
            IoErrorKind::NoSpace => "the storage has no space left",
            IoErrorKind::MediumRead => "the storage could not read",
            IoErrorKind::MediumWrite => "the storage could not write",
            IoErrorKind::Busy => "the storage is short of a resource for the moment",
            IoErrorKind::Unreachable => "the storage cannot be reached",
            IoErrorKind::Fenced => "another writer has taken the volume over",
            IoErrorKind::Internal => "the backend failed",
        })
    }
}

impl Error for IoError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// Why a pool or a volume in it cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolErrorKind {
    /// The pool's configuration can never work as written.
    Invalid,
    /// The pool's storage is not there (yet): missing, unmounted, unreachable.
    Unavailable,
    /// The pool is there but does not let us write.
    Denied,
    /// No room for what was asked.
    NoSpace,
    /// Larger than the storage can hold at all.
    TooLarge,
    /// There is no such volume.
    NotFound,
    /// Another process holds the volume.
    InUse,
    /// What is stored contradicts itself or what was asked; nothing was changed.
    Mismatch,
    /// The pool cannot do this.
    Unsupported,
    /// Anything else that the system said.
    Failed,
}

/// A failed request to a pool; its text is for the user.
#[derive(Debug)]
pub struct PoolError {
    /// What a caller acts on.
    pub kind: PoolErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PoolError {
    /// An error that says what was wrong, with what, and what to do.
    pub fn new(kind: PoolErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same, with the system's own error behind it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for PoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
