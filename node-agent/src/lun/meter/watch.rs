//! The counting itself, on the LUN's thread: what every command pays for being measured.
//!
//! A command that is counted costs some 60 instructions, one that is timed three readings of the clock and
//! two entries in a histogram on top: some hundreds (tests/perf/cost tells). One in 32 is timed; of those that come after a rest,
//! when the thread has just paid for sleeping, one in four, so that a LUN with little to do is seen as well.
//! A timed command counts for the 32 or 4 that it was drawn from, so a histogram's count is an estimate of
//! the commands there were, and its shape that of all. Lots are random: the place in a batch must not
//! decide who is timed.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use lunette_scsi::Outcome;
use lunette_tcmu::Command;

use super::errors::error_of;
use super::{Kind, Meter};

/// What a timed command stands for, in shares.
const LOT: i32 = 32;
/// Shares of a command that comes after a rest; others have one.
const AFTER_REST: i32 = 8;

/// What is remembered of a command while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// When it was taken from the ring, in nanoseconds of the watch, if it is timed.
    at: u64,
    /// Bytes of its buffer.
    pub bytes: u32,
    /// How many commands it stands for; 0 if it is not timed.
    weight: u8,
    /// What it does.
    pub kind: Kind,
}

/// The thread's side of its meter.
pub struct Watch<'a> {
    meter: &'a Meter,
    start: Instant,
    /// Shares that the next commands have, together, before one of them is timed.
    left: Cell<i32>,
    /// Shares of the next command.
    shares: Cell<i32>,
    seed: Cell<u32>,
    /// Timed commands that ended and are not yet published: when, and their weight.
    ended: RefCell<Vec<(u64, u8)>>,
}

impl<'a> Watch<'a> {
    /// Counts into `meter`.
    pub fn new(meter: &'a Meter) -> Self {
        Self {
            meter,
            start: Instant::now(),
            left: Cell::new(AFTER_REST),
            shares: Cell::new(AFTER_REST),
            seed: Cell::new(0x9e37_79b9),
            ended: RefCell::default(),
        }
    }

    /// Nanoseconds since the watch was made.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A command was taken from the ring.
    #[inline]
    pub fn taken(&self, command: &Command) -> Mark {
        let bytes = u32::try_from(command.data.len()).unwrap_or(u32::MAX);
        let weight = self.draw();
        let at = if weight > 0 { self.now() } else { 0 };
        Mark { at, bytes, weight, kind: Kind::of(&command.cdb) }
    }

    /// A command came to its end.
    #[inline]
    pub fn ended(&self, mark: Mark, outcome: &Outcome) {
        self.meter.operations[mark.kind as usize].add(1);
        if outcome.is_good() {
            match mark.kind {
                Kind::Read => self.meter.read_bytes.add(u64::from(outcome.data_in.unwrap_or(mark.bytes))),
                Kind::Write => self.meter.written_bytes.add(u64::from(mark.bytes)),
                _ => {}
            }
        } else {
            self.meter.errors[error_of(outcome)].add(1);
        }
        if mark.weight > 0 {
            self.timed(mark);
        }
    }

    #[cold]
    fn timed(&self, mark: Mark) {
        let now = self.now();
        self.meter.backend[mark.kind as usize].add(now - mark.at, u64::from(mark.weight));
        self.ended.borrow_mut().push((now, mark.weight));
    }

    /// What ended so far was handed to the kernel, with one kick.
    pub fn published(&self) {
        self.meter.kicks.add(1);
        let mut ended = self.ended.borrow_mut();
        if ended.is_empty() {
            return;
        }
        let now = self.now();
        for (then, weight) in ended.drain(..) {
            self.meter.completion.add(now - then, u64::from(weight));
        }
    }

    /// A turn is over.
    pub fn turned(&self, in_flight: usize) {
        self.meter.in_flight.set(in_flight as u64);
    }

    /// The thread found nothing to do. `engine` is asked until it says what the storage works with.
    pub fn rests(&self, engine: impl FnOnce() -> Option<&'static str>) {
        self.shares.set(AFTER_REST);
        if self.meter.engine.get().is_none()
            && let Some(engine) = engine()
        {
            // Only this thread sets it.
            let _ = self.meter.engine.set(engine);
        }
    }

    /// The kernel told of a task management function.
    pub fn told_of_task_management(&self) {
        self.meter.task_management.add(1);
    }

    /// The LUN was held still for that long.
    pub fn paused(&self, lasted: Duration) {
        self.meter.pauses.add(u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX), 1);
    }

    /// Limits held commands up in the ring since `then`.
    pub fn held_since(&self, then: u64) {
        self.meter.held.add(self.now() - then);
    }

    /// What the next command stands for: 0 for most.
    #[inline]
    fn draw(&self) -> u8 {
        let shares = self.shares.replace(1);
        let left = self.left.get() - shares;
        self.left.set(left);
        if left > 0 { 0 } else { self.drawn(left, shares) }
    }

    /// Casts the next lot: [`LOT`] shares on average, never so few that one command could win twice.
    #[cold]
    fn drawn(&self, left: i32, shares: i32) -> u8 {
        let seed = self.seed.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.seed.set(seed);
        let [.., high] = seed.to_le_bytes();
        // 0 to 48, so 24 on average: the multiplication spreads a byte over 49 values.
        let chance = i32::from(high) * (2 * (LOT - AFTER_REST) + 1) / 256;
        self.left.set(left + AFTER_REST + chance);
        u8::try_from(LOT / shares).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(watch: &Watch<'_>, rests: impl Fn(u32) -> bool) -> (u64, u32) {
        let (mut weight, mut timed) = (0, 0);
        for number in 0..100_000 {
            if rests(number) {
                watch.rests(|| None);
            }
            let drawn = watch.draw();
            weight += u64::from(drawn);
            timed += u32::from(drawn > 0);
        }
        (weight, timed)
    }

    /// Whether the thread rests before the command of that number.
    type Rests = fn(u32) -> bool;

    #[test]
    fn timed_commands_stand_for_all() {
        let cases: [(Rests, u32); 4] = [
            (|_| false, 100_000 / 32),
            (|_| true, 100_000 / 4),
            (|number| number % 32 == 0, 100_000 / 32 * 39 / 32),
            (|number| number % 3 == 0, 100_000 / 3 * 10 / 32),
        ];
        for (rests, expected) in cases {
            let meter = Meter::default();
            let (weight, timed) = weights(&Watch::new(&meter), rests);
            assert!((97_000..103_000).contains(&weight), "{weight} commands");
            assert!(timed.abs_diff(expected) < expected / 50, "{timed} timed, not {expected}");
        }
    }

    #[test]
    fn every_place_in_a_batch_is_timed_as_often() {
        let meter = Meter::default();
        let watch = Watch::new(&meter);
        let mut timed = [0_u32; 32];
        for number in 0..320_000 {
            timed[number % 32] += u32::from(watch.draw() > 0);
        }
        assert!(timed.iter().all(|count| (200..450).contains(count)), "{timed:?}");
    }
}
