//! Where commands pass from the ring to the LUN and back: counted ([`Watch`]), and held up where the LUN has
//! limits ([`Gate`]). All that [`super::serve`] knows of either.

use std::time::Duration;

use lunette_scsi::Outcome;
use lunette_tcmu::Command;
use nix::poll::PollTimeout;

use super::gate::{Gate, Rates};
use super::meter::{Mark, Meter, Watch};

/// One LUN's turnstile, on its thread.
pub struct Turnstile<'a> {
    watch: Watch<'a>,
    gate: Gate,
}

/// Commands wait in the ring since then, if any do.
#[must_use]
pub struct Held(Option<u64>);

impl<'a> Turnstile<'a> {
    /// Without limits; it counts into `meter`.
    pub fn new(meter: &'a Meter) -> Self {
        Self { watch: Watch::new(meter), gate: Gate::new() }
    }

    /// Keeps these limits from now on, or none.
    pub fn limit(&self, limits: Option<Rates>) {
        self.gate.limit(limits, self.watch.now());
    }

    /// A turn begins: limits are looked at anew.
    pub fn begin(&self) {
        self.gate.refill(|| self.watch.now());
    }

    /// Whether another command may be taken.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// A command was taken from the ring.
    #[inline]
    pub fn taken(&self, command: &Command) -> Mark {
        let mark = self.watch.taken(command);
        self.gate.charge(mark.kind, mark.bytes);
        mark
    }

    /// A command came to its end.
    #[inline]
    pub fn ended(&self, mark: Mark, outcome: &Outcome) {
        self.watch.ended(mark, outcome);
    }

    /// The kernel told of a task management function.
    pub fn told_of_task_management(&self) {
        self.watch.told_of_task_management();
    }

    /// The LUN was held still for that long.
    pub fn paused(&self, lasted: Duration) {
        self.watch.paused(lasted);
    }

    /// What ended so far was handed to the kernel, with one kick.
    pub fn published(&self) {
        self.watch.published();
    }

    /// A turn is over, with that many commands running.
    pub fn end(&self, in_flight: usize) {
        self.watch.turned(in_flight);
    }

    /// The thread goes to rest, with or without commands that its limits keep in the ring; `engine` is what its
    /// storage works with, if that is chosen.
    pub fn rest(&self, keeps_commands: bool, engine: impl FnOnce() -> Option<&'static str>) -> Held {
        self.watch.rests(engine);
        Held(keeps_commands.then(|| self.watch.now()))
    }

    /// How long it may rest, if anybody waits until it is open again. In whole milliseconds and at least one, as
    /// poll(2) has it; what is late by that was saved up.
    pub fn patience(&self, held: &Held) -> Option<PollTimeout> {
        let up = |wait: Duration| u16::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX).max(1);
        held.0.map(|_| PollTimeout::from(up(self.gate.wait())))
    }

    /// The thread is awake again.
    pub fn wake(&self, held: &Held) {
        if let Held(Some(since)) = held {
            self.watch.held_since(*since);
        }
    }
}
