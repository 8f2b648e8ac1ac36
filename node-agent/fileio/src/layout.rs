//! What the kernel says of a file's memory and disk layout: whether and how `O_DIRECT` works on it, whether
//! it lives in memory, and whether its device has anything to wait for.
//!
//! `O_DIRECT` wants addresses, offsets and lengths in multiples that statx(2) reports since 6.1
//! (`STATX_DIOALIGN`). An older kernel says nothing; a page is then enough on any device we know.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};

/// `RAMFS_MAGIC` of linux/magic.h, which nix does not name.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
const UNKNOWN_ALIGNMENT: u32 = 4096;

/// How a file may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes to which `O_DIRECT` memory, offsets and lengths must be aligned; `None` where the file does
    /// not take `O_DIRECT`.
    pub direct: Option<u32>,
    /// Whether it is kept in memory for good (tmpfs, ramfs), so that nothing on it blocks.
    pub resident: bool,
    /// Whether it lies on a device that neither has a queue of requests nor stands on another device, as far as the kernel tells: a
    /// RAM disk, persistent memory.
    pub unqueued: bool,
    /// Bytes of one block of the file system (`st_blksize`).
    pub block: u32,
}

impl Layout {
    /// Asks the kernel about an open regular file or block device.
    ///
    /// # Errors
    /// What statx(2) or fstatfs(2) said.
    pub fn of(file: &File) -> io::Result<Self> {
        let stat = statx(file)?;
        let regular = u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFREG;
        // A device node lies on a file system in memory; the device does not.
        let resident = regular && in_memory(fstatfs(file)?.filesystem_type());
        let direct = if takes_direct(file)? { alignment(&stat) } else { None };
        Ok(Self { direct, resident, unqueued: is_unqueued(&device(&stat)), block: stat.stx_blksize })
    }
}

/// What sysfs has of the device that a file lies on, or that a device node stands for.
fn device(stat: &libc::statx) -> PathBuf {
    let node = u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFBLK;
    let (major, minor) =
        if node { (stat.stx_rdev_major, stat.stx_rdev_minor) } else { (stat.stx_dev_major, stat.stx_dev_minor) };
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

/// Drivers with requests have a directory `mq` of their queues, and stacked ones name what they stand on
/// (Documentation/ABI/stable/sysfs-block); of a partition, the disk above it tells.
fn is_unqueued(device: &Path) -> bool {
    let disk = if device.join("partition").exists() { device.join("..") } else { device.to_owned() };
    let mut below = fs::read_dir(disk.join("slaves")).into_iter().flatten();
    disk.join("queue").exists() && !disk.join("mq").exists() && below.next().is_none()
}

fn in_memory(kind: FsType) -> bool {
    kind == TMPFS_MAGIC || kind == RAMFS_MAGIC
}

fn alignment(stat: &libc::statx) -> Option<u32> {
    if stat.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Some(UNKNOWN_ALIGNMENT);
    }
    // Zero means that the file takes no O_DIRECT, whatever open(2) says.
    let align = stat.stx_dio_mem_align.max(stat.stx_dio_offset_align);
    (stat.stx_dio_offset_align > 0 && align.is_power_of_two()).then_some(align)
}

/// Whether the flag can be set at all; it is left as it was.
fn takes_direct(file: &File) -> io::Result<bool> {
    let flags = flags(file)?;
    if flags.contains(OFlag::O_DIRECT) {
        return Ok(true);
    }
    match fcntl(file.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_DIRECT)) {
        Ok(_) => {}
        Err(Errno::EINVAL) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    }
    fcntl(file.as_fd(), FcntlArg::F_SETFL(flags))?;
    Ok(true)
}

/// Turns `O_DIRECT` on or off for this open file description.
pub(crate) fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = flags(file)?;
    flags.set(OFlag::O_DIRECT, direct);
    fcntl(file.as_fd(), FcntlArg::F_SETFL(flags))?;
    Ok(())
}

fn flags(file: &File) -> io::Result<OFlag> {
    Ok(OFlag::from_bits_retain(fcntl(file.as_fd(), FcntlArg::F_GETFL)?))
}

fn statx(file: &File) -> io::Result<libc::statx> {
    let mask = libc::STATX_BASIC_STATS | libc::STATX_DIOALIGN;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH wants, and `stat` is a whole statx buffer
    // of ours; both live through the call.
    let done = unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, mask, stat.as_mut_ptr()) };
    Errno::result(done)?;
    // SAFETY: every field is a plain integer, and the buffer was zeroed before the kernel filled it.
    Ok(unsafe { stat.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_unqueued_without_requests_and_without_a_device_below_it() {
        let sysfs = tempfile::tempdir().unwrap();
        let made = |name: &str, parts: &[&str]| {
            let device = sysfs.path().join(name);
            parts.iter().for_each(|part| fs::create_dir_all(device.join(part)).unwrap());
            is_unqueued(&device)
        };
        assert!(made("ram0", &["queue", "slaves"]));
        assert!(!made("vda", &["queue", "slaves", "mq/0"]));
        assert!(!made("dm-0", &["queue", "slaves/ram0"]));
        assert!(made("ram0/ram0p1", &["partition"]));
        assert!(!made("vda/vda1", &["partition"]));
        assert!(!made("gone", &[]));
    }

    #[test]
    fn a_file_in_memory_is_resident_and_a_device_node_is_not() {
        let memory = tempfile::tempfile_in("/dev/shm").unwrap();
        assert!(Layout::of(&memory).unwrap().resident);
        let node = File::open("/dev/null").unwrap();
        assert!(!Layout::of(&node).unwrap().resident);
    }

    #[test]
    fn asking_leaves_the_file_buffered() {
        let file = tempfile::tempfile().unwrap();
        Layout::of(&file).unwrap();
        assert!(!flags(&file).unwrap().contains(OFlag::O_DIRECT));
        set_direct(&file, false).unwrap();
        assert!(!flags(&file).unwrap().contains(OFlag::O_DIRECT));
    }

    #[test]
    fn a_reported_alignment_of_zero_means_no_direct_io() {
        let file = tempfile::tempfile().unwrap();
        let mut stat = statx(&file).unwrap();
        stat.stx_mask |= libc::STATX_DIOALIGN;
        (stat.stx_dio_mem_align, stat.stx_dio_offset_align) = (0, 0);
        assert_eq!(alignment(&stat), None);
        (stat.stx_dio_mem_align, stat.stx_dio_offset_align) = (4, 512);
        assert_eq!(alignment(&stat), Some(512));
        stat.stx_mask &= !libc::STATX_DIOALIGN;
        assert_eq!(alignment(&stat), Some(UNKNOWN_ALIGNMENT));
    }
}
