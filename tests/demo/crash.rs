//! The agent dies under load: the pod's I/O waits and goes on.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Result, Step};

use super::stage::{SOON, Stage};
use super::volume::CHECK;

/// Which node serves the volume: the pod's first.
const SERVES: &str = "node-a";
/// How long the load runs before its agent dies.
const UNDER_WAY: Duration = Duration::from_secs(4);
/// Writes files, makes them durable and reads them back, for 20 seconds; says how often, and how long the longest round
/// took in hundredths of a second, which is what /proc/uptime counts.
const LOAD: &str = "cd /data; now() { read -r up rest < /proc/uptime; echo ${up%.*}${up#*.}; }; \
last=$(now); end=$((last + 2000)); n=0; longest=0; \
while [ $last -lt $end ]; do \
dd if=/dev/urandom of=part bs=64k count=4 conv=fsync 2> /dev/null && sha256sum part > partsum && sha256sum -c partsum > /dev/null || exit 1; \
at=$(now); took=$((at - last)); [ $took -le $longest ] || longest=$took; last=$at; n=$((n + 1)); done; echo $n $longest";

/// Kills the agent with SIGKILL while the pod writes; the kubelet starts it again.
pub fn kill_under_load(step: &Step, stage: &Stage) -> Result<()> {
    step.say("in the pod, for 20 s: write a file, fsync it, check its sum, again and again");
    let before = process(stage)?;
    let (load, killed) = std::thread::scope(|scope| {
        let load = scope.spawn(|| stage.quietly(&format!("exec deploy/app -- sh -c '{LOAD}'")));
        std::thread::sleep(UNDER_WAY);
        let killed = stage.on_node(step, SERVES, "pkill -KILL -x lunette-node");
        (load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), killed)
    });
    killed?;
    let said = load.context("the pod saw an I/O error")?;
    judge(step, &said)?;
    let after = process(stage)?;
    ensure!(before != after, "process {after} serves as it did before: nothing was killed");
    step.say(&format!("the kubelet started the agent again: process {after} after {before}"));
    stage.in_app(step, CHECK).map(drop)
}

/// The agent's process.
fn process(stage: &Stage) -> Result<String> {
    stage.node(SERVES)?.wait_for("pgrep -o -x lunette-node", SOON)
}

fn judge(step: &Step, said: &str) -> Result<()> {
    let numbers = said.split_whitespace().map(str::parse::<u32>).collect::<Result<Vec<_>, _>>();
    let Ok([rounds, longest]) = numbers.as_deref() else { anyhow::bail!("the load says {said:?}") };
    ensure!(*rounds > 1, "the load came to no second round");
    step.say(&format!(
        "{rounds} rounds, no error; the longest, with the agent's death in it, took {:.2} s",
        f64::from(*longest) / 100.0
    ));
    Ok(())
}
