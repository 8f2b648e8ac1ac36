//! A copy of a volume that shares its extents: a snapshot, or a LUN made from one or from another LUN.
//!
//! All that takes time happens before and after the instant: making the files, writing out dirty pages, sharing what is not
//! written to any more, syncing, renaming. At the instant the extents are shared that were written last.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lunette_backend::{CopySpec, Draft, PoolError, PoolErrorKind, VolumeId};
use lunette_fileio::{is_no_reflink, reflink, reflink_range};

use crate::config::DirectoryConfig;
use crate::description::Description;
use crate::making::Making;
use crate::message::{Bytes, failed};
use crate::root::Root;
use crate::volume::Volume;

/// Bytes of the first piece, and of the least; a multiple of every file system's blocks.
const FIRST: u64 = 1 << 20;
const LEAST: u64 = 64 << 10;
const MOST: u64 = 1 << 30;
/// How long a piece may take: writers of the source wait for it.
const BRIEF: Duration = Duration::from_millis(10);

/// A copy that is prepared.
pub(crate) struct Copy {
    making: Making,
    id: VolumeId,
    source: File,
    /// Where the source is.
    path: PathBuf,
    /// Of the source.
    description: Description,
    spec: CopySpec,
    /// Bytes of the next piece.
    piece: u64,
    taken: bool,
}

impl Copy {
    /// Prepares it, in the pool's turn; there is no volume of that name.
    pub fn prepare(config: &DirectoryConfig, turn: &Root, id: &VolumeId, spec: &CopySpec) -> Result<Self, PoolError> {
        // Found out before anybody is held still for it.
        if !can_reflink(turn)? {
            return Err(no_reflink(turn));
        }
        let volume = Volume::get(turn, &spec.source)?;
        let (source, path) = (volume.open_data(true)?, volume.path());
        let making = Making::begin(config, turn, id)?;
        let (description, spec) = (volume.description.clone(), spec.clone());
        Ok(Self { making, id: id.clone(), source, path, description, spec, piece: FIRST, taken: false })
    }

    /// In pieces, so that writers of the source wait for none of them for long: how many extents a piece has is not known
    /// before.
    fn take_range(&mut self, range: &Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at.saturating_add(self.piece));
            let began = Instant::now();
            reflink_range(&self.source, self.making.data(), &(at..end))?;
            self.piece = next_piece(self.piece, began.elapsed());
            at = end;
        }
        Ok(())
    }

    fn size(&self) -> Result<u64, PoolError> {
        let path = self.making.root().path();
        let taken = self.making.data().metadata().map_err(|error| failed("looking at a copy in", path, error))?.len();
        match self.spec.size {
            Some(size) if size < taken => {
                let text = format!(
                    "a copy of {} cannot have {}: its source has {}; ask for at least that",
                    self.spec.source,
                    Bytes(size),
                    Bytes(taken)
                );
                Err(PoolError::new(PoolErrorKind::Mismatch, text))
            }
            size => Ok(size.unwrap_or(taken)),
        }
    }
}

impl Draft for Copy {
    fn source_size(&self) -> Result<u64, PoolError> {
        let size = self.source.metadata().map(|metadata| metadata.len());
        size.map_err(|error| failed("looking at", &self.path, error))
    }

    fn settle(&mut self) -> Result<(), PoolError> {
        self.source.sync_data().map_err(|error| failed("syncing", &self.path, error))
    }

    fn take(&mut self, ranges: &[Range<u64>]) -> Result<(), PoolError> {
        let ranges = whole_blocks(ranges, self.source_size()?);
        let taken = ranges.iter().try_for_each(|range| self.take_range(range));
        taken.map_err(|error| refused(self.making.root(), error))?;
        self.taken = true;
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<(), PoolError> {
        if !self.taken {
            let text = format!("the copy {} was never taken: this is a bug of Lunette's", self.id);
            return Err(PoolError::new(PoolErrorKind::Failed, text));
        }
        let description = self.description.copied(self.size()?, &self.spec.owner);
        self.making.keep(&description)
    }
}

/// The ranges in whole blocks of any file system, of a source that has so many bytes; none of its bytes twice. What was its end, in
/// the middle of a block, may be no more: it may have grown.
fn whole_blocks(ranges: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let mut blocks: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        let (start, end) = (range.start - range.start % LEAST, range.end.next_multiple_of(LEAST).min(size));
        match blocks.last_mut().filter(|last| start <= last.end) {
            Some(last) => last.end = last.end.max(end),
            None => blocks.push(start..end),
        }
    }
    blocks
}

/// Half as large after one that took longer than it may, and twice as large after one that took a fraction of that.
fn next_piece(piece: u64, took: Duration) -> u64 {
    let next = if took > BRIEF {
        piece / 2
    } else if took < BRIEF / 4 {
        piece * 2
    } else {
        piece
    };
    next.clamp(LEAST, MOST)
}

/// Whether files in the directory can share extents: two nameless ones are made to.
pub(crate) fn can_reflink(root: &Root) -> Result<bool, PoolError> {
    let scratch = || root.scratch().map_err(|errno| failed("writing to the pool directory", root.path(), errno));
    match reflink(&scratch()?, &scratch()?) {
        Ok(()) => Ok(true),
        Err(error) if is_no_reflink(&error) => Ok(false),
        Err(error) => Err(failed("sharing extents in", root.path(), error)),
    }
}

fn refused(root: &Root, error: io::Error) -> PoolError {
    if is_no_reflink(&error) { no_reflink(root).because(error) } else { failed("taking a copy in", root.path(), error) }
}

fn no_reflink(root: &Root) -> PoolError {
    let text = format!(
        "the file system of {} shares no extents between files, so it takes no snapshots and makes no clones: use a pool \
         on XFS (made with reflink=1, the default) or btrfs",
        root.path().display()
    );
    PoolError::new(PoolErrorKind::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_whole_blocks_and_none_twice() {
        let kib = |range: Range<u64>| range.start << 10..range.end << 10;
        let blocks =
            |ranges: &[Range<u64>]| whole_blocks(&ranges.iter().cloned().map(kib).collect::<Vec<_>>(), 200 << 10);
        assert_eq!(blocks(&[16..32, 48..64]), [kib(0..64)], "of one block");
        assert_eq!(blocks(&[16..32, 64..80]), [kib(0..128)], "of two that touch");
        assert_eq!(blocks(&[0..16, 144..160]), [kib(0..64), kib(128..192)]);
        assert_eq!(blocks(&[0..16, 192..200]), [kib(0..64), kib(192..200)], "the source ends within one");
        assert!(blocks(&[]).is_empty());
    }

    #[test]
    fn pieces_become_as_large_as_they_may_and_no_larger() {
        assert_eq!(next_piece(FIRST, Duration::ZERO), 2 * FIRST);
        assert_eq!(next_piece(FIRST, BRIEF / 2), FIRST);
        assert_eq!(next_piece(FIRST, BRIEF * 2), FIRST / 2);
        assert_eq!((next_piece(LEAST, BRIEF * 2), next_piece(MOST, Duration::ZERO)), (LEAST, MOST));
    }
}
