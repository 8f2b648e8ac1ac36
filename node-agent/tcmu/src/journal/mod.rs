//! What a ring has in flight, kept where it outlives the process: so that the next agent can finish it.
//!
//! A response may overwrite the request of another command that still runs, so after a crash the ring
//! alone does not say what was running. This file does: one [`record`](layout) for each `cmd_id`, a log
//! of what was completed lately, and which completions a published tail stands for. It lies on a tmpfs and
//! is written with plain stores into a shared mapping: no system call, no allocation on a command's way.
//!
//! What a process stored before it was killed is there in the order in which it stored it; nothing here
//! survives a reboot, nor is meant to. The orders that matter, each with a release:
//! 1. a record's contents before its state says RUNNING, and that before the command is handed out;
//! 2. a response before its record says DONE;
//! 3. how many completions a tail stands for before that tail is stored in the mailbox.
//!
//! So at any moment: a RUNNING command may have been carried out or not, and has not been answered; a DONE
//! one with a number above the published count stands answered in its slot; the mailbox's tail says which of
//! the two last counts is in force. [`recover`] reads it back, and believes nothing that does not add up.

mod file;
mod layout;
mod recover;
mod replay;
#[cfg(test)]
mod tests;

pub use file::JournalError;
pub use recover::{Doubt, History, Interrupted, Request};
pub(crate) use recover::{Plan, Recorded, plan};
pub use replay::{Effect, Sorted, Touches, sort};

use file::{Record, Words};
use layout::{OWNER, PUBLISHED, Shape, State, VALID, record};

use crate::abi;

/// Which ring a journal is of: a device of this boot that was made once, and its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: u128,
    /// What tells this device from another with the same name, before or after it.
    pub incarnation: u64,
    /// Bytes of the ring, and of the whole mapping.
    pub ring_size: u32,
    pub mapped: u64,
}

/// The journal of one ring. It belongs to whoever has claimed the device.
pub struct Journal {
    words: Words,
    boot: u128,
    /// Commands written down so far, wrapped.
    fetched: u32,
    /// Completions so far.
    completed: u64,
    /// Which of the two published counts is written next.
    next: usize,
}

/// One command as it is written down.
pub(crate) struct Fetched<W, S> {
    pub id: u16,
    /// Bytes of the CDB, and its words.
    pub cdb_len: usize,
    pub cdb: W,
    /// Offset in the mapping and length of each segment; nothing if they cannot be kept.
    pub segments: Option<S>,
}

impl Journal {
    /// Whose ring this is to be.
    pub(crate) fn owner(&self, incarnation: u64, ring_size: u32, mapped: usize) -> Owner {
        Owner { boot: self.boot, incarnation, ring_size, mapped: mapped as u64 }
    }

    /// Begins anew with nothing in flight, for a ring that was just reset or has never been read.
    pub(crate) fn begin(&mut self, owner: Owner, tail: u32) {
        self.invalidate();
        for id in 0..self.words.backed() {
            self.words.set(record(id), State::Free.word());
        }
        for (at, word) in (OWNER..).zip(owner.words()) {
            self.words.set(at, word);
        }
        (self.fetched, self.completed, self.next) = (0, 0, 0);
        self.words.set(PUBLISHED + 3, u64::MAX);
        self.publishing(tail);
        self.words.release(VALID, 1);
    }

    /// Makes it of no use to a successor, who will then reset the ring: also when it was left in doubt.
    pub fn invalidate(&mut self) {
        self.words.release(VALID, 0);
    }

    /// Writes a command down before it is handed out. `false`: there is no room, and the journal is void.
    #[inline]
    pub(crate) fn fetched<W, S>(&mut self, command: Fetched<W, S>) -> bool
    where
        W: Fn(usize) -> u64,
        S: Iterator<Item = (u64, u64)>,
    {
        let Some(record) = self.words.record(command.id) else { return self.fetched_beyond(command) };
        let words = command.cdb_len.div_ceil(8);
        for n in 0..words.min(layout::CDB_WORDS) {
            record.set(layout::CDB + n, (command.cdb)(n));
        }
        let kept = command.segments.and_then(|segments| keep_segments(record, segments));
        let kept = kept.filter(|_| words <= layout::CDB_WORDS);
        self.fetched = self.fetched.wrapping_add(1);
        let cdb_len = u16::try_from(command.cdb_len).unwrap_or(u16::MAX);
        let shape = Shape { ordinal: self.fetched, cdb_len, segments: kept, resumes: 0 };
        record.set(layout::SHAPE, shape.word());
        record.release(State::Running { since: self.completed }.word());
        true
    }

    /// The same for an id that no record was made for.
    #[cold]
    fn fetched_beyond<W, S>(&mut self, command: Fetched<W, S>) -> bool
    where
        W: Fn(usize) -> u64,
        S: Iterator<Item = (u64, u64)>,
    {
        if self.words.grow(command.id) {
            return self.fetched(command);
        }
        self.invalidate();
        false
    }

    /// Writes down that a command's response stands in its slot.
    #[inline]
    pub(crate) fn answered(&mut self, id: u16) {
        self.completed += 1;
        let Some(record) = self.words.record(id) else { return };
        self.words.log(self.completed, [record.get(layout::CDB), record.get(layout::CDB + 1)]);
        record.release(State::Done { number: self.completed }.word());
    }

    /// Writes down what `tail` stands for, before it is stored in the mailbox.
    pub(crate) fn publishing(&mut self, tail: u32) {
        let entry = PUBLISHED + 2 * self.next;
        self.words.set(entry, self.completed);
        self.words.release(entry + 1, u64::from(tail));
        self.next ^= 1;
    }

    /// Notes that a command is handed out once more.
    fn resumed(&mut self, id: u16) {
        let at = record(u32::from(id)) + layout::SHAPE;
        let shape = Shape::of(self.words.get(at));
        self.words.set(at, Shape { resumes: shape.resumes.saturating_add(1), ..shape }.word());
    }
}

/// Puts the places of a command's data into its record; how many, or nothing if they do not fit.
#[inline]
fn keep_segments(record: Record<'_>, segments: impl Iterator<Item = (u64, u64)>) -> Option<u8> {
    let mut count = 0;
    for (at, len) in segments {
        if usize::from(count) == layout::MAX_SEGMENTS || (at | len) > u64::from(u32::MAX) {
            return None;
        }
        record.set(layout::SEGMENTS + usize::from(count), at << 32 | len);
        count += 1;
    }
    Some(count)
}

impl Owner {
    fn words(self) -> [u64; 5] {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (low, high) = (self.boot as u64, (self.boot >> 64) as u64);
        [low, high, self.incarnation, u64::from(self.ring_size), self.mapped]
    }
}

/// The CDB in the first bytes of a log entry; nothing if it is longer than those.
fn logged_cdb(bytes: &[u8; 16]) -> Option<&[u8]> {
    let len = abi::cdb_len(*bytes.first_chunk()?);
    bytes.get(..len)
}
