//! Which bytes of a file are data and which are holes, by `SEEK_DATA` and `SEEK_HOLE` of lseek(2).
//!
//! Asked inline: the kernel answers from the map of the file that it has in memory. Space that was allocated
//! and never written counts as a hole, as it reads as zeroes. The descriptor's own position, which this
//! moves, is used by nobody: every transfer names its place.

use std::fs::File;

use lunette_backend::{Extent, IoErrorKind, Result};
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::error::{Direction, io_error};

/// What `len` bytes of `file` from `at` begin with.
pub(crate) fn extent(file: &File, at: u64, len: u64) -> Result<Extent> {
    let from = i64::try_from(at).map_err(|_| IoErrorKind::OutOfRange)?;
    let data = match lseek(file, from, Whence::SeekData) {
        // Nothing but a hole up to the end of the file.
        Err(Errno::ENXIO) => return Ok(Extent { len, mapped: false }),
        // A file system without the notion.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(Extent { len, mapped: true }),
        other => other.map_err(|errno| io_error(errno, Direction::In))?,
    };
    if data > from {
        return Ok(Extent { len: distance(from, data).min(len), mapped: false });
    }
    let hole = lseek(file, from, Whence::SeekHole).map_err(|errno| io_error(errno, Direction::In))?;
    Ok(Extent { len: distance(from, hole).clamp(1, len.max(1)), mapped: true })
}

fn distance(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn data_and_holes_follow_each_other_to_the_end() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(&[1; 65536], 262_144).unwrap();
        let found = |at, len| extent(&file, at, len).map(|e| (e.len, e.mapped)).unwrap();
        assert_eq!(found(0, 1 << 20), (262_144, false));
        assert_eq!(found(0, 4096), (4096, false));
        assert_eq!(found(262_144, 1 << 19), (65536, true));
        assert_eq!(found(266_240, 4096), (4096, true));
        assert_eq!(found(327_680, 720_896), (720_896, false));
    }

    #[test]
    fn a_file_without_a_hole_is_data_to_its_end() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 8192], 0).unwrap();
        assert_eq!(extent(&file, 0, 8192).unwrap(), Extent { len: 8192, mapped: true });
    }
}
