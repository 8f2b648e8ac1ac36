//! What is needed of the kernel and of the programs that make, check, grow and mount file systems.
//!
//! Everything here blocks, for as long as the disk takes to answer.

use std::io;
use std::path::{Path, PathBuf};

use lunette_csi_service::failure::{Failure, Kind};
use lunette_initiator::{Disk, DiskError, Wwid};

use crate::call::{Call, Ended};
use crate::content::Content;
use crate::mounts::Mount;

/// What is free and used in a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes: all, available to users, used.
    pub bytes: [u64; 3],
    /// The same of inodes; `None` where the file system makes them as it needs them.
    pub inodes: Option<[u64; 3]>,
}

/// Why the kernel, a program or a disk did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The disk itself.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file, a folder or a mount.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which path.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// A program cannot be started.
    #[error("cannot run {program}: {error}; install it on this node, or in the agent's image")]
    NotThere {
        /// The program.
        program: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// A program does not come back.
    #[error(
        "{program} has not come back for {seconds} s: does the LUN's storage answer? (`lunette-node status`, `dmesg`)"
    )]
    Stuck {
        /// The program.
        program: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A program failed.
    #[error("{program} failed with status {status}: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: i32,
        /// What it printed.
        said: String,
    },
    /// The record in the staging directory is not readable.
    #[error("{} cannot be understood ({error}): was it written by a newer agent? It is left alone", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
}

impl Failure for HostError {
    fn kind(&self) -> Kind {
        match self {
            Self::Disk(error) if error.is_final() => Kind::Precondition,
            // The kernel, the disk or the LUN's storage may answer the next time.
            Self::Disk(_) | Self::Stuck { .. } => Kind::Unavailable,
            Self::Io { error, .. } if error.kind() == io::ErrorKind::ResourceBusy => Kind::Precondition,
            Self::Io { .. } | Self::NotThere { .. } | Self::Failed { .. } => Kind::Internal,
            Self::Record { .. } => Kind::Precondition,
        }
    }
}

/// This machine, or one that a test plays.
pub trait Host: Send + Sync + 'static {
    /// What keeps a disk's name from becoming another's.
    type Held: Send;

    /// Opens a disk that has to say that it is the wanted one.
    fn hold(&self, disk: &Path, wwid: &Wwid) -> Result<(Self::Held, Disk), HostError>;
    /// The SCSI disk with that device number.
    fn numbered(&self, number: u64) -> Result<Option<Disk>, HostError>;
    /// The device number that a device file stands for; `None` if it is no block device, or not there.
    fn number(&self, path: &Path) -> Result<Option<u64>, HostError>;
    /// Whether the kernel passes commands on to the disk, and what it calls its state.
    fn is_running(&self, disk: &Disk) -> (bool, String);
    /// What is on a disk.
    fn content(&self, disk: &Path) -> Result<Content, HostError>;
    /// Makes a disk empty again, so far as [`Host::content`] looks.
    fn erase(&self, disk: &Path) -> Result<(), HostError>;
    /// Runs a program to its end.
    fn run(&self, call: &Call) -> Result<Ended, HostError>;

    /// Every mount that this process sees, those on top last.
    fn mounts(&self) -> Result<Vec<Mount>, HostError>;
    /// Shows at `to` what is at `from`.
    fn bind(&self, from: &Path, to: &Path) -> Result<(), HostError>;
    /// Makes a bound mount read-only; what else is set stays.
    fn set_read_only(&self, mount: &Mount) -> Result<(), HostError>;
    /// Takes the topmost mount away, unless it is in use.
    fn unmount(&self, path: &Path) -> Result<(), HostError>;
    /// What is free and used.
    fn usage(&self, path: &Path) -> Result<Usage, HostError>;

    /// The path without symbolic links, as mounts show it; what is not there yet is taken as it is written.
    fn resolved(&self, path: &Path) -> PathBuf;
    /// Makes a folder, unless it is there.
    fn make_folder(&self, path: &Path) -> Result<(), HostError>;
    /// Makes an empty file, unless it is there.
    fn make_file(&self, path: &Path) -> Result<(), HostError>;
    /// Removes an empty folder or an empty file, unless it is gone.
    fn remove_empty(&self, path: &Path) -> Result<(), HostError>;
    /// Reads a file; `None` if it is not there.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError>;
    /// Writes a file so that it is there whole or as it was, even after a crash of the machine.
    fn write(&self, path: &Path, content: &[u8]) -> Result<(), HostError>;
    /// Removes a file, unless it is gone.
    fn remove_file(&self, path: &Path) -> Result<(), HostError>;
}
