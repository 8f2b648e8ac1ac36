//! The demo, the tests and the bench of Lunette, on the ground that the library `lunette_bed` lays.
//!
//! Tests are modules listed in `TESTS`; the demo's story and the bench are functions.

#![forbid(unsafe_code)]

use lunette_bed::cli::{self, Repertoire};
use lunette_bed::runner::Test;
use lunette_bed::smoke;
use std::process::ExitCode;

#[path = "../../cluster/mod.rs"]
mod cluster;
#[path = "../../demo/mod.rs"]
mod demo;
#[path = "../../fuzz/mod.rs"]
mod fuzz;
#[path = "../../perf/mod.rs"]
mod perf;
#[path = "../../vm/mod.rs"]
mod vm;
#[path = "../../wire/mod.rs"]
mod wire;

/// Every test, in the order in which they run.
const TESTS: &[&[Test]] = &[
    smoke::TESTS,
    wire::TESTS,
    fuzz::TESTS,
    perf::TESTS,
    cluster::charts::TESTS,
    cluster::TESTS,
    cluster::installed::TESTS,
    vm::TESTS,
];

fn main() -> ExitCode {
    cli::run(Repertoire { tests: &TESTS.concat(), demo: demo::tell, bench: perf::bench })
}
