//! A LUN's thread under a scheduler that tries orders of events out: commands, storage that answers from elsewhere,
//! pauses, stops, and the next one to serve the same ring.
//!
//! What runs here is the code itself: the files of `src/lun`, compiled with [`sync`] in the place of their own. A
//! wakeup that is lost shows as a run without end, which the scheduler gives up.

// Not in a build of its own tests: those of the files are the agent's.
#![cfg(all(feature = "schedules", not(test)))]
#![allow(dead_code, unused_imports, missing_docs, reason = "of these files only what serves is used here")]

#[path = "../../../node-agent/src/lun/alarm.rs"]
mod alarm;
#[path = "../../../node-agent/src/lun/aside.rs"]
mod aside;
#[path = "../../../node-agent/src/lun/gate/mod.rs"]
mod gate;
#[path = "../../../node-agent/src/lun/inbox.rs"]
mod inbox;
#[path = "../../../node-agent/src/lun/meter/mod.rs"]
mod meter;
#[path = "../../../node-agent/src/lun/pause.rs"]
mod pause;
pub mod scenarios;
#[path = "../../../node-agent/src/lun/serve.rs"]
mod serve;
mod server;
#[path = "../../../node-agent/src/lun/sleep.rs"]
mod sleep;
#[path = "../../../node-agent/src/lun/state.rs"]
mod state;
mod storage;
mod sync;
#[path = "../../../node-agent/src/lun/tasks.rs"]
mod tasks;
#[path = "../../../node-agent/src/lun/turnstile.rs"]
mod turnstile;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{MaxSteps, Runner};

/// Orders of events that are tried, of each kind.
const RUNS: usize = 400;
/// Changes of who runs that a run with priorities makes.
const DEPTH: usize = 3;
/// More than this is a run without end.
const STEPS: usize = 200_000;
/// As the threads of the agent have.
const STACK: usize = 512 << 10;

/// Tries orders of events out: at random, and with priorities that change a few times, which finds what is rare.
pub fn try_orders(scenario: fn()) {
    let mut config = shuttle::Config::new();
    (config.stack_size, config.max_steps) = (STACK, MaxSteps::FailAfter(STEPS));
    Runner::new(RandomScheduler::new(RUNS), config.clone()).run(scenario);
    Runner::new(PctScheduler::new(DEPTH, RUNS), config).run(scenario);
}
