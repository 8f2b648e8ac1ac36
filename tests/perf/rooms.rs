//! What the ring, the SCSI room and counting cost per command, each alone and without a kernel: a guard against
//! regressions.
//!
//! Valgrind counts the instructions of the functions named `agent_…` in a small program for each (`tests/perf/cost`). The
//! numbers depend on the compiler and on nothing else, so a limit can be close.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use lunette_bed::layout::Layout;
use lunette_bed::{Result, host};

/// A program and the most that a command may cost in it.
struct Room {
    name: &'static str,
    program: &'static str,
    /// Instructions: a tenth above what they were when this was last looked at, for the next compiler.
    limit: f64,
}

const ROOMS: [Room; 3] = [
    Room { name: "ring", program: "cost-ring", limit: 657.0 },
    Room { name: "SCSI", program: "cost-scsi", limit: 305.0 },
    // Metrics and limits: the difference to an agent that has neither.
    Room { name: "counting", program: "cost-counting", limit: 75.0 },
];

/// Prints what each room costs; an error if one costs more than it may.
pub fn guard(layout: &Layout) -> Result<()> {
    let mut over = Vec::new();
    for room in &ROOMS {
        let each = count(&layout.program(room.program))?;
        println!("{}: {each:.0} instructions a command, {:.0} are allowed", room.name, room.limit);
        if each > room.limit {
            over.push(room.name);
        }
    }
    ensure!(over.is_empty(), "a command costs more than is allowed in: {}; see tests/perf/rooms.rs", over.join(", "));
    Ok(())
}

/// Instructions for each command that a program says it carried out.
fn count(program: &Path) -> Result<f64> {
    if !program.exists() {
        bail!("{} is not built: use `make rooms`", program.display());
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*agent_*"]).arg(program);
    let output = host::capture(&mut valgrind, b"")?;
    let (said, counted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{} failed:\n{counted}", program.display());
    let commands = said.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let collected =
        counted.split_once("Collected :").and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
    let both = commands.zip(collected).with_context(|| format!("valgrind printed no count:\n{counted}"))?;
    Ok(both.1 / both.0)
}
