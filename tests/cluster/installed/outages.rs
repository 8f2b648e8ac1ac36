//! Nodes that go away for a while: what becomes of the pods' volumes.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use serde_json::json;

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

/// A claim whose volume a certain node serves.
fn served_by(site: &Installed, name: &str, node: &str) -> Result<()> {
    let mut claim = claim(name, |_| ());
    claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": node});
    site.apply(&claim)?;
    site.wait_bound(name)?;
    let lun = site.lun_of(name)?;
    ensure!(lun["status"]["node"] == node, "{lun:#}");
    Ok(())
}

/// The node that serves a volume loses its power and comes back: pods of other nodes wait, and see no error.
pub fn a_node_that_reboots_keeps_its_volumes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    served_by(&site, "waits", "node-a")?;
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
