//! Sharing the extents of one file with another: a copy that costs no space and hardly any time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Makes `to` a copy of all of `from` as it is at one instant, dirty pages of the page cache included: the file
/// system writes them out first (`generic_remap_file_range_prep` in Linux' fs/remap_range.c). What is written to
/// either later is not seen in the other. `to` must be empty, or it is left longer than `from` where it was.
///
/// The copy is durable once `to` is synced.
///
/// # Errors
/// What the kernel says; [`is_no_reflink`] tells whether these files can never be shared so.
pub fn reflink(from: &File, to: &File) -> io::Result<()> {
    // SAFETY: FICLONE takes a descriptor and no memory (ioctl_ficlone(2)); both are open for the whole call.
    outcome(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) })
}

/// As [`reflink`], of these bytes only; what `to` had there is gone. They begin and end at whole blocks of the file
/// system, or end at the end of `from`. `to` becomes longer where that is needed to have them.
///
/// # Errors
/// As [`reflink`].
pub fn reflink_range(from: &File, to: &File, range: &Range<u64>) -> io::Result<()> {
    // A length of zero would say: to the end.
    if range.is_empty() {
        return Ok(());
    }
    let arguments = libc::file_clone_range {
        src_fd: from.as_raw_fd().into(),
        src_offset: range.start,
        src_length: range.end - range.start,
        dest_offset: range.start,
    };
    // SAFETY: FICLONERANGE reads one file_clone_range (ioctl_ficlonerange(2)), which outlives the call, as do both files.
    outcome(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONERANGE, &raw const arguments) })
}

fn outcome(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether an error of [`reflink`] means that the file system shares no extents, at least not between these files.
#[must_use]
pub fn is_no_reflink(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::ENOSYS | Errno::EXDEV | Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    /// Where the file system cannot, that is said and nothing is changed; where it can, the copy stands alone.
    #[test]
    fn a_copy_is_whole_and_stands_alone_or_is_refused() {
        for place in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let (mut from, mut to) = (tempfile::tempfile_in(place).unwrap(), tempfile::tempfile_in(place).unwrap());
            from.write_all(&[7; 8192]).unwrap();
            match reflink(&from, &to) {
                Ok(()) => {
                    from.rewind().unwrap();
                    from.write_all(&[8; 4096]).unwrap();
                    let mut copied = Vec::new();
                    to.rewind().unwrap();
                    to.read_to_end(&mut copied).unwrap();
                    assert_eq!(copied, [7; 8192]);
                }
                Err(error) => {
                    assert!(is_no_reflink(&error), "{error}");
                    assert_eq!(to.metadata().unwrap().len(), 0);
                }
            }
        }
    }
}
