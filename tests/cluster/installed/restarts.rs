//! Whatever restarts in the middle of what a volume goes through, it costs time and nothing else. Minutes each.

use anyhow::Context as _;
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::super::site::SYSTEM;
use super::claims::{CHECK, FOR_EVER, WRITE, claim, running};
use super::site::{Installed, PATIENCE, WITHIN};

/// Something restarts.
type Disturb = fn(&Installed) -> Result<()>;

/// All that has a part in it, on the pod's node where it is the node's.
const DISTURBANCES: [(&str, Disturb); 6] = [
    ("operator", |site| pods_go(site, "lunette-operator")),
    ("csi", |site| pods_go(site, "lunette-csi")),
    ("agent", an_agent_goes),
    ("kubelet", |site| site.nodes[1].restart_kubelet(&site.bed)),
    ("containerd", |site| site.nodes[1].restart_containerd()),
    ("iscsid", iscsid_goes),
];

/// While a volume is attached, staged and published, and while all that is undone: the pod runs in the end, and nothing
/// is left when it is gone.
pub fn restarts_while_volumes_come_and_go(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("shaken", |_| ()))?;
    site.run_pod("calm", Some("node-a"), running(WRITE, "shaken"))?;
    let lun = site.volume_of("shaken")?;
    for (name, disturb) in DISTURBANCES {
        let pod = format!("shaken-{name}");
        site.start_pod(&pod, Some("node-b"), running(&format!("{CHECK}; {FOR_EVER}"), "shaken"))?;
        // The controller has let the node in: it is about to attach.
        let admitted = |lun: &Value| lun["spec"]["initiators"][0]["nodeName"] == "node-b";
        site.plane.wait_for_json(["lun", &lun, "-n", SYSTEM], PATIENCE, admitted)?;
        disturb(&site).with_context(|| format!("{name} while a volume comes"))?;
        site.wait_pod(&pod, "Running").with_context(|| format!("{name} while a volume came"))?;
        site.plane.kubectl_must(["delete", "pod", &pod, "-n", "prod", "--wait=false"])?;
        disturb(&site).with_context(|| format!("{name} while a volume goes"))?;
        let gone = ["wait", "--for=delete", "pod", &pod, "-n", "prod", WITHIN];
        site.plane.kubectl_must(gone).with_context(|| format!("{name} while a volume went"))?;
        let left = |lun: &Value| lun["spec"]["initiators"].as_array().is_none_or(Vec::is_empty);
        site.plane.wait_for_json(["lun", &lun, "-n", SYSTEM], PATIENCE, left)?;
    }
    site.has_started()?;
    site.finds_data("calm-again", "node-a", "shaken")?;
    site.delete_claim("shaken")
}

/// While a volume in use grows and is snapshotted: it has its new size, and the snapshot is taken.
pub fn restarts_while_volumes_grow_and_are_snapshotted(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.claim_on("node-a", claim("kept-busy", |_| ()))?;
    site.start_pod("keeps-busy", Some("node-b"), running(&format!("{WRITE}; {FOR_EVER}"), "kept-busy"))?;
    site.wait_pod("keeps-busy", "Running")?;
    for (step, (name, disturb)) in DISTURBANCES.into_iter().enumerate() {
        let size = format!("{}Mi", 416 + 32 * step);
        site.resize_claim("kept-busy", &size)?;
        site.snapshot(name, "kept-busy")?;
        disturb(&site).with_context(|| format!("{name} while a volume grows"))?;
        site.wait_capacity("kept-busy", &size).with_context(|| format!("{name} while a volume grew"))?;
        site.wait_snapshot(name, |snapshot| snapshot["status"]["readyToUse"] == true)
            .with_context(|| format!("{name} while a volume was snapshotted"))?;
        site.delete_snapshot(name)?;
    }
    site.has_started()?;
    site.delete_pod("keeps-busy")?;
    site.finds_data("looks-again", "node-a", "kept-busy")?;
    site.delete_claim("kept-busy")
}

fn pods_go(site: &Installed, name: &str) -> Result<()> {
    let label = format!("app.kubernetes.io/name={name}");
    site.plane.kubectl_must(["delete", "pods", "-n", SYSTEM, "-l", &label, "--force", WITHIN]).map(drop)
}

fn an_agent_goes(site: &Installed) -> Result<()> {
    let agent = site.agent_pod("node-b")?;
    site.plane.kubectl_must(["delete", "pod", &agent, "-n", SYSTEM, "--force", WITHIN]).map(drop)
}

/// As after a crash; its supervisor starts it again, and it takes up the sessions that the kernel has.
fn iscsid_goes(site: &Installed) -> Result<()> {
    let vm = site.nodes[1].vm();
    vm.must("kill -9 $(pidof iscsid) && while pidof iscsid >/dev/null; do sleep 0.1; done; iscsid").map(drop)
}
