//! Which commands wait for an answer, and the right to give it.
//!
//! A [`Ticket`] is that right: made once per command, not copyable, used up by `Ring::complete`. The
//! kernel declares the whole ring broken on one unknown `cmd_id` (`tcmu_handle_completions` in TCU),
//! so a second answer must be impossible, also across rings and after `Ring::abandon`: tickets carry
//! the epoch in which they were made, and epochs are never reused in this process.

use std::sync::atomic::{AtomicU32, Ordering};

/// The right, and the duty, to answer one command.
///
/// Dropping it answers nothing: the command stays outstanding until [`Ring::abandon`](crate::Ring::abandon),
/// which is how the commands of a panicked LUN thread are answered although their tickets are gone.
#[must_use = "a command that is never completed hangs its initiator"]
#[derive(Debug)]
pub struct Ticket {
    epoch: u32,
    id: u16,
}

impl Ticket {
    /// The kernel's `cmd_id`, for logs and to match task management.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }
}

const WORDS: usize = (u16::MAX as usize + 1) / 64;

/// What a ticket was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// Its command waits for the answer.
    Answer(u16),
    /// Its command was given up, and its buffers are ours no longer than this.
    Free(u16),
}

/// The ids given out and not yet answered: one bit each.
pub struct Outstanding {
    bits: Box<[u64; WORDS]>,
    count: u32,
    /// Answered, with their buffers still ours; the kernel does not use such an id again. Few, and seldom any.
    kept: Vec<u16>,
    epoch: u32,
}

impl Outstanding {
    pub fn new() -> Self {
        Self { bits: Box::new([0; WORDS]), count: 0, kept: Vec::new(), epoch: next_epoch() }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// A ticket for `id`, or nothing if that id already waits for its answer, or has its buffers kept.
    #[inline]
    pub fn issue(&mut self, id: u16) -> Option<Ticket> {
        let (word, bit) = place(id);
        if self.bits[word] & bit != 0 || self.kept.contains(&id) {
            return None;
        }
        self.bits[word] |= bit;
        self.count += 1;
        Some(Ticket { epoch: self.epoch, id })
    }

    /// Takes a ticket back; what it is good for, or nothing if the ticket is of another ring or of a
    /// command that was abandoned.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "consuming the ticket is the point")]
    pub fn redeem(&mut self, ticket: Ticket) -> Option<Redeemed> {
        let Ticket { epoch, id } = ticket;
        if epoch != self.epoch {
            return None;
        }
        if self.remove(id) {
            return Some(Redeemed::Answer(id));
        }
        let place = self.kept.iter().position(|kept| *kept == id)?;
        Some(Redeemed::Free(self.kept.swap_remove(place)))
    }

    /// Notes that a command is answered and its buffers are kept; whether it waited for its answer.
    pub fn keep(&mut self, id: u16) -> bool {
        let there = self.remove(id);
        if there {
            self.kept.push(id);
        }
        there
    }

    /// Takes one command out after voiding all tickets; nothing when none is left.
    pub fn abandon_one(&mut self) -> Option<u16> {
        let word = self.bits.iter().position(|bits| *bits != 0)?;
        let id = u16::try_from(word * 64 + self.bits[word].trailing_zeros() as usize).ok()?;
        self.remove(id).then_some(id)
    }

    /// Makes every ticket given out so far void.
    pub fn void_tickets(&mut self) {
        self.epoch = next_epoch();
    }

    fn remove(&mut self, id: u16) -> bool {
        let (word, bit) = place(id);
        let there = self.bits[word] & bit != 0;
        self.bits[word] &= !bit;
        self.count -= u32::from(there);
        there
    }
}

fn place(id: u16) -> (usize, u64) {
    (usize::from(id >> 6), 1 << (id & 63))
}

fn next_epoch() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_issued_once_until_redeemed() {
        let mut open = Outstanding::new();
        let ticket = open.issue(65_535).unwrap();
        assert!(open.issue(65_535).is_none());
        assert_eq!(open.redeem(ticket), Some(Redeemed::Answer(65_535)));
        assert!(open.issue(65_535).is_some());
        assert_eq!(open.count(), 1);
    }

    #[test]
    fn a_kept_id_is_not_issued_until_its_ticket_is_back() {
        let mut open = Outstanding::new();
        assert!(!open.keep(7), "nobody waits for it");
        let ticket = open.issue(7).unwrap();
        assert!(open.keep(7) && !open.keep(7));
        assert!(open.issue(7).is_none());
        assert_eq!(open.count(), 0, "it is answered");
        assert_eq!(open.redeem(ticket), Some(Redeemed::Free(7)));
        assert!(open.issue(7).is_some());
    }

    #[test]
    fn a_ticket_of_another_ring_is_void() {
        let (mut one, mut other) = (Outstanding::new(), Outstanding::new());
        let ticket = one.issue(7).unwrap();
        let _theirs = other.issue(7).unwrap();
        assert_eq!(other.redeem(ticket), None);
        assert_eq!((one.count(), other.count()), (1, 1));
    }

    #[test]
    fn abandoning_finds_every_id_and_voids_its_ticket() {
        let mut open = Outstanding::new();
        let tickets: Vec<Ticket> = [1, 64, 4096, 65_535].map(|id| open.issue(id).unwrap()).into();
        open.void_tickets();
        let ids: Vec<u16> = std::iter::from_fn(|| open.abandon_one()).collect();
        assert_eq!(ids, [1, 64, 4096, 65_535]);
        assert_eq!(open.count(), 0);
        let _reused = open.issue(64).unwrap();
        for ticket in tickets {
            assert_eq!(open.redeem(ticket), None);
        }
    }
}
