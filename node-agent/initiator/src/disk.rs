//! A disk as the kernel shows it, and why one is not handed out.

use std::io;
use std::path::PathBuf;

use crate::{Address, Wwid};

/// A disk of this machine, as it is at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where it is.
    pub at: Address,
    /// Its device file; a kernel name, good for now only.
    pub path: PathBuf,
    /// Who it says it is; `None` if it does not say.
    pub wwid: Option<Wwid>,
    /// Bytes.
    pub size: u64,
    /// Whether the kernel writes nothing to it.
    pub read_only: bool,
    /// The multipath map that it is a path of, such as `dm-0`.
    pub multipath: Option<String>,
}

/// What a disk must be to be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who.
    pub wwid: Wwid,
    /// Bytes.
    pub size: u64,
    /// Whether it is to be written: a disk that came to be writable is looked at again.
    pub writable: bool,
}

impl Expected {
    /// Whether the disk is as expected, so far as the kernel knows.
    pub(crate) fn is(&self, disk: &Disk) -> bool {
        disk.wwid.as_ref() == Some(&self.wwid) && disk.size == self.size && !(self.writable && disk.read_only)
    }
}

/// Why a disk is not handed out, or not let go.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The kernel has none there.
    #[error("the kernel shows no disk at {at} though it was told to look: see `dmesg`, and that the LUN is Ready")]
    Missing {
        /// Where one was expected.
        at: Address,
    },
    /// What there was is no disk, or not any more.
    #[error("{} is no SCSI disk, or not any more: see `dmesg`, and try again", path.display())]
    Gone {
        /// Its device file.
        path: PathBuf,
    },
    /// It is not the one that is wanted.
    #[error(
        "{} at {at} is {}, not {want}: it is left alone, for using it would risk another disk's data; detach it and attach again",
        path.display(), found.as_ref().map_or("a disk without an NAA identity", Wwid::as_str)
    )]
    Other {
        /// Where.
        at: Address,
        /// Its device file.
        path: PathBuf,
        /// Who it says it is.
        found: Option<Wwid>,
        /// Who was wanted.
        want: Wwid,
    },
    /// It does not have the LUN's size, even after the kernel looked again.
    #[error("{} has {found} bytes where the LUN has {want}: it is not handed out; see `dmesg`, and try again", path.display())]
    Size {
        /// Its device file.
        path: PathBuf,
        /// Bytes that the kernel shows.
        found: u64,
        /// Bytes that the LUN has.
        want: u64,
    },
    /// multipathd has made it a path of a map, so nobody else can use it.
    #[error(
        "multipathd has taken {} for its map {map}: have it leave Lunette's disks alone (blacklist {{ device {{ vendor \"LUNETTE\" product \".*\" }} }} in /etc/multipath/conf.d/lunette.conf), then `multipathd reconfigure` and `multipath -f`",
        path.display()
    )]
    Multipath {
        /// Its device file.
        path: PathBuf,
        /// The map's kernel name.
        map: String,
    },
    /// The kernel passes nothing on to it.
    #[error("the kernel does not reach {} (it is {state}): its node is away, or lets this one in no more; see `dmesg`", path.display())]
    Unreachable {
        /// Its device file.
        path: PathBuf,
        /// What the kernel calls that.
        state: String,
    },
    /// Somebody uses it.
    #[error(
        "{} is in use: unmount what is on it (`findmnt {}`, `lsblk {}`), and try again",
        path.display(), path.display(), path.display()
    )]
    InUse {
        /// Its device file.
        path: PathBuf,
    },
    /// sysfs or the device file cannot be read or written.
    #[error("cannot {what} {}: {error}; are we root, and is sysfs writable here?", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
}

impl DiskError {
    /// Whether trying again by itself is of no use: a person has to act first.
    pub fn is_final(&self) -> bool {
        matches!(self, DiskError::Other { .. } | DiskError::Multipath { .. } | DiskError::InUse { .. })
    }
}
