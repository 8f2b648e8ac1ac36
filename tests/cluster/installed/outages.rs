//! Nodes that go away for a while, or seem to for good: what becomes of the pods' volumes.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::claims::{CHECK, FOR_EVER, WRITE, claim, running};
use super::site::{Installed, PATIENCE};

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

/// The node of the pod is cut off, and an administrator says that it is out of service: the volume goes to a pod on another
/// node, and what the old pod still writes goes nowhere.
pub fn a_node_that_is_cut_off_loses_its_volumes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    served_by(&site, "survives", "node-a")?;
    site.start_pod("before", Some("node-b"), running(&format!("{WRITE}; {COUNT}"), "survives"))?;
    site.wait_pod("before", "Running")?;
    counted(&site, "before", 0)?;
    let cut = &site.nodes[1];
    site.bed.net().unplug(cut.vm().guest())?;
    let outcome = the_other_node_has_it(&site);
    site.bed.net().plug(cut.vm().guest())?;
    let count = outcome?;
    site.plane.kubectl_must(["taint", "node", "node-b", "node.kubernetes.io/out-of-service-"])?;
    cut.wait_ready(&site.plane)?;
    site.agents_are_ready()?;
    // The old pod's kernel has its network again, and no disk: nothing of it is left in the end.
    cut.vm().wait_for("! grep -q csi.lunette.io /proc/mounts && ! iscsiadm -m session 2>/dev/null", PATIENCE)?;
    let now = site.in_pod("after", "/bin/busybox cat /volume/count")?;
    ensure!(now == count, "the cut off node wrote {now} after {count}");
    site.delete_pod("after")?;
    let said = site.run_pod("checks", Some("node-b"), running(CHECK, "survives"))?;
    ensure!(said.contains("data: OK"), "{said}");
    site.delete_claim("survives")
}

/// As an administrator does it who knows that the node is gone; what the pod on the other node finds.
fn the_other_node_has_it(site: &Installed) -> Result<String> {
    let unknown = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "Unknown")
    };
    site.plane.wait_for_json(["node", "node-b"], PATIENCE, unknown)?;
    let taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    site.plane.kubectl_must(["taint", "node", "node-b", taint])?;
    site.plane.kubectl_must(["wait", "--for=delete", "pod", "before", "-n", "prod", "--timeout=240s"])?;
    site.start_pod("after", Some("node-a"), running(&format!("{CHECK}; {FOR_EVER}"), "survives"))?;
    site.wait_pod("after", "Running")?;
    let count = site.in_pod("after", "/bin/busybox cat /volume/count")?;
    ensure!(count.parse::<u64>().context("a number")? > 0, "{count}");
    Ok(count)
}

/// What an administrator changes whose nodes take longer to boot than open-iscsi waits.
const WAIT_LONGER: &str = "\
conf=/etc/iscsi/iscsid.conf; sed -i /replacement_timeout/d $conf; echo node.session.timeo.replacement_timeout = 3600 >> $conf";

/// The node that serves a volume loses its power and comes back: pods of other nodes wait, and see no error.
pub fn a_node_that_reboots_keeps_its_volumes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.nodes[1].vm().must(WAIT_LONGER)?;
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
