//! Copying bytes from one file to the same place in another where they cannot be shared: data only, holes stay holes.

use std::error::Error as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use lunette_backend::IoError;

use crate::extents::extent;

/// Bytes read and written at a time.
const CHUNK: usize = 1 << 20;

/// Copies `len` bytes from `at`; what is a hole in `from` is not written, so `to` must have zeroes or a hole there.
///
/// The copy is durable once `to` is synced.
///
/// # Errors
/// What the kernel says, or `UnexpectedEof` where `from` ends before.
pub fn copy_range(from: &File, to: &File, at: u64, len: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let (mut at, end) = (at, at.saturating_add(len));
    while at < end {
        let next = extent(from, at, end - at).map_err(|error| told(&error))?;
        let piece = next.len.clamp(1, end - at);
        if next.mapped {
            copy_data(from, to, at, piece, &mut chunk)?;
        }
        at += piece;
    }
    // Beyond its end a file looks like a hole.
    if from.metadata()?.len() < end { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// The error for who copies files: it may hold a buffer, which cannot leave its thread.
fn told(error: &IoError) -> io::Error {
    match error.source() {
        Some(cause) => io::Error::other(format!("{error}: {cause}")),
        None => io::Error::other(error.to_string()),
    }
}

fn copy_data(from: &File, to: &File, at: u64, len: u64, chunk: &mut [u8]) -> io::Result<()> {
    let (mut at, end) = (at, at + len);
    while at < end {
        let size = usize::try_from(end - at).unwrap_or(CHUNK).min(chunk.len());
        let piece = &mut chunk[..size];
        from.read_exact_at(piece, at)?;
        to.write_all_at(piece, at)?;
        at += size as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn data_are_copied_and_holes_stay() {
        let (from, to) = (tempfile::tempfile_in("/dev/shm").unwrap(), tempfile::tempfile_in("/dev/shm").unwrap());
        from.set_len(8 << 20).unwrap();
        from.write_all_at(&[7; 5000], (3 << 20) + 1).unwrap();
        to.set_len(8 << 20).unwrap();
        copy_range(&from, &to, 0, 8 << 20).unwrap();
        let read = |file: &File| {
            let mut all = vec![0; 8 << 20];
            file.read_exact_at(&mut all, 0).unwrap();
            all
        };
        assert!(read(&from) == read(&to));
        assert!(to.metadata().unwrap().blocks() <= from.metadata().unwrap().blocks());
        let beyond = copy_range(&File::open("/etc/hostname").unwrap(), &to, 0, 1 << 20).map_err(|error| error.kind());
        assert_eq!(beyond, Err(io::ErrorKind::UnexpectedEof), "what ends early is no copy");
    }
}
