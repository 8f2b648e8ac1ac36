//! Nodes that go away for a while: what becomes of the pods' volumes.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};

use super::claims::{CHECK, WRITE, claim, running};
use super::site::Installed;

/// Writes numbers one after another, each durable before the next; whenever it ends, `count` has one of them.
const COUNT: &str = "cd /volume; n=0; while :; do n=$((n + 1)); echo $n > next; bb mv next count; bb sync; done";

/// Waits until a pod that runs [`COUNT`] has come beyond a number; how far it is.
fn counted(site: &Installed, pod: &str, beyond: u64) -> Result<u64> {
    let there = format!("n=$(/bin/busybox cat /volume/count) && [ \"$n\" -gt {beyond} ] && echo $n && exit 0");
    let patiently = format!("for i in $(/bin/busybox seq 240); do {there}; /bin/busybox sleep 1; done; exit 1");
    let count = site.in_pod(pod, &patiently).with_context(|| format!("pod {pod} does not count beyond {beyond}"))?;
    count.parse().with_context(|| format!("{count:?} is no number"))
}

/// The node that serves a volume loses its power and comes back: pods of other nodes wait, and see no error.
pub fn a_node_that_reboots_keeps_its_volumes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.claim_on("node-a", claim("waits", |_| ()))?;
    site.start_pod("waiter", Some("node-b"), running(&format!("{WRITE}; {COUNT}"), "waits"))?;
    site.wait_pod("waiter", "Running")?;
    let before = counted(&site, "waiter", 0)?;
    site.nodes[0].power_cycle(&site.bed, &site.plane, super::site::REMOUNT)?;
    site.agents_are_ready()?;
    counted(&site, "waiter", before + 2)?;
    site.delete_pod("waiter")?;
    let said = site.run_pod("looks", Some("node-a"), running(CHECK, "waits"))?;
    ensure!(said.contains("data: OK"), "{said}");
    site.delete_claim("waits")
}
