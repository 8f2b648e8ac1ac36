//! The agent dies under load: the client's I/O waits and goes on.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{GuestCommand, Result, Step};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::stage::{SOON, Stage};

/// How long nobody serves.
const OUTAGE: Duration = Duration::from_secs(3);
/// Writes after which the load is under way.
const UNDER_WAY: u64 = 200;
/// How long the client's load runs, long enough to begin before and to end after the outage.
const LOAD: &str = "fio --name=load --filename=/mnt/load --size=32M --rw=randwrite --bs=4k --iodepth=8 --ioengine=libaio \
--direct=1 --verify=crc32c --do_verify=1 --verify_backlog=64 --time_based --runtime=12 --output-format=json";

/// Kills the agent with SIGKILL under a verifying load, starts it again, and looks at what the client saw.
pub fn kill_under_load(step: &Step, stage: &mut Stage, disk: &str) -> Result<()> {
    stage.client.must(GuestCommand::shell(&format!("{LOAD} --create_only=1 && sync")))?;
    step.say(&format!("client# {LOAD} &"));
    let before = writes(stage, disk)?;
    let load = stage.client.spawn("load", GuestCommand::shell(LOAD).patience(Duration::from_secs(120)))?;
    stage.client.wait_for(format!("[ $({}) -gt {} ]", counter(disk), before + UNDER_WAY), SOON)?;
    let agent = stage.agent.take().context("no agent runs")?;
    step.say("node-1# pkill -KILL lunette-node");
    agent.signal(Signal::SIGKILL)?;
    agent.wait()?;
    step.say(&format!("... nobody serves for {} s ...", OUTAGE.as_secs()));
    std::thread::sleep(OUTAGE);
    step.say("node-1# lunette-node serve ... &");
    stage.start_agent()?;
    let report = load.wait_at_most(Duration::from_secs(90))?.ok().context("the client saw an I/O error")?;
    judge(step, &report)?;
    stage.on_client(step, "cd /mnt && sha256sum --quiet -c /tmp/checksums && echo all files intact").map(drop)
}

/// How many writes the client's kernel has had answered from that disk.
fn writes(stage: &Stage, disk: &str) -> Result<u64> {
    stage.client.must(counter(disk))?.parse().context("the disk's statistics are no number")
}

/// Field 5 of `Documentation/block/stat.rst`: writes completed.
fn counter(disk: &str) -> String {
    format!("awk '{{print $5}}' /sys/block/{}/stat", disk.trim_start_matches("/dev/"))
}

fn judge(step: &Step, report: &str) -> Result<()> {
    let json = report.find('{').map_or("", |at| &report[at..]);
    let report: Value = serde_json::from_str(json).context("fio printed no JSON")?;
    let job = &report["jobs"][0];
    let errors = job["error"].as_i64().context("fio tells no errors")?;
    let longest = ["read", "write"].iter().filter_map(|side| job[side]["clat_ns"]["max"].as_f64()).fold(0.0, f64::max);
    let total: u64 = ["read", "write"].iter().filter_map(|side| job[side]["total_ios"].as_u64()).sum();
    step.say(&format!("{total} commands, {errors} errors, longest pause {:.2} s", longest / 1e9));
    ensure!(errors == 0, "fio counts error {errors}");
    ensure!(longest / 1e9 > OUTAGE.as_secs_f64(), "no command waited through the outage: the load was over too early");
    Ok(())
}
