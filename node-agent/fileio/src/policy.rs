//! What this file is known to do inline, learnt from what it did: the choice between a plain system call
//! now and the queue.
//!
//! Reads of the page cache are tried with `RWF_NOWAIT`, so a miss costs one refused call and goes to the
//! queue; after a row of misses only every eighth read is tried. Buffered writes normally complete in the
//! page cache. Where the file system takes `RWF_NOWAIT` for them (XFS, btrfs) that is asked for; where it
//! does not (ext4, NFS) they are done by a plain call, except what is known to block: a write that covers
//! part of a page may have to read the rest first, and a kernel that throttles writers does so for a
//! while. An inline write that took long is the sign of throttling: writes then go to the queue for a
//! time, so that the LUN's reads go on. Files in memory (tmpfs) never block and are always done inline.

use std::cell::Cell;

use nix::time::{ClockId, clock_gettime};

/// Misses in a row after which inline reads are only sampled.
const MISSES: u8 = 8;
/// One read in so many is still tried while sampling.
const SAMPLE: u8 = 8;
/// An inline write longer than this was throttled. The coarse clock's step is at most 10 ms.
const THROTTLED_MS: u64 = 25;
/// How long writes stay off the LUN's thread after one was throttled.
const COOL_DOWN_MS: u64 = 500;
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

/// What is known about one file.
#[derive(Debug)]
pub(crate) struct Policy {
    cached: bool,
    resident: bool,
    nowait_reads: Cell<bool>,
    nowait_writes: Cell<bool>,
    misses: Cell<u8>,
    throttled_until: Cell<u64>,
}

impl Policy {
    /// `cached`: through the page cache; `resident`: in memory for good.
    pub fn new(cached: bool, resident: bool) -> Self {
        Self {
            cached,
            resident: cached && resident,
            nowait_reads: Cell::new(true),
            nowait_writes: Cell::new(true),
            misses: Cell::new(0),
            throttled_until: Cell::new(0),
        }
    }

    pub fn read(&self) -> Attempt {
        if self.resident {
            return Attempt::Plain;
        }
        if !self.cached || !self.nowait_reads.get() {
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

    pub fn read_hit(&self) {
        self.misses.set(0);
    }

    pub fn read_missed(&self) {
        self.misses.set(self.misses.get().saturating_add(1).min(MISSES));
    }

    pub fn write(&self, at: u64, len: usize, durable: bool) -> Attempt {
        if self.resident {
            return Attempt::Plain;
        }
        if !self.cached || durable {
            return Attempt::Queue;
        }
        if self.nowait_writes.get() {
            return Attempt::NoWait;
        }
        let whole_pages = (at | len as u64).is_multiple_of(PAGE);
        if !whole_pages || self.throttled() { Attempt::Queue } else { Attempt::Timed }
    }

    /// Syncing and the like: only where it is a matter of memory.
    pub fn sync(&self) -> Attempt {
        if self.resident { Attempt::Plain } else { Attempt::Queue }
    }

    pub fn no_nowait_reads(&self) {
        self.nowait_reads.set(false);
    }

    pub fn no_nowait_writes(&self) {
        self.nowait_writes.set(false);
    }

    /// Notes when a timed write began and ended.
    pub fn write_took(&self, began: u64) {
        let now = coarse_ms();
        if now.saturating_sub(began) >= THROTTLED_MS {
            self.throttled_until.set(now + COOL_DOWN_MS);
        }
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
pub(crate) fn coarse_ms() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE) else { return 0 };
    let (seconds, nanos) = (now.tv_sec(), now.tv_nsec());
    u64::try_from(seconds).unwrap_or(0) * 1000 + u64::try_from(nanos).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_and_durable_operations_are_queued() {
        let direct = Policy::new(false, false);
        assert_eq!(direct.read(), Attempt::Queue);
        assert_eq!(direct.write(0, 4096, false), Attempt::Queue);
        assert_eq!(Policy::new(true, false).write(0, 4096, true), Attempt::Queue);
    }

    #[test]
    fn memory_is_always_inline() {
        let memory = Policy::new(true, true);
        assert_eq!(memory.read(), Attempt::Plain);
        assert_eq!(memory.write(1, 1, true), Attempt::Plain);
        assert_eq!(memory.sync(), Attempt::Plain);
    }

    #[test]
    fn after_a_row_of_misses_one_read_in_eight_is_tried_until_one_hits() {
        let policy = Policy::new(true, false);
        for _ in 0..MISSES {
            assert_eq!(policy.read(), Attempt::NoWait);
            policy.read_missed();
        }
        let tried: Vec<Attempt> = (0..9).map(|_| policy.read()).collect();
        assert_eq!(tried.iter().filter(|a| **a == Attempt::NoWait).count(), 1);
        policy.read_hit();
        assert_eq!(policy.read(), Attempt::NoWait);
    }

    #[test]
    fn parts_of_pages_are_queued_where_nowait_is_unknown() {
        let policy = Policy::new(true, false);
        assert_eq!(policy.write(512, 512, false), Attempt::NoWait);
        policy.no_nowait_writes();
        assert_eq!(policy.write(512, 512, false), Attempt::Queue);
        assert_eq!(policy.write(4096, 8192, false), Attempt::Timed);
    }

    #[test]
    fn a_throttled_write_sends_the_next_ones_to_the_queue() {
        let policy = Policy::new(true, false);
        policy.no_nowait_writes();
        policy.write_took(coarse_ms());
        assert_eq!(policy.write(0, 4096, false), Attempt::Timed);
        policy.write_took(coarse_ms().saturating_sub(THROTTLED_MS + 10));
        assert_eq!(policy.write(0, 4096, false), Attempt::Queue);
    }
}
