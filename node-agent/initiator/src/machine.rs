//! This machine's sysfs and device files: looks for disks, has the kernel look, and never trusts a name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::{Address, Disk, DiskError, Expected, Wwid};

/// How often it is looked whether a disk has come.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// sysfs counts a disk's size in these, whatever its blocks (`part_size_show`).
const SECTOR: u64 = 512;

/// The machine, or one that a test made up.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// This machine.
    pub fn here() -> Machine {
        Machine::at("/")
    }

    /// One whose `sys` and `dev` are below another root.
    pub fn at(root: impl Into<PathBuf>) -> Machine {
        Machine { root: root.into() }
    }

    /// The disk at that address, whoever it is.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub fn find(&self, at: Address) -> Result<Option<Disk>, DiskError> {
        let device = self.device(at);
        let Some(name) = only_name(&device.join("block"))? else { return Ok(None) };
        let path = self.root.join("dev").join(&name);
        if !path.exists() {
            return Ok(None);
        }
        let page = optional(fs::read(device.join("vpd_pg83")), &device.join("vpd_pg83"))?;
        let block = device.join("block").join(&name);
        let number = |file: &str| {
            Ok(optional(fs::read_to_string(block.join(file)), &block.join(file))?
                .and_then(|text| text.trim().parse::<u64>().ok()))
        };
        let Some(sectors) = number("size")? else { return Ok(None) };
        let wwid = page.as_deref().and_then(Wwid::in_page_83);
        let read_only = number("ro")? == Some(1);
        let multipath = multipath(&block.join("holders"));
        Ok(Some(Disk { at, path, wwid, size: sectors.saturating_mul(SECTOR), read_only, multipath }))
    }

    /// The disk at that address, after the kernel was told to look for it if it does not show it; known by its
    /// identity, and of the LUN's size. Blocks for as long as the LUN takes to answer, and `patience` at most for
    /// the kernel to finish.
    ///
    /// # Errors
    /// When there is none, or another, or it is not as the LUN is.
    pub fn attached(&self, at: Address, want: &Expected, patience: Duration) -> Result<Disk, DiskError> {
        let disk = match self.find(at)? {
            Some(disk) => disk,
            None => self.discover(at, patience)?,
        };
        let disk = if want.is(&disk) { disk } else { self.looked_at_again(at, want, patience)? };
        match disk {
            Disk { path, multipath: Some(map), .. } => Err(DiskError::Multipath { path, map }),
            disk => Ok(disk),
        }
    }

    /// The disk, once the kernel has learned what it may be behind with: a LUN's new size takes a moment.
    fn looked_at_again(&self, at: Address, want: &Expected, patience: Duration) -> Result<Disk, DiskError> {
        let deadline = Instant::now() + patience;
        loop {
            self.rescan(at)?;
            let disk = self.find(at)?.ok_or(DiskError::Missing { at })?;
            match disk {
                Disk { path, wwid, .. } if wwid.as_ref() != Some(&want.wwid) => {
                    return Err(DiskError::Other { at, path, found: wwid, want: want.wwid.clone() });
                }
                // Still read-only is somebody's own doing (blockdev --setro).
                disk if disk.size == want.size => return Ok(disk),
                Disk { path, size: found, .. } if Instant::now() >= deadline => {
                    return Err(DiskError::Size { path, found, want: want.size });
                }
                _ => sleep(LOOK_AGAIN),
            }
        }
    }

    /// Has the kernel look at exactly that address, and waits for the disk.
    ///
    /// # Errors
    /// When none comes within `patience`.
    pub fn discover(&self, at: Address, patience: Duration) -> Result<Disk, DiskError> {
        self.scan(at)?;
        let deadline = Instant::now() + patience;
        loop {
            match self.find(at)? {
                Some(disk) => return Ok(disk),
                None if Instant::now() >= deadline => return Err(DiskError::Missing { at }),
                None => sleep(LOOK_AGAIN),
            }
        }
    }

    /// Has the kernel look at an address. A host that takes no LUN by its number, as tcm_loop's do (their `max_lun`
    /// is 0, `scsi_scan_host_selected`), is told to look at all of the target, which has this LUN only.
    fn scan(&self, at: Address) -> Result<(), DiskError> {
        let scan = self.root.join("sys/class/scsi_host").join(format!("host{}", at.host)).join("scan");
        let look =
            |lun: &str| write(&scan, &format!("{} {} {lun}", at.channel, at.target), "have the kernel scan with");
        match look(&at.lun.to_string()) {
            Err(DiskError::Io { error, .. }) if error.kind() == ErrorKind::InvalidInput => look("-"),
            looked => looked,
        }
    }

    /// Has the kernel ask the disk again for its size and identity.
    pub(crate) fn rescan(&self, at: Address) -> Result<(), DiskError> {
        write(&self.device(at).join("rescan"), "1", "have the kernel look again with")
    }

    /// Holds a disk that nobody uses, so that nobody begins to while it is taken away. `O_EXCL` on a block device
    /// fails while it is mounted (in any mount namespace), swap, or a part of LVM or RAID (open(2)).
    ///
    /// `None` for a disk that the kernel has given up, as it does with one whose session does not come back: nobody can
    /// open that (`sd_open`), nor write to it what is left to be written. Somebody who uses it is found even so, since
    /// the kernel looks for that first (`bdev_open`).
    ///
    /// # Errors
    /// [`DiskError::InUse`] if somebody does.
    pub fn claim(&self, disk: &Disk) -> Result<Option<File>, DiskError> {
        let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_EXCL.bits()).open(&disk.path);
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::ResourceBusy => Err(DiskError::InUse { path: disk.path.clone() }),
            Err(error) if is_no_such_device(&error) && self.is_given_up(disk) => Ok(None),
            Err(error) => Err(DiskError::Io { what: "open", path: disk.path.clone(), error }),
        }
    }

    /// Whether the kernel has ended its attempts to reach the disk (`scsi_device_online`).
    fn is_given_up(&self, disk: &Disk) -> bool {
        matches!(self.is_running(disk).1.as_str(), "offline" | "transport-offline")
    }

    /// Takes a disk away from the kernel. One that is gone is no failure.
    ///
    /// # Errors
    /// When the kernel cannot be told.
    pub fn delete(&self, at: Address) -> Result<(), DiskError> {
        match write(&self.device(at).join("delete"), "1", "have the kernel let go of the disk with") {
            Err(DiskError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(()),
            written => written,
        }
    }

    /// The disks of one SCSI host.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub fn disks_of_host(&self, host: u32) -> Result<Vec<Disk>, DiskError> {
        let addresses = self.addresses()?.into_iter().filter(|at| at.host == host);
        addresses.filter_map(|at| self.find(at).transpose()).collect()
    }

    /// Where the kernel shows something at all.
    pub(crate) fn addresses(&self) -> Result<Vec<Address>, DiskError> {
        let directory = self.root.join("sys/class/scsi_device");
        let Some(listing) = optional(fs::read_dir(&directory), &directory)? else { return Ok(Vec::new()) };
        let names = listing.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Where `sys` and `dev` are.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn device(&self, at: Address) -> PathBuf {
        self.root.join("sys/class/scsi_device").join(at.to_string()).join("device")
    }
}

/// The one name in a directory; `None` if it is empty or not there.
fn only_name(directory: &Path) -> Result<Option<String>, DiskError> {
    let Some(mut listing) = optional(fs::read_dir(directory), directory)? else { return Ok(None) };
    Ok(listing.next().and_then(Result::ok).and_then(|entry| entry.file_name().into_string().ok()))
}

/// The multipath map among what holds a disk (`dm_uuid` of multipath-tools: `mpath-` and the WWID).
fn multipath(holders: &Path) -> Option<String> {
    let mut names = fs::read_dir(holders).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| {
        fs::read_to_string(holders.join(name).join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("mpath-"))
    })
}

/// What is read of an object that may go away at any moment.
fn optional<T>(read: io::Result<T>, path: &Path) -> Result<Option<T>, DiskError> {
    let gone = |error: &io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        error.kind() == ErrorKind::NotFound || matches!(errno, Some(Errno::ENXIO | Errno::ENODEV | Errno::EINVAL))
    };
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(DiskError::Io { what: "read", path: path.to_owned(), error }),
    }
}

/// ENXIO: there is no such disk, or none that can be opened.
pub(crate) fn is_no_such_device(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(Errno::ENXIO)
}

fn write(path: &Path, text: &str, what: &'static str) -> Result<(), DiskError> {
    let written = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| DiskError::Io { what, path: path.to_owned(), error })
}

#[cfg(test)]
mod tests;
