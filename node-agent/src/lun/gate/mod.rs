//! Rates of one LUN's I/O, kept before a command is taken: what may not begin yet stays in the ring.
//!
//! The ring is a queue, so whoever is at its head holds up what is behind: that is the back-pressure that
//! initiators feel. Nothing times out in the kernel meanwhile (`cmd_time_out=0`), and the limits that the
//! API lets pass are such that initiators keep their patience too (`lunette_api::MIN_IOPS`). A command is
//! charged once it is taken, when its size is known: see [`bucket`] for what that bounds.
//!
//! Without limits the gate is one flag that is always set, and no clock is read.

mod bucket;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::num::NonZero;
use std::time::Duration;

use bucket::Bucket;

use super::meter::Kind;

/// Allowance that is always saved up, so that a thread that wakes a little late loses none: nanoseconds' worth.
const SMOOTHING: u64 = 100_000_000;

/// How much a LUN may do at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Reads and writes a second.
    pub operations: Option<NonZero<u64>>,
    /// Reads a second.
    pub reads: Option<NonZero<u64>>,
    /// Writes a second.
    pub writes: Option<NonZero<u64>>,
    /// Bytes a second, read or written.
    pub bytes: Option<NonZero<u64>>,
    /// How long allowance is saved up for.
    pub burst: Duration,
}

/// Lets commands pass, or not yet.
#[derive(Debug)]
pub struct Gate {
    open: Cell<bool>,
    limited: Cell<bool>,
    buckets: RefCell<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    operations: Option<Bucket>,
    reads: Option<Bucket>,
    writes: Option<Bucket>,
    bytes: Option<Bucket>,
    /// When they were last filled up.
    at: u64,
}

impl Gate {
    /// Always open.
    pub fn new() -> Self {
        Self { open: Cell::new(true), limited: Cell::new(false), buckets: RefCell::default() }
    }

    /// Keeps these limits from now on. What was saved up or owed under the old ones is carried over.
    pub fn limit(&self, limits: Option<Rates>, now: u64) {
        self.refill(|| now);
        let mut buckets = self.buckets.borrow_mut();
        *buckets = limits.map_or_else(Buckets::default, |limits| buckets.succeeded(&limits));
        buckets.at = now;
        self.limited.set(limits.is_some());
        self.open.set(buckets.are_open());
    }

    /// Whether another command may be taken.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Charges a command that was taken.
    #[inline]
    pub fn charge(&self, kind: Kind, bytes: u32) {
        if self.limited.get() {
            self.charge_limited(kind, bytes);
        }
    }

    #[cold]
    fn charge_limited(&self, kind: Kind, bytes: u32) {
        let mut buckets = self.buckets.borrow_mut();
        buckets.charge(kind, u64::from(bytes));
        self.open.set(buckets.are_open());
    }

    /// Opens again if it is time to. The clock is asked only where there are limits.
    #[inline]
    pub fn refill(&self, now: impl FnOnce() -> u64) {
        if self.limited.get() {
            let mut buckets = self.buckets.borrow_mut();
            buckets.refill(now());
            self.open.set(buckets.are_open());
        }
    }

    /// How long the gate stays shut; nothing if it is open.
    pub fn wait(&self) -> Duration {
        Duration::from_nanos(self.buckets.borrow().all().map(Bucket::wait).max().unwrap_or(0))
    }
}

impl Buckets {
    /// Buckets of these limits, each with what its predecessor has.
    fn succeeded(&self, limits: &Rates) -> Self {
        let span = u64::try_from(limits.burst.as_nanos()).unwrap_or(u64::MAX).max(SMOOTHING);
        let next = |rate: Option<NonZero<u64>>, before: &Option<Bucket>| {
            rate.map(|rate| {
                let mut bucket = Bucket::new(rate.get(), span);
                before.iter().for_each(|before| bucket.inherit(before));
                bucket
            })
        };
        Self {
            operations: next(limits.operations, &self.operations),
            reads: next(limits.reads, &self.reads),
            writes: next(limits.writes, &self.writes),
            bytes: next(limits.bytes, &self.bytes),
            at: self.at,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Bucket> {
        [&self.operations, &self.reads, &self.writes, &self.bytes].into_iter().flatten()
    }

    fn are_open(&self) -> bool {
        self.all().all(Bucket::is_open)
    }

    fn refill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        for bucket in [&mut self.operations, &mut self.reads, &mut self.writes, &mut self.bytes].into_iter().flatten() {
            bucket.refill(passed);
        }
    }

    /// A command that neither reads nor writes the medium is free.
    fn charge(&mut self, kind: Kind, bytes: u64) {
        let (own, transferred) = match kind {
            Kind::Read | Kind::Verify => (&mut self.reads, bytes),
            Kind::Write => (&mut self.writes, bytes),
            // Its data only say what to discard.
            Kind::Discard => (&mut self.writes, 0),
            Kind::Flush | Kind::Other => return,
        };
        for (bucket, tokens) in [(own, 1), (&mut self.operations, 1), (&mut self.bytes, transferred)] {
            bucket.iter_mut().for_each(|bucket| bucket.charge(tokens));
        }
    }
}
