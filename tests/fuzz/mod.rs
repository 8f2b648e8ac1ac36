//! The fuzzers, each for a while: libFuzzer looks for bytes that reach new code, beginning from those in `corpus`.
//!
//! What a fuzzer found in earlier runs it keeps in the bed's cache. An input that breaks something is kept too, and its name is
//! in the failure; once the defect is mended, that input belongs into `corpus`, where every `cargo test` plays it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use lunette_bed::{Context, Result, Test, host};

/// All of them.
pub const TESTS: &[Test] = &[
    Test::without_vm("fuzz::a_hostile_ring", |context| search(context, "ring")),
    Test::without_vm("fuzz::commands_of_every_kind", |context| search(context, "commands")),
    Test::without_vm("fuzz::mode_select", |context| search(context, "mode")),
    Test::without_vm("fuzz::parameter_lists", |context| search(context, "lists")),
    Test::without_vm("fuzz::manifests", |context| search(context, "manifests")),
    Test::without_vm("fuzz::calls_of_csi", |context| search(context, "calls")),
];

/// How long each of them searches, unless `LUNETTE_FUZZ_SECONDS` says otherwise.
const SECONDS: &str = "60";
/// One input that takes longer than this hangs, be the machine as busy as it may.
const LONGEST_INPUT: u32 = 30;
/// Bytes of the longest input.
const LONGEST: u32 = 4096;

fn search(context: &Context, name: &str) -> Result<()> {
    let layout = context.ground().layout();
    let program = layout.program(&format!("fuzz-{name}"));
    if !program.exists() {
        bail!("{} is not built: use `make fuzzers`", program.display());
    }
    let source = layout.checkout().join("tests/fuzz");
    let found = layout.cache().join("fuzz").join(name);
    std::fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
    let output = host::capture(&mut run(&program, &found, &source, name), b"")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("{name} broke something, see the input that it names:\n{}", host::tail(&said, 40));
    }
    println!("\n     {}", summary(&said));
    Ok(())
}

/// Below everything else: the VMs of other tests are not to wait for it.
fn run(program: &Path, found: &Path, source: &Path, name: &str) -> Command {
    let seconds = std::env::var("LUNETTE_FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program).arg(found).arg(source.join("corpus").join(name));
    command.args([format!("-max_total_time={seconds}"), format!("-timeout={LONGEST_INPUT}")]);
    command.args([format!("-max_len={LONGEST}"), format!("-artifact_prefix={}/broken-", found.display())]);
    let words = source.join("words").join(name);
    if words.exists() {
        command.arg(format!("-dict={}", words.display()));
    }
    command
}

/// The line in which libFuzzer says what it has done.
fn summary(said: &str) -> String {
    let line = said.lines().rev().find(|line| line.contains("DONE")).unwrap_or("it did not say what it has done");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
