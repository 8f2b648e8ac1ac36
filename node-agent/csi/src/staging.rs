//! A staging directory: the volume is mounted in it, not on it, so that the record beside it can be read.

use std::path::{Path, PathBuf};

use lunette_initiator::Disk;
use nix::sys::stat::major;

use crate::host::{Host, HostError};
use crate::mounts::{self, Mount};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staging {
    /// The directory.
    pub folder: PathBuf,
}

/// What is mounted somewhere, and the disk that it comes from; `None`: from no SCSI disk that there is.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The mount.
    pub mount: Mount,
    /// The disk.
    pub disk: Option<Disk>,
}

impl Staging {
    /// That directory, as mounts name it.
    pub fn new(host: &impl Host, folder: &Path) -> Self {
        Self { folder: host.resolved(folder) }
    }

    /// Where the volume is.
    pub fn volume(&self) -> PathBuf {
        self.folder.join("volume")
    }

    /// Where the record is.
    pub fn record(&self) -> PathBuf {
        self.folder.join("lunette.json")
    }
}

/// What is mounted at a path, of the mounts that there are.
pub fn shown_of(host: &impl Host, mounts: &[Mount], path: &Path) -> Result<Option<Shown>, HostError> {
    let Some(mount) = mounts::at(mounts, path) else { return Ok(None) };
    Ok(Some(Shown { mount: mount.clone(), disk: disk_behind(host, mount)? }))
}

/// What is mounted at a path.
pub fn shown(host: &impl Host, path: &Path) -> Result<Option<Shown>, HostError> {
    shown_of(host, &host.mounts()?, path)
}

/// The disk of a bound device's node; of a file system on one disk; of btrfs, which has a number of its own and shows
/// its disk's device file. While it is mounted that name is no other disk's.
fn disk_behind(host: &impl Host, mount: &Mount) -> Result<Option<Disk>, HostError> {
    let number = if mount.is_of_a_file() {
        host.number(&mount.point)?
    } else if major(mount.number) == 0 {
        host.number(Path::new(&mount.source))?
    } else {
        Some(mount.number)
    };
    number.map_or(Ok(None), |number| host.numbered(number))
}
