//! The demo and the tests of Lunette, on the ground that the library `lunette_bed` lays.
//!
//! Tests are modules listed in `TESTS`; the demo's story is a function.

#![forbid(unsafe_code)]

use lunette_bed::cli::{self, Repertoire};
use lunette_bed::runner::Test;
use lunette_bed::smoke;
use std::process::ExitCode;

#[path = "../../cluster/mod.rs"]
mod cluster;
#[path = "../../demo/mod.rs"]
mod demo;
#[path = "../../vm/mod.rs"]
mod vm;
#[path = "../../wire/mod.rs"]
mod wire;

/// Every test, in the order in which they run.
const TESTS: &[&[Test]] = &[smoke::TESTS, wire::TESTS, cluster::TESTS, vm::TESTS];

fn main() -> ExitCode {
    cli::run(Repertoire { tests: &TESTS.concat(), demo: demo::tell })
}
