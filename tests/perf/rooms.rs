//! What the ring and the SCSI room cost per command, each alone and without a kernel: a guard against regressions.
//!
//! Valgrind counts the instructions of the functions named `agent_…` in an example program of each room. The numbers
//! depend on the compiler and on nothing else, so a limit can be close.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use lunette_bed::{Result, host};

/// An example program and the most that a command may cost in it.
struct Room {
    name: &'static str,
    example: &'static str,
    /// Instructions: a tenth above what they were when this was last looked at, for the next compiler.
    limit: f64,
}

const ROOMS: [Room; 2] = [
    Room { name: "ring", example: "ring_cost", limit: 610.0 },
    Room { name: "SCSI", example: "scsi_cost", limit: 840.0 },
];

/// Prints what each room costs; an error if one costs more than it may.
pub fn guard(checkout: &Path) -> Result<()> {
    let mut over = Vec::new();
    for room in &ROOMS {
        let each = count(&checkout.join("target/release/examples").join(room.example))?;
        println!("{}: {each:.0} instructions a command, {:.0} are allowed", room.name, room.limit);
        if each > room.limit {
            over.push(room.name);
        }
    }
    ensure!(over.is_empty(), "a command costs more than is allowed in: {}; see tests/perf/rooms.rs", over.join(", "));
    Ok(())
}

/// Instructions for each command that an example says it carried out.
fn count(example: &Path) -> Result<f64> {
    if !example.exists() {
        bail!("{} is not built: use `make bench`", example.display());
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*agent_*"]).arg(example);
    let output = host::capture(&mut valgrind, b"")?;
    let (said, counted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{} failed:\n{counted}", example.display());
    let commands = said.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let collected =
        counted.split_once("Collected :").and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
    let both = commands.zip(collected).with_context(|| format!("valgrind printed no count:\n{counted}"))?;
    Ok(both.1 / both.0)
}
