//! Snapshots as users have them: VolumeSnapshots of claims in use, and claims made from them, by the real snapshotter and
//! snapshot-controller.

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::super::site::SYSTEM;
use super::claims::{CHECK, FOR_EVER, WRITE, claim, running};
use super::site::{Installed, PATIENCE, WITHIN};

/// Where the kinds of snapshots are.
pub const SNAPSHOTS: &str = "snapshot.storage.k8s.io";

/// A claim of so many bytes that begins as what `source` names.
pub fn made_from(name: &str, size: &str, source: Value) -> Value {
    claim(name, |spec| {
        spec["resources"]["requests"]["storage"] = json!(size);
        spec["dataSource"] = source;
    })
}

impl Installed {
    /// Asks for a snapshot of a claim.
    pub fn snapshot(&self, name: &str, claim: &str) -> Result<()> {
        self.apply(&json!({"apiVersion": format!("{SNAPSHOTS}/v1"), "kind": "VolumeSnapshot",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {"volumeSnapshotClassName": "lunette", "source": {"persistentVolumeClaimName": claim}}}))
    }

    /// Waits until a VolumeSnapshot is as it should be.
    pub fn wait_snapshot(&self, name: &str, accepted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.plane.wait_for_json(["volumesnapshot", name, "-n", "prod"], PATIENCE, accepted)
    }

    /// Deletes a VolumeSnapshot, and waits until nothing is left of it.
    pub fn delete_snapshot(&self, name: &str) -> Result<()> {
        self.plane.kubectl_must(["delete", "volumesnapshot", name, "-n", "prod", WITHIN])?;
        let none = |list: &Value| list["items"].as_array().is_some_and(Vec::is_empty);
        self.plane.wait_for_json(["volumesnapshotcontents"], PATIENCE, none)?;
        self.plane.wait_for_json(["lunsnapshots", "-n", SYSTEM], PATIENCE, none).map(drop)
    }
}

/// A pod writes on while its claim is snapshotted and cloned; each copy holds what was written before, and its own file
/// system as large as its claim.
pub fn a_snapshot_comes_back_by_claims(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("origin", |_| ()))?;
    site.start_pod("lives", Some("node-a"), running(&format!("{WRITE}; {FOR_EVER}"), "origin"))?;
    site.wait_pod("lives", "Running")?;
    let first = site.in_pod("lives", "until /bin/busybox [ -s /volume/sum ]; do /bin/busybox sleep 1; done; cd /volume; /bin/busybox sha256sum -c sum >/dev/null; /bin/busybox sync; /bin/busybox cat sum")?;
    site.snapshot("before", "origin")?;
    let snapshot = site.wait_snapshot("before", |s| s["status"]["readyToUse"] == true)?;
    ensure!(snapshot["status"]["restoreSize"] == "384Mi", "{snapshot:#}");
    let second = site.in_pod("lives", &format!("bb() {{ /bin/busybox \"$@\"; }}; set -e; {WRITE}"))?;
    ensure!(first != second, "nothing was written");
    let snapshot = json!({"apiGroup": SNAPSHOTS, "kind": "VolumeSnapshot", "name": "before"});
    let copies = [
        ("restored", "384Mi", snapshot.clone(), "node-b", &first),
        ("larger", "768Mi", snapshot, "node-a", &first),
        ("clone", "384Mi", json!({"kind": "PersistentVolumeClaim", "name": "origin"}), "node-b", &second),
    ];
    for (name, size, source, node, _) in &copies {
        site.apply(&made_from(name, size, source.clone()))?;
        let script = format!("{CHECK}; bb cat sum; bb df -k /volume | bb awk 'END {{ print $2 }}'");
        site.start_pod(&format!("reads-{name}"), Some(node), running(&script, name))?;
    }
    for (name, size, _, _, sum) in &copies {
        let pod = format!("reads-{name}");
        site.wait_pod(&pod, "Succeeded")?;
        let said = site.plane.kubectl_must(["logs", &pod, "-n", "prod"])?;
        let lines: Vec<&str> = said.lines().collect();
        ensure!(lines.first() == Some(&"data: OK") && lines.get(1) == sum.lines().last().as_ref(), "{name}: {said}");
        let kib: u64 = lines.last().unwrap_or(&"").parse()?;
        ensure!((kib > 600 << 10) == (*size == "768Mi"), "the file system of {name} has {kib} KiB");
    }
    // The copies need neither snapshot nor origin.
    site.delete_snapshot("before")?;
    site.delete_pod("lives")?;
    site.delete_claim("origin")?;
    for (name, ..) in &copies {
        site.delete_pod(&format!("reads-{name}"))?;
        site.delete_claim(name)?;
    }
    Ok(())
}

/// ext4 shares no blocks between files: the user reads so, and nothing is copied in the snapshot's stead.
pub fn a_pool_that_takes_none_says_so(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("plain", |spec| spec["storageClassName"] = json!("lunette-plain")))?;
    site.wait_bound("plain")?;
    site.snapshot("never", "plain")?;
    let refused = |object: &Value| {
        let why = object["status"]["error"]["message"].as_str().unwrap_or_default();
        why.contains("FailedPrecondition") && why.contains("LunPool plain takes no snapshots on node node-")
    };
    let snapshot = site.wait_snapshot("never", refused)?;
    ensure!(snapshot["status"]["readyToUse"] == false, "{snapshot:#}");
    let content = snapshot["status"]["boundVolumeSnapshotContentName"].as_str().unwrap_or_default();
    site.wait_event(&format!("type=Warning,involvedObject.name={content}"), "takes no snapshots")?;
    let luns = site.plane.kubectl_must(["get", "lunsnapshots", "-A", "-o", "name"])?;
    ensure!(luns.is_empty(), "{luns}");
    site.delete_snapshot("never")?;
    site.delete_claim("plain")
}
