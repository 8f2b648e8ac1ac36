//! Moves bytes from one place of the volume to another, piece by piece.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::copy::results::Running;
use crate::data::{CHUNK, Yield};
use crate::refusal::Refusal;
use crate::{ByteRange, ScsiDisk, Sense};

/// Copies `source` to where `to` begins, as if all of it were read before anything is written.
///
/// `is_valid` is asked before each piece, while nobody can write to it.
///
/// # Errors
/// What the storage said, or `is_valid`; what was copied until then stays.
pub async fn copy_blocks<B: Backend>(
    disk: &ScsiDisk<B>,
    source: ByteRange,
    to: u64,
    progress: &Running<'_>,
    is_valid: impl Fn() -> Result<(), Sense>,
) -> Result<(), Refusal> {
    let backwards = to > source.at && to < source.end();
    let mut buf = DataBuf::empty();
    for (at, len) in pieces(source.len, backwards) {
        let (from, into) = (ByteRange { at: source.at + at, len }, ByteRange { at: to + at, len });
        let _claims = disk.locks.copy(from, into).await;
        is_valid()?;
        buf = disk.disk.read(from.at, fitting(buf, len)).await?;
        buf = disk.disk.write(into.at, buf, disk.durability(false)).await?;
        progress.add_bytes(len);
        Yield::default().await;
    }
    Ok(())
}

/// Offset and length of each piece, in the order in which they are copied: backwards where an earlier
/// piece would otherwise be written over one that is still to be read.
fn pieces(len: u64, backwards: bool) -> impl Iterator<Item = (u64, u64)> {
    let count = len.div_ceil(CHUNK);
    (0..count).map(move |i| {
        let at = CHUNK * if backwards { count - 1 - i } else { i };
        (at, CHUNK.min(len - at))
    })
}

/// A buffer of `len` bytes: the one that is there if it fits.
fn fitting(buf: DataBuf, len: u64) -> DataBuf {
    if buf.len() as u64 == len { buf } else { DataBuf::zeroed(usize::try_from(len).unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once_in_either_direction() {
        let len = 2 * CHUNK + 512;
        let forwards: Vec<_> = pieces(len, false).collect();
        assert_eq!(forwards, [(0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, 512)]);
        let backwards: Vec<_> = pieces(len, true).collect();
        assert!(backwards.iter().rev().eq(&forwards));
        assert_eq!(pieces(0, true).count(), 0);
    }
}
