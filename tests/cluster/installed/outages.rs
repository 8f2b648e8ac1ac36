//! Nodes that go away for a while, or seem to for good: what becomes of the pods' volumes.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result, Vm};
use serde_json::Value;

use super::claims::{CHECK, FOR_EVER, WRITE, claim, running};
use super::site::{Installed, PATIENCE, WITHIN};

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
    site.finds_data("looks", "node-a", "waits")?;
    site.delete_claim("waits")
}

/// The pod's node is cut off, and an administrator says that it is out of service: the volume goes to a pod on the other
/// node with all that was acknowledged. What the old pod still writes goes nowhere, and its node lets go by itself.
pub fn a_node_that_is_cut_off_loses_its_volumes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.claim_on("node-a", claim("survives", |_| ()))?;
    site.start_pod("before", Some("node-b"), running(&format!("{WRITE}; {COUNT}"), "survives"))?;
    site.wait_pod("before", "Running")?;
    let acknowledged = counted(&site, "before", 0)?;
    let cut = &site.nodes[1];
    // It will wait for longer than the kernel finds usual.
    let patience =
        cut.vm().must("cat /proc/sys/kernel/hung_task_timeout_secs; sysctl -q kernel.hung_task_timeout_secs=0")?;
    site.bed.net().unplug(cut.vm().guest())?;
    let outcome = the_other_node_has_it(&site);
    site.bed.net().plug(cut.vm().guest())?;
    let count = outcome?;
    // What the pod shows may not be durable yet; what was there before it is.
    ensure!(count + 1 >= acknowledged, "{count} is there, and {acknowledged} was seen");
    site.plane.kubectl_must(["taint", "node", "node-b", &format!("{OUT_OF_SERVICE}-")])?;
    cut.wait_ready(&site.plane)?;
    site.agents_are_ready()?;
    nothing_is_held(&site, cut.vm(), "survives")?;
    cut.vm().must(format!("sysctl -q kernel.hung_task_timeout_secs={}", patience.trim()))?;
    let now = site.in_pod("after", "/bin/busybox cat /volume/count")?;
    ensure!(now == count.to_string(), "the node that was cut off wrote {now} after {count}");
    site.delete_pod("after")?;
    site.finds_data("checks", "node-b", "survives")?;
    site.delete_claim("survives")
}

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// As an administrator does it who knows that the node is gone; how far the pod on the other node finds it.
fn the_other_node_has_it(site: &Installed) -> Result<u64> {
    let unknown = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "Unknown")
    };
    site.plane.wait_for_json(["node", "node-b"], PATIENCE, unknown)?;
    site.plane.kubectl_must(["taint", "node", "node-b", &format!("{OUT_OF_SERVICE}=nodeshutdown:NoExecute")])?;
    site.plane.kubectl_must(["wait", "--for=delete", "pod", "before", "-n", "prod", WITHIN])?;
    // What the lost node ran of Lunette has to start on the other one, too.
    site.controllers_are_ready()?;
    site.start_pod("after", Some("node-a"), running(&format!("{CHECK}; {FOR_EVER}"), "survives"))?;
    site.wait_pod("after", "Running")?;
    let count = site.in_pod("after", "/bin/busybox cat /volume/count")?;
    count.parse().with_context(|| format!("{count:?} is no number"))
}

/// Neither session, nor mount, nor record of a claim's volume: what the agent ends, and what the kubelet takes away then.
fn nothing_is_held(site: &Installed, vm: &Vm, claim: &str) -> Result<()> {
    let lun = site.lun_of(claim)?;
    let (name, uid) = (lun["metadata"]["name"].clone(), lun["metadata"]["uid"].clone());
    let [name, uid] = [name, uid].map(|text| text.as_str().unwrap_or_default().to_owned());
    let gone = format!(
        "! iscsiadm -m session 2>/dev/null | grep {uid} && ! iscsiadm -m node 2>/dev/null | grep {uid} && \
         ! grep -e {name} -e csi.lunette.io /proc/mounts"
    );
    vm.wait_for(gone, PATIENCE).context("the node that was cut off holds on to the volume").map(drop)
}
