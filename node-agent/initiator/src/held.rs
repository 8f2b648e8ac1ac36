//! A disk held open: while it is, its name and its device number belong to no other disk.
//!
//! The kernel gives a number away only after the last descriptor is closed (`scsi_disk_free_disk`). So what was
//! compared stays true for whatever is then done with the path: looking for a file system, making one, mounting it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::stat::{major, minor};

use crate::machine::{LOOK_AGAIN, is_no_such_device};
use crate::{Address, Disk, DiskError, Machine, Wwid};

/// How long a new disk may take from having a device file until it can be opened: the kernel makes the file first
/// (`device_add_disk`: `device_add`, and `bdev_add` after it).
const OPENED_WITHIN: Duration = Duration::from_secs(2);

/// A disk that cannot become another one's while this lives.
#[derive(Debug)]
pub struct Held {
    /// The disk, as it was when it was compared.
    pub disk: Disk,
    _open: File,
}

impl Machine {
    /// Opens a disk's device file and has the disk say who it is, anew: what the kernel remembers may be of another
    /// unit that was at this address before.
    ///
    /// # Errors
    /// When it is not the one that is wanted, or none at all.
    pub fn hold(&self, path: &Path, want: &Wwid) -> Result<Held, DiskError> {
        let open = self.opened(path)?;
        let about = open.metadata().map_err(|error| DiskError::Io { what: "look at", path: path.to_owned(), error })?;
        let gone = || DiskError::Gone { path: path.to_owned() };
        let number = Some(about.rdev()).filter(|_| about.file_type().is_block_device()).ok_or_else(gone)?;
        let found = self.numbered(number)?.ok_or_else(gone)?;
        self.must_be_within_reach(path, &found)?;
        self.rescan(found.at)?;
        match self.numbered(number)? {
            Some(disk) if disk.wwid.as_ref() == Some(want) => Ok(Held { disk, _open: open }),
            Some(Disk { at, wwid, .. }) => {
                Err(DiskError::Other { at, path: path.to_owned(), found: wwid, want: want.clone() })
            }
            None => Err(gone()),
        }
    }

    /// Opens a disk's device file, of a new disk as soon as that is possible.
    fn opened(&self, path: &Path) -> Result<File, DiskError> {
        let deadline = Instant::now() + OPENED_WITHIN;
        loop {
            match File::open(path) {
                Err(error) if is_no_such_device(&error) && Instant::now() < deadline => {
                    // The kernel lets nobody open what it has given up.
                    if let Some(disk) = self.shown_as(path)? {
                        self.must_be_within_reach(path, &disk)?;
                    }
                    sleep(LOOK_AGAIN);
                }
                opened => return opened.map_err(|error| DiskError::Io { what: "open", path: path.to_owned(), error }),
            }
        }
    }

    /// The disk that has this device file, open or not; `None` if there is none.
    fn shown_as(&self, path: &Path) -> Result<Option<Disk>, DiskError> {
        fs::metadata(path).map_or(Ok(None), |about| self.numbered(about.rdev()))
    }

    /// That a disk, with this device file, answers, or may soon.
    fn must_be_within_reach(&self, path: &Path, disk: &Disk) -> Result<(), DiskError> {
        let (_, state) = self.is_running(disk);
        if is_out_of_reach(&state) { Err(DiskError::Unreachable { path: path.to_owned(), state }) } else { Ok(()) }
    }

    /// The SCSI disk with that device number, as the kernel knows it; `None` if there is none.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub fn numbered(&self, number: u64) -> Result<Option<Disk>, DiskError> {
        let path = self.root().join(format!("sys/dev/block/{}:{}/device", major(number), minor(number)));
        let device = match fs::read_link(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => return Ok(None),
            link => link.map_err(|error| DiskError::Io { what: "read", path, error })?,
        };
        let address = device.file_name().and_then(|name| name.to_str()?.parse::<Address>().ok());
        address.map_or(Ok(None), |at| self.find(at))
    }

    /// A disk that says it is that one, wherever it is; `None` if there is none.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub fn identified(&self, wwid: &Wwid) -> Result<Option<Disk>, DiskError> {
        for at in self.addresses()? {
            if let Some(disk) = self.find(at)?.filter(|disk| disk.wwid.as_ref() == Some(wwid)) {
                return Ok(Some(disk));
            }
        }
        Ok(None)
    }

    /// Whether the kernel passes commands on to the disk (`sdev_states`, `drivers/scsi/scsi_sysfs.c`), and what it
    /// calls its state.
    pub fn is_running(&self, disk: &Disk) -> (bool, String) {
        let state = fs::read_to_string(self.device(disk.at).join("state")).unwrap_or_default().trim().to_owned();
        (state == "running", state)
    }
}

/// Whether a disk in that state answers nothing, or only after its session has come back.
fn is_out_of_reach(state: &str) -> bool {
    matches!(state, "blocked" | "offline" | "transport-offline")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::makedev;
    use tempfile::TempDir;

    use super::*;

    const WWID: &str = "naa.6001405a0102030405060708090a0b0c";

    fn machine() -> (TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("sys/class/scsi_device/2:0:0:0/device");
        fs::create_dir_all(device.join("block/sdb")).unwrap();
        let digits = u128::from_str_radix(&WWID[4..], 16).unwrap();
        fs::write(device.join("vpd_pg83"), [&[0, 0x83, 0, 20, 1, 3, 0, 16][..], &digits.to_be_bytes()].concat())
            .unwrap();
        fs::write(device.join("block/sdb/size"), "2048\n").unwrap();
        fs::write(device.join("state"), "offline\n").unwrap();
        fs::create_dir_all(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/sdb"), "").unwrap();
        let numbers = root.path().join("sys/dev/block/8:16");
        fs::create_dir_all(&numbers).unwrap();
        symlink("../../../2:0:0:0", numbers.join("device")).unwrap();
        let machine = Machine::at(root.path());
        (root, machine)
    }

    #[test]
    fn a_disk_is_found_by_its_number_and_by_its_identity() {
        let (_root, machine) = machine();
        let disk = machine.numbered(makedev(8, 16)).unwrap().unwrap();
        assert_eq!((disk.at.to_string(), disk.size), ("2:0:0:0".to_owned(), 1 << 20));
        assert_eq!(machine.numbered(makedev(8, 32)).unwrap(), None);
        assert_eq!(machine.identified(&WWID.parse().unwrap()).unwrap().as_ref(), Some(&disk));
        assert_eq!(machine.identified(&"naa.6001405fffffffffffffffffffffffff".parse().unwrap()).unwrap(), None);
        assert_eq!(machine.is_running(&disk), (false, "offline".to_owned()));
    }

    #[test]
    fn a_disk_that_does_not_answer_is_not_asked() {
        for (state, is) in [("running", false), ("blocked", true), ("transport-offline", true), ("offline", true)] {
            assert_eq!(is_out_of_reach(state), is, "{state}");
        }
    }

    #[test]
    fn a_disk_whose_device_file_cannot_be_opened_yet_is_waited_for() {
        let (root, machine) = machine();
        let path = root.path().join("dev/sdy");
        // Opened, a socket's file is ENXIO, as a disk's is that the kernel has not finished.
        let _socket = UnixListener::bind(&path).unwrap();
        let finished = path.clone();
        let finish = std::thread::spawn(move || {
            sleep(5 * LOOK_AGAIN);
            fs::rename(root.path().join("dev/sdb"), finished).unwrap();
            root
        });
        let opened = machine.opened(&path).unwrap();
        assert!(opened.metadata().unwrap().is_file());
        finish.join().unwrap();
    }

    #[test]
    fn what_is_no_disk_is_not_held() {
        let (root, machine) = machine();
        let error = machine.hold(&root.path().join("dev/sdb"), &WWID.parse().unwrap()).unwrap_err();
        assert!(matches!(error, DiskError::Gone { .. }), "{error}");
        let error = machine.hold(&root.path().join("dev/sdx"), &WWID.parse().unwrap()).unwrap_err();
        assert!(matches!(error, DiskError::Io { .. }), "{error}");
    }
}
