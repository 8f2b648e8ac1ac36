//! What counting and limiting cost per command, against the mock kernel: for a profiler that counts
//! instructions, as a clock would measure the machine's other work.
//!
//! Only the function named `agent_…` is counted. For example
//! `valgrind --tool=callgrind --toggle-collect='*agent_*' …/cost-counting 32`, divided by the commands
//! printed. The argument is the depth; a second one, `limited`, sets limits that are never reached.

#![allow(dead_code, unused_imports, missing_docs, reason = "only what the turnstile needs of these is used here")]

#[path = "../../../../node-agent/src/lun/gate/mod.rs"]
mod gate;
#[path = "../../../../node-agent/src/lun/meter/mod.rs"]
mod meter;
#[path = "../../../../node-agent/src/lun/turnstile.rs"]
mod turnstile;

use std::num::NonZero;

use lunette_scsi::Outcome;
use lunette_tcmu::mock::{Config, Kernel, Request};
use lunette_tcmu::{Command, Entry, Reply};
use turnstile::Turnstile;

const COMMANDS: usize = 32_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let depth = arguments.next().and_then(|depth| depth.parse().ok()).unwrap_or(32);
    let meter = meter::Meter::default();
    let turnstile = Turnstile::new(&meter);
    if arguments.next().is_some_and(|word| word == "limited") {
        let plenty = NonZero::new(1 << 40);
        turnstile.limit(Some(gate::Rates { operations: plenty, bytes: plenty, ..gate::Rates::default() }));
    }
    let mut kernel = Kernel::new(Config { ring_bytes: 1 << 20, ..Config::default() });
    let (_device, mut ring) = kernel.device();
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    for _ in 0..COMMANDS / depth {
        for _ in 0..depth {
            kernel.submit(Request::reading(&read, 4096));
        }
        let mut batch: Vec<Command> = Vec::new();
        while let Ok(Some(Entry::Command(command))) = ring.next() {
            batch.push(command);
        }
        agent_count(&turnstile, &batch);
        for command in batch {
            ring.complete(command.ticket, &Reply::GOOD);
        }
        assert!(ring.publish());
        kernel.harvest();
    }
    println!("{} commands of 4 KiB, {depth} a batch", COMMANDS / depth * depth);
}

/// What the thread does for counting in one turn and the rest after it.
#[inline(never)]
fn agent_count(turnstile: &Turnstile<'_>, batch: &[Command]) {
    turnstile.begin();
    for command in batch {
        if turnstile.is_open() {
            let mark = turnstile.taken(command);
            turnstile.ended(std::hint::black_box(mark), &Outcome::good());
        }
    }
    turnstile.published();
    turnstile.end(batch.len());
    let held = turnstile.rest(false, || None);
    turnstile.wake(&held);
}
