//! This machine.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lunette_initiator::{Disk, Held, Machine, Wwid};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::statvfs;

use crate::call::{Call, Ended};
use crate::content::{self, Content, LOOKED_AT};
use crate::host::{Host, HostError, Usage};
use crate::mounts::{self, Mount};
use crate::programs;

/// The machine that we run on.
#[derive(Clone, Debug)]
pub struct Here {
    machine: Machine,
}

impl Default for Here {
    fn default() -> Self {
        Self { machine: Machine::here() }
    }
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// What a mount of its own has set, and loses with a remount that does not repeat it (mount(2), "Remounting").
const OF_A_MOUNT: [(&str, MsFlags); 6] = [
    ("nosuid", MsFlags::MS_NOSUID),
    ("nodev", MsFlags::MS_NODEV),
    ("noexec", MsFlags::MS_NOEXEC),
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
];

impl Host for Here {
    type Held = Held;

    fn hold(&self, disk: &Path, wwid: &Wwid) -> Result<(Held, Disk), HostError> {
        let held = self.machine.hold(disk, wwid)?;
        let disk = held.disk.clone();
        Ok((held, disk))
    }

    fn numbered(&self, number: u64) -> Result<Option<Disk>, HostError> {
        Ok(self.machine.numbered(number)?)
    }

    fn number(&self, path: &Path) -> Result<Option<u64>, HostError> {
        let about = unless_gone(fs::metadata(path)).map_err(failed("look at", path))?;
        Ok(about.filter(|about| about.file_type().is_block_device()).map(|about| about.rdev()))
    }

    fn is_running(&self, disk: &Disk) -> (bool, String) {
        self.machine.is_running(disk)
    }

    fn content(&self, disk: &Path) -> Result<Content, HostError> {
        let probe = content::probe(&disk.display().to_string());
        let ended = self.run(&probe)?;
        let failed = |()| HostError::Failed { program: probe.program, status: ended.status, said: ended.said.clone() };
        match content::understood(&ended).map_err(failed)? {
            Some(content) => Ok(content),
            None => Ok(content::unsigned(ends_are_zero(disk)?)),
        }
    }

    fn erase(&self, disk: &Path) -> Result<(), HostError> {
        let failed = failed("erase", disk);
        let erase = || {
            let mut file = OpenOptions::new().write(true).open(disk)?;
            for (from, length) in ends(file.seek(SeekFrom::End(0))?) {
                file.seek(SeekFrom::Start(from))?;
                io::copy(&mut io::repeat(0).take(length), &mut file)?;
            }
            file.sync_all()
        };
        erase().map_err(failed)
    }

    fn run(&self, call: &Call) -> Result<Ended, HostError> {
        programs::run(call)
    }

    fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        // A path need not be UTF-8.
        let text = fs::read(MOUNTS).map_err(failed("read", Path::new(MOUNTS)))?;
        Ok(mounts::read(&String::from_utf8_lossy(&text)))
    }

    fn bind(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        let nothing = None::<&str>;
        mount(Some(from), to, nothing, MsFlags::MS_BIND, nothing).map_err(|errno| failed("mount on", to)(errno.into()))
    }

    fn set_read_only(&self, there: &Mount) -> Result<(), HostError> {
        let nothing = None::<&str>;
        let is_set = |name: &str| there.options.iter().any(|option| option == name);
        let kept: MsFlags = OF_A_MOUNT.iter().filter(|(name, _)| is_set(name)).map(|(_, flag)| *flag).collect();
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept;
        let remounted = mount(nothing, &there.point, nothing, flags, nothing);
        remounted.map_err(|errno| failed("make read-only", &there.point)(errno.into()))
    }

    fn unmount(&self, path: &Path) -> Result<(), HostError> {
        umount2(path, MntFlags::UMOUNT_NOFOLLOW).map_err(|errno| failed("unmount", path)(errno.into()))
    }

    fn usage(&self, path: &Path) -> Result<Usage, HostError> {
        let found = statvfs(path).map_err(|errno| failed("look into", path)(errno.into()))?;
        let unit = found.fragment_size();
        // What a file system says is taken as it is, however odd.
        let used = |all: u64, free: u64| all.saturating_sub(free);
        let bytes = [found.blocks(), found.blocks_available(), used(found.blocks(), found.blocks_free())];
        let inodes = [found.files(), found.files_available(), used(found.files(), found.files_free())];
        let bytes = bytes.map(|blocks| blocks.saturating_mul(unit));
        Ok(Usage { bytes, inodes: (found.files() > 0).then_some(inodes) })
    }

    fn resolved(&self, path: &Path) -> PathBuf {
        let parts = || Some((fs::canonicalize(path.parent()?).ok()?, path.file_name()?));
        // The last part is where something is or will be mounted, and is not followed.
        parts().map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name))
    }

    fn make_folder(&self, path: &Path) -> Result<(), HostError> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made.map_err(failed("make the folder", path)),
        }
    }

    fn make_file(&self, path: &Path) -> Result<(), HostError> {
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map(drop).map_err(failed("make the file", path))
    }

    fn remove_empty(&self, path: &Path) -> Result<(), HostError> {
        let failed = failed("remove", path);
        let Some(found) = unless_gone(fs::symlink_metadata(path)).map_err(&failed)? else { return Ok(()) };
        let removed = match found.is_dir() {
            true => fs::remove_dir(path),
            false if found.is_file() && found.len() == 0 => fs::remove_file(path),
            false => Err(io::Error::other("it is no empty file: something is in it that nobody mounted")),
        };
        unless_gone(removed).map(drop).map_err(failed)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        unless_gone(fs::read(path)).map_err(failed("read", path))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        let write = || {
            let mut beside: OsString = path.to_owned().into();
            beside.push(".new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&beside, path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(failed("write", path))
    }

    fn remove_file(&self, path: &Path) -> Result<(), HostError> {
        let mut beside: OsString = path.to_owned().into();
        beside.push(".new");
        for path in [Path::new(&beside), path] {
            unless_gone(fs::remove_file(path)).map_err(failed("remove", path))?;
        }
        Ok(())
    }
}

/// Whether what is mounted below that folder is seen by the host, too: we are in its mount namespace, or the folder's
/// mount is shared with it.
pub fn reaches_the_host(folder: &Path) -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let mounts = fs::read(MOUNTS).map(|text| mounts::read(&String::from_utf8_lossy(&text))).unwrap_or_default();
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    namespace("self") == namespace("1") || mounts::of(&mounts, &folder).is_some_and(|mount| mount.shared)
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> HostError {
    let path = path.to_owned();
    move |error| HostError::Io { what, path: path.clone(), error }
}

fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the looked-at parts of a disk of that size begin, and how long they are.
fn ends(size: u64) -> [(u64, u64); 2] {
    let length = size.min(LOOKED_AT);
    [(0, length), (size - length, length)]
}

fn ends_are_zero(disk: &Path) -> Result<bool, HostError> {
    let look = || {
        let mut file = File::open(disk)?;
        for (from, length) in ends(file.seek(SeekFrom::End(0))?) {
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            (&file).take(length).read_to_end(&mut bytes)?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    look().map_err(failed("read", disk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_at_either_end_is_seen_and_erased() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let size = 4 * LOOKED_AT;
        for (place, is_zero) in [(0, false), (LOOKED_AT - 1, false), (2 * LOOKED_AT, true), (size - 1, false)] {
            let mut file = File::create(&disk).unwrap();
            file.set_len(size).unwrap();
            file.seek(SeekFrom::Start(place)).unwrap();
            file.write_all(&[1]).unwrap();
            assert_eq!(ends_are_zero(&disk).unwrap(), is_zero, "{place}");
            Here::default().erase(&disk).unwrap();
            assert!(ends_are_zero(&disk).unwrap());
            assert_eq!(fs::metadata(&disk).unwrap().len(), size);
        }
        File::create(&disk).unwrap().set_len(512).unwrap();
        assert!(ends_are_zero(&disk).unwrap(), "a disk may be shorter than what is looked at");
    }

    #[test]
    fn nothing_that_holds_something_is_removed() {
        let (here, folder) = (Here::default(), tempfile::tempdir().unwrap());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "precious").unwrap();
        fs::create_dir_all(path("folder/within")).unwrap();
        assert!(here.remove_empty(&path("file")).is_err() && here.remove_empty(&path("folder")).is_err());
        assert!(path("file").exists() && path("folder/within").exists());
        here.make_file(&path("empty")).unwrap();
        here.make_folder(&path("hollow")).unwrap();
        for name in ["empty", "hollow", "gone", "file/below"] {
            here.remove_empty(&path(name)).unwrap();
            assert!(!path(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_file_is_written_whole_and_its_rest_is_removed_with_it() {
        let (here, folder) = (Here::default(), tempfile::tempdir().unwrap());
        let path = folder.path().join("record");
        assert_eq!(here.read(&path).unwrap(), None);
        for content in [b"first".as_slice(), b"2nd"] {
            here.write(&path, content).unwrap();
            assert_eq!(here.read(&path).unwrap().as_deref(), Some(content));
        }
        fs::write(folder.path().join("record.new"), "cut off").unwrap();
        here.remove_file(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
