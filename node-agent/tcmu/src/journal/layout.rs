//! The journal's file, as numbers: all in words of eight bytes in the machine's order, which never leaves it.
//!
//! A page of what it is of and what is published, the log of completions, then the records by `cmd_id`. The
//! kernel gives out the lowest id that is free, so that records in use lie together at the beginning.

/// The first words of the file.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"lunejrnl");
/// To be raised with any change of this layout or of what it means: another version is as good as none.
pub const VERSION: u64 = 1;

/// Magic, version.
pub const HEAD: usize = 0;
/// Whose it is: five words.
pub const OWNER: usize = 2;
/// 1 while it says the truth.
pub const VALID: usize = 7;
/// Twice: a count of completions, and the tail that stands for it.
pub const PUBLISHED: usize = 8;
/// Records that the file has memory for.
pub const BACKED: usize = 12;

/// The log of completions, by number: the first sixteen bytes of each CDB.
pub const LOG: usize = 512;
/// Entries of the log, and its words.
pub const LOG_LEN: u64 = LOG_WORDS as u64 / 2;
pub const LOG_WORDS: usize = 2048;

/// The records.
const RECORDS: usize = LOG + LOG_WORDS;
/// Words of a record.
pub const RECORD: usize = 32;
/// One for each `cmd_id`.
pub const MAX_RECORDS: u32 = 1 << 16;
/// Words of the file.
pub const WORDS: usize = RECORDS + RECORD * MAX_RECORDS as usize;

/// In a record: its [`Shape`], the CDB, the segments. The first word is its [`State`].
pub const SHAPE: usize = 1;
pub const CDB: usize = 2;
pub const CDB_WORDS: usize = 4;
pub const SEGMENTS: usize = CDB + CDB_WORDS;
/// More than a command of 64 KiB has at worst.
pub const MAX_SEGMENTS: usize = RECORD - SEGMENTS;

/// Where the record of an id begins.
pub fn record(id: u32) -> usize {
    RECORDS + RECORD * id as usize
}

/// Bytes of the file that hold the first `records` records and what comes before them.
pub fn bytes_of(records: u32) -> u64 {
    8 * record(records) as u64
}

/// What a record says of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Free,
    /// It was handed out after so many completions.
    Running { since: u64 },
    /// It was answered, and is that completion.
    Done { number: u64 },
}

impl State {
    pub fn word(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::Running { since } => since << 2 | 1,
            Self::Done { number } => number << 2 | 2,
        }
    }

    /// Nothing for a word that is none.
    pub fn of(word: u64) -> Option<Self> {
        match word & 3 {
            0 => Some(Self::Free),
            1 => Some(Self::Running { since: word >> 2 }),
            2 => Some(Self::Done { number: word >> 2 }),
            _ => None,
        }
    }
}

/// How the rest of a record is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Which of all commands that were handed out it is, counted from 1 and wrapped.
    pub ordinal: u32,
    /// Bytes of the CDB.
    pub cdb_len: u16,
    /// How many segments; nothing if the command did not fit the record.
    pub segments: Option<u8>,
    /// How often it was handed out again after a crash.
    pub resumes: u8,
}

const NOT_KEPT: u8 = u8::MAX;

impl Shape {
    pub fn word(self) -> u64 {
        let segments = self.segments.unwrap_or(NOT_KEPT);
        u64::from(self.ordinal) << 32
            | u64::from(self.cdb_len) << 16
            | u64::from(segments) << 8
            | u64::from(self.resumes)
    }

    pub fn of(word: u64) -> Self {
        let bytes = word.to_be_bytes();
        Self {
            ordinal: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            cdb_len: u16::from_be_bytes([bytes[4], bytes[5]]),
            segments: Some(bytes[6]).filter(|count| *count != NOT_KEPT),
            resumes: bytes[7],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_shapes_are_read_as_they_were_written() {
        for state in [State::Free, State::Running { since: 1 << 40 }, State::Done { number: 7 }] {
            assert_eq!(State::of(state.word()), Some(state));
        }
        assert_eq!(State::of(3), None);
        for segments in [None, Some(0), Some(26)] {
            let shape = Shape { ordinal: 0x1234_5678, cdb_len: 260, segments, resumes: 2 };
            assert_eq!(Shape::of(shape.word()), shape);
        }
    }

    #[test]
    fn the_count_of_segments_fits_a_record() {
        assert!(MAX_SEGMENTS < usize::from(NOT_KEPT) && MAX_SEGMENTS >= 16);
    }
}
