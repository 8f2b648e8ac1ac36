//! Which UIO device has which name.
//!
//! Sysfs lists the devices by number only, and each LUN looks for its own: were all names read for each, a thousand LUNs
//! would read a million. So what was read is kept, with the inode number of the device's entry, which a later device of
//! the same number does not have. Nothing that is kept is believed: a name that is found is read once more.

use std::collections::HashMap;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The machine's UIO devices.
#[derive(Debug)]
pub(super) struct Devices {
    /// Where they are listed.
    directory: PathBuf,
    known: Mutex<Known>,
}

/// Names, by minor number and the inode number of the device's entry.
type Known = HashMap<(u32, u64), String>;

impl Devices {
    pub(super) fn new(directory: PathBuf) -> Devices {
        Devices { directory, known: Mutex::default() }
    }

    /// The minor number of the device of this name.
    pub(super) fn minor(&self, name: &str) -> io::Result<Option<u32>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(minor) = find(&known, name).filter(|minor| self.name(*minor).as_deref() == Some(name)) {
            return Ok(Some(minor));
        }
        *known = self.list(&mut known)?;
        Ok(find(&known, name))
    }

    /// What there is now; only names that are not known are read.
    fn list(&self, known: &mut Known) -> io::Result<Known> {
        let listing = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::new()),
            listing => listing?,
        };
        let device = |entry: DirEntry| {
            let minor = entry.file_name().to_str()?.strip_prefix("uio")?.parse().ok()?;
            let key = (minor, entry.ino());
            Some((key, known.remove(&key).or_else(|| self.name(minor))?))
        };
        Ok(listing.flatten().filter_map(device).collect())
    }

    /// `None` if the device went away while we looked.
    fn name(&self, minor: u32) -> Option<String> {
        let name = fs::read_to_string(self.directory.join(format!("uio{minor}/name"))).ok()?;
        Some(name.trim_end_matches('\n').to_owned())
    }
}

fn find(known: &Known, name: &str) -> Option<u32> {
    known.iter().find(|(_, other)| *other == name).map(|((minor, _), _)| *minor)
}
