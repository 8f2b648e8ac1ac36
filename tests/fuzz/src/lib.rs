//! What may come from outside, as games that any bytes play: `play(bytes)` panics where something that must hold does not.
//!
//! The programs under `fuzz_targets` give them to libFuzzer, which looks for bytes that reach new code; `tests/corpus.rs`
//! replays what was found, on every `cargo test`. The rules of the games are those of the rooms' own tests: the ring's
//! hostile kernel is `lunette_tcmu::mock::hostile`, the SCSI disk's bench and its oracle are modules of that room's
//! tests, taken in here by their paths.

// Not in a build of its own tests: those of the bench are the SCSI room's.
#![cfg(all(feature = "games", not(test)))]

pub mod calls;
pub mod commands;
pub mod lists;
pub mod manifests;
pub mod mode;
pub mod ring;
mod volume;

/// A name, and what plays the game of that name.
pub type Game = (&'static str, fn(&[u8]));

/// All of them.
pub const GAMES: &[Game] = &[
    ("ring", ring::play),
    ("commands", commands::play),
    ("mode", mode::play),
    ("lists", lists::play),
    ("manifests", manifests::play),
    ("calls", calls::play),
];

// The bench of the SCSI room's tests.
macro_rules! bench {
    ($($name:ident = $path:literal),*) => {
        $(
            #[path = $path]
            #[allow(dead_code, unused_imports, missing_docs, clippy::unwrap_used, reason = "only parts of it are of use here")]
            mod $name;
        )*
    };
}

bench!(
    buffer = "../../../node-agent/scsi/tests/scsi/buffer.rs",
    copy = "../../../node-agent/scsi/tests/scsi/copy.rs",
    lun = "../../../node-agent/scsi/tests/scsi/lun.rs",
    oracle = "../../../node-agent/scsi/tests/scsi/oracle.rs",
    ram = "../../../node-agent/scsi/tests/scsi/ram.rs",
    token = "../../../node-agent/scsi/tests/scsi/token.rs",
    unmap = "../../../node-agent/scsi/tests/scsi/unmap.rs"
);
