//! What a LUN's thread counts of its commands, and how others read it.
//!
//! A [`Meter`] is written by one thread with plain loads and stores, and read by any: no lock, no locked
//! instruction, no cache line that another LUN writes. Reading the clock is what measuring would cost, so
//! a few commands are drawn by lot and timed ([`watch`]); each counts for as many as it was drawn from.
//!
//! Times begin when a command is taken from the ring: an entry carries no time of its own (`struct
//! tcmu_cmd_entry` in Linux' target_core_user.h), so how long it lay in the ring nobody can tell. Only the
//! time for which the LUN's own limits held the ring up is known, and counted.

mod errors;
mod histogram;
mod kind;
mod ledger;
mod watch;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use errors::ERRORS;
pub use histogram::{Buckets, Histogram};
pub use kind::{KINDS, Kind};
pub use ledger::{Ledger, Snapshot};
pub use watch::{Mark, Watch};

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it. Only its one writer may: an addition by another could be lost.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    #[inline]
    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one thread has counted since it was started.
#[derive(Debug, Default)]
pub struct Meter {
    /// Commands answered, by [`Kind`].
    operations: [Count; KINDS.len()],
    /// Bytes that reads answered with GOOD gave to initiators.
    read_bytes: Count,
    /// Bytes that writes answered with GOOD took from initiators.
    written_bytes: Count,
    /// Commands answered with anything but GOOD, by [`ERRORS`].
    errors: [Count; ERRORS.len()],
    /// Commands taken and not yet answered, when the thread last rested or published.
    in_flight: Count,
    /// Batches of answers handed to the kernel.
    kicks: Count,
    /// Task management functions that the kernel told of.
    task_management: Count,
    /// Nanoseconds for which commands stayed in the ring because the LUN's limits were reached.
    held: Count,
    /// For how long the LUN was held still, each time.
    pauses: Histogram,
    /// What carries out operations that cannot be done at once, if there were any.
    engine: OnceLock<&'static str>,
    /// From the ring to the answer, by [`Kind`].
    backend: [Histogram; KINDS.len()],
    /// From the answer to the end of the kick that gave it to the kernel.
    completion: Histogram,
}
