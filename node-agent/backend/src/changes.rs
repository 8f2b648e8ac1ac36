//! Which parts of a volume are written to while somebody takes a copy of it.
//!
//! One side notes, on the LUN's thread: after a write has ended, well or not, and before anybody hears of that. The other takes
//! what was noted, and then copies it. Invariant: a part whose bytes are newer than their copy is noted, or its write has
//! not ended. So when no write runs, what is still noted is all that the copy lacks.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The least that is noted, in bytes: no file system that shares extents does so in larger blocks by default.
const LEAST: u64 = 16 << 10;
/// How many parts are told apart at most: of a larger volume they are larger.
const MOST_PARTS: u64 = 1 << 24;

/// Parts of a volume that were written to.
#[derive(Debug)]
pub struct Changes {
    /// Bytes of a part: a power of two.
    part: u64,
    /// Bytes of the volume as it was in the beginning.
    size: u64,
    noted: Box<[AtomicU64]>,
}

impl Changes {
    /// Of a volume of so many bytes: none yet.
    #[must_use]
    pub fn of(size: u64) -> Self {
        let part = size.div_ceil(MOST_PARTS).next_power_of_two().max(LEAST);
        let words = size.div_ceil(part).div_ceil(64);
        Self { part, size, noted: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes that these bytes were written to. What is behind the volume's old end is not noted: all of it is new.
    pub fn note(&self, at: u64, len: u64) {
        let end = at.saturating_add(len).min(self.size);
        let mut parts = at / self.part..end.div_ceil(self.part);
        while !parts.is_empty() {
            // A word at a time: a discard may be of the whole volume.
            let in_word = parts.start % 64;
            let count = (64 - in_word).min(parts.end - parts.start);
            if let Some(word) = word_of(parts.start).and_then(|word| self.noted.get(word)) {
                word.fetch_or(u64::MAX >> (64 - count) << in_word, Ordering::AcqRel);
            }
            parts.start += count;
        }
    }

    /// What was noted, ascending, each range as long as it can be; nothing of it is noted any more. And whatever a volume
    /// that has grown to `size` has behind its old end.
    #[must_use]
    pub fn take(&self, size: u64) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (part, word) in (0..).step_by(64).zip(&self.noted) {
            let mut bits = if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::AcqRel) };
            while bits != 0 {
                let at = (part + u64::from(bits.trailing_zeros())) * self.part;
                let end = (at + self.part).min(self.size);
                match ranges.last_mut().filter(|last| last.end == at) {
                    Some(last) => last.end = end,
                    None => ranges.push(at..end),
                }
                bits &= bits - 1;
            }
        }
        if size > self.size {
            ranges.push(self.size / self.part * self.part..size);
        }
        ranges
    }
}

fn word_of(part: u64) -> Option<usize> {
    usize::try_from(part / 64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(start: u64, end: u64) -> Vec<Range<u64>> {
        vec![Range { start, end }]
    }

    #[test]
    fn what_is_noted_is_taken_once_in_ranges_as_long_as_they_can_be() {
        let changes = Changes::of(200 * LEAST + 512);
        for (at, len) in [(0, 1), (LEAST - 1, 2), (63 * LEAST, 2 * LEAST), (200 * LEAST, 512), (70 * LEAST, 0)] {
            changes.note(at, len);
        }
        let wanted = [0..2 * LEAST, 63 * LEAST..65 * LEAST, 200 * LEAST..200 * LEAST + 512];
        assert_eq!(changes.take(0), wanted);
        assert!(changes.take(0).is_empty());
    }

    #[test]
    fn a_whole_volume_may_be_noted_at_once_or_from_any_part_to_any_other() {
        let parts = 3 * 64 + 5;
        for (from, to) in [(0, parts), (1, 2), (63, 64), (63, 65), (64, 128), (5, 130), (190, parts)] {
            let changes = Changes::of(parts * LEAST);
            changes.note(from * LEAST, (to - from) * LEAST);
            assert_eq!(changes.take(0), one(from * LEAST, to * LEAST));
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_left_out() {
        let changes = Changes::of(LEAST);
        changes.note(0, u64::MAX);
        changes.note(u64::MAX, 1);
        assert_eq!(changes.take(0), one(0, LEAST));
        Changes::of(0).note(0, 1);
        assert!(Changes::of(0).take(0).is_empty());
    }

    #[test]
    fn what_a_volume_has_grown_by_is_new() {
        let changes = Changes::of(LEAST + 512);
        changes.note(LEAST, 4096);
        assert_eq!(changes.take(LEAST + 512), one(LEAST, LEAST + 512));
        assert_eq!(changes.take(3 * LEAST), one(LEAST, 3 * LEAST));
    }

    #[test]
    fn a_large_volume_is_noted_in_larger_parts() {
        let size = 8 << 40;
        let changes = Changes::of(size);
        changes.note(size - 512, 512);
        let last = changes.take(0);
        assert_eq!(last.len(), 1);
        assert_eq!((last[0].end, last[0].end - last[0].start), (size, size / MOST_PARTS));
    }
}
