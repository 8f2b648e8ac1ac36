//! What this file is known to do inline, learnt from what it did: the choice between a plain system call
//! now and the queue.
//!
//! Reads of the page cache are tried with `RWF_NOWAIT`, so a miss costs one refused call and goes to the
//! queue; after a row of misses only every eighth read is tried. Buffered writes normally complete in the
//! page cache. Where the file system takes `RWF_NOWAIT` for them (XFS, btrfs) that is asked for; where it
//! does not (ext4, NFS) they are done by a plain call, except what is known to block: a write that covers
//! part of a page may have to read the rest first, and a kernel that throttles writers does so for a
//! while. Two inline writes in a short time that took long are the sign of throttling (one may be an
//! accident of scheduling): writes then go to the queue for a time, so that the LUN's reads go on. Files in memory (tmpfs) never block and are always done inline.
//!
//! `O_DIRECT` is queued, and so is what has to be durable at once. But a device of memory (a RAM disk, persistent memory) has a
//! transfer done by the time it has been handed over, and then a queue is nothing but a detour. Such a device has no
//! requests to wait for ([`Layout::unqueued`](crate::Layout)); once a row of transfers were over as soon as the ring had taken
//! them, the next ones are done by plain calls, watched in the same way.

use std::cell::Cell;

use nix::time::{ClockId, clock_gettime};

use crate::layout::Layout;
use crate::request::Kind;

/// Misses in a row after which inline reads are only sampled.
const MISSES: u8 = 8;
/// One read in so many is still tried while sampling.
const SAMPLE: u8 = 8;
/// An inline write longer than this may have been throttled. The coarse clock's step is at most 10 ms.
const SLOW_MS: u64 = 25;
/// A second slow write within this time settles it.
const SUSPICION_MS: u64 = 1000;
/// How long writes stay off the LUN's thread after one was throttled.
const COOL_DOWN_MS: u64 = 500;
/// Transfers in a row that were over as soon as they had been handed over, and after which a device counts as prompt.
const PROMPT: usize = 64;
/// A page on every architecture we know has at least this many bytes.
const PAGE: u64 = 4096;

/// How to try an operation inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Not at all: queue it.
    Queue,
    /// With `RWF_NOWAIT`: it refuses what would block.
    NoWait,
    /// By a plain call that is not expected to block.
    Plain,
    /// By a plain call, watching how long it takes.
    Timed,
}

impl Attempt {
    /// For preadv2(2).
    pub fn flags(self) -> i32 {
        if self == Self::NoWait { libc::RWF_NOWAIT } else { 0 }
    }
}

/// What is known about one file.
#[derive(Debug)]
pub(crate) struct Policy {
    cached: bool,
    resident: bool,
    unqueued: bool,
    nowait_reads: Cell<bool>,
    nowait_writes: Cell<bool>,
    misses: Cell<u8>,
    prompt: Cell<usize>,
    suspected_until: Cell<u64>,
    throttled_until: Cell<u64>,
}

impl Policy {
    /// For a file that is used through the page cache or not.
    pub fn new(cached: bool, layout: &Layout) -> Self {
        Self {
            cached,
            resident: cached && layout.resident,
            unqueued: layout.unqueued,
            nowait_reads: Cell::new(true),
            nowait_writes: Cell::new(true),
            misses: Cell::new(0),
            prompt: Cell::new(0),
            suspected_until: Cell::new(0),
            throttled_until: Cell::new(0),
        }
    }

    pub fn read(&self) -> Attempt {
        if self.resident {
            return Attempt::Plain;
        }
        if !self.cached {
            return self.direct();
        }
        if !self.nowait_reads.get() {
            return Attempt::Queue;
        }
        let misses = self.misses.get();
        if misses < MISSES {
            return Attempt::NoWait;
        }
        // The counter goes on from MISSES to MISSES + SAMPLE and then tries once more.
        let next = misses + 1;
        self.misses.set(if next >= MISSES + SAMPLE { MISSES - 1 } else { next });
        Attempt::Queue
    }

    /// For a caller that asks [`Policy::read`] if it fails: nothing is tried twice in a row of misses.
    pub fn read_at_once(&self) -> Attempt {
        match self.misses.get() {
            _ if self.resident => Attempt::Plain,
            0 if self.cached && self.nowait_reads.get() => Attempt::NoWait,
            _ if !self.cached => self.direct(),
            _ => Attempt::Queue,
        }
    }

    pub fn read_hit(&self) {
        self.misses.set(0);
    }

    /// Notes that an operation would have blocked.
    pub fn refused(&self, attempt: Attempt, kind: Kind) {
        if attempt == Attempt::NoWait && kind == Kind::Read {
            self.misses.set(self.misses.get().saturating_add(1).min(MISSES));
        }
    }

    /// Notes that the file system does not know `RWF_NOWAIT` for such operations.
    pub fn no_nowait(&self, kind: Kind) {
        match kind {
            Kind::Read => self.nowait_reads.set(false),
            _ => self.nowait_writes.set(false),
        }
    }

    pub fn write(&self, at: u64, len: usize, durable: bool) -> Attempt {
        if self.resident {
            return Attempt::Plain;
        }
        if durable {
            return Attempt::Queue;
        }
        if !self.cached {
            return self.direct();
        }
        if self.nowait_writes.get() {
            return Attempt::NoWait;
        }
        let whole_pages = (at | len as u64).is_multiple_of(PAGE);
        if !whole_pages || self.throttled() { Attempt::Queue } else { Attempt::Timed }
    }

    fn direct(&self) -> Attempt {
        let prompt = self.unqueued && self.prompt.get() >= PROMPT;
        if prompt && !self.throttled() { Attempt::Timed } else { Attempt::Queue }
    }

    /// Notes that so many transfers, and nothing else, ran when they had been handed over, and how many of them were over by then.
    pub fn handed_over(&self, transfers: usize, over: usize) {
        let row = if over == transfers { self.prompt.get().saturating_add(transfers) } else { 0 };
        self.prompt.set(row);
    }

    /// Syncing and the like: only where it is a matter of memory.
    pub fn sync(&self) -> Attempt {
        if self.resident { Attempt::Plain } else { Attempt::Queue }
    }

    /// Runs a transfer and notes how long it took.
    pub fn timed<T>(&self, transfer: impl FnOnce() -> T) -> T {
        let began = coarse_ms();
        let result = transfer();
        self.took(began, coarse_ms());
        result
    }

    fn took(&self, began: u64, ended: u64) {
        if ended.saturating_sub(began) < SLOW_MS {
            return;
        }
        if began < self.suspected_until.get() {
            self.throttled_until.set(ended + COOL_DOWN_MS);
        }
        self.suspected_until.set(ended + SUSPICION_MS);
    }

    fn throttled(&self) -> bool {
        let until = self.throttled_until.get();
        if until == 0 {
            return false;
        }
        let still = coarse_ms() < until;
        if !still {
            self.throttled_until.set(0);
        }
        still
    }
}

/// Milliseconds of the coarse monotonic clock: read from memory, whatever the clock source costs.
fn coarse_ms() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE) else { return 0 };
    let (seconds, nanos) = (now.tv_sec(), now.tv_nsec());
    u64::try_from(seconds).unwrap_or(0) * 1000 + u64::try_from(nanos).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Kind = Kind::Write { durable: false };

    fn policy(cached: bool, resident: bool, unqueued: bool) -> Policy {
        Policy::new(cached, &Layout { direct: Some(512), resident, unqueued, block: 4096 })
    }

    fn cached() -> Policy {
        policy(true, false, false)
    }

    #[test]
    fn direct_and_durable_operations_are_queued() {
        let direct = policy(false, false, false);
        assert_eq!(direct.read(), Attempt::Queue);
        assert_eq!(direct.write(0, 4096, false), Attempt::Queue);
        assert_eq!(cached().write(0, 4096, true), Attempt::Queue);
    }

    #[test]
    fn a_device_of_memory_is_used_by_plain_calls_once_a_row_of_transfers_were_over_at_once() {
        let memory = policy(false, false, true);
        memory.handed_over(PROMPT - 1, PROMPT - 1);
        assert_eq!((memory.read(), memory.read_at_once()), (Attempt::Queue, Attempt::Queue));
        memory.handed_over(1, 1);
        assert_eq!((memory.read(), memory.read_at_once()), (Attempt::Timed, Attempt::Timed));
        assert_eq!((memory.write(512, 512, false), memory.write(0, 512, true)), (Attempt::Timed, Attempt::Queue));
        memory.handed_over(8, 7);
        assert_eq!(memory.read_at_once(), Attempt::Queue, "it kept one waiting");
        let disk = policy(false, false, false);
        disk.handed_over(PROMPT, PROMPT);
        assert_eq!(disk.read_at_once(), Attempt::Queue, "its requests may hang");
    }

    #[test]
    fn a_device_of_memory_that_became_slow_is_queued_for_a_time() {
        let memory = policy(false, false, true);
        memory.handed_over(PROMPT, PROMPT);
        let now = coarse_ms() + 2 * SUSPICION_MS;
        memory.took(now - SLOW_MS, now);
        memory.took(now, now + SLOW_MS);
        assert_eq!(memory.read_at_once(), Attempt::Queue);
    }

    #[test]
    fn memory_is_always_inline() {
        let memory = policy(true, true, false);
        assert_eq!(memory.read(), Attempt::Plain);
        assert_eq!(memory.write(1, 1, true), Attempt::Plain);
        assert_eq!(memory.sync(), Attempt::Plain);
    }

    #[test]
    fn after_a_row_of_misses_one_read_in_eight_is_tried_until_one_hits() {
        let policy = cached();
        for _ in 0..MISSES {
            assert_eq!(policy.read(), Attempt::NoWait);
            policy.refused(Attempt::NoWait, Kind::Read);
        }
        let tried: Vec<Attempt> = (0..9).map(|_| policy.read()).collect();
        assert_eq!(tried.iter().filter(|a| **a == Attempt::NoWait).count(), 1);
        policy.read_hit();
        assert_eq!(policy.read(), Attempt::NoWait);
    }

    #[test]
    fn parts_of_pages_are_queued_where_nowait_is_unknown() {
        let policy = cached();
        assert_eq!(policy.write(512, 512, false), Attempt::NoWait);
        policy.no_nowait(WRITE);
        assert_eq!(policy.write(512, 512, false), Attempt::Queue);
        assert_eq!(policy.write(4096, 8192, false), Attempt::Timed);
    }

    #[test]
    fn two_slow_writes_in_a_short_time_send_the_next_ones_to_the_queue() {
        let policy = cached();
        policy.no_nowait(WRITE);
        let now = coarse_ms() + 2 * SUSPICION_MS;
        policy.took(now - SLOW_MS, now);
        assert_eq!(policy.write(0, 4096, false), Attempt::Timed, "one is an accident");
        policy.took(now, now + SLOW_MS);
        assert_eq!(policy.write(0, 4096, false), Attempt::Queue);
    }

    #[test]
    fn slow_writes_far_apart_are_accidents() {
        let policy = cached();
        policy.no_nowait(WRITE);
        for began in [10_000, 12_000, 14_000] {
            policy.took(began, began + SLOW_MS);
            assert_eq!(policy.write(0, 4096, false), Attempt::Timed);
        }
    }
}
