//! Claims that are not one pod's for good: a volume that lives with its pod, those that pods of several nodes read or write, and one
//! whose limit changes while it is used.

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::claims::{CHECK, DEVICE, FOR_EVER, WRITE, claim, running, running_raw};
use super::site::{Installed, PATIENCE};
use super::snapshots::made_from;

/// A generic ephemeral volume comes with its pod and goes with it.
pub fn an_ephemeral_volume_goes_with_its_pod(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let mut pod = running(&format!("{WRITE}; {CHECK}"), "");
    let template = json!({"spec": claim("", |_| ())["spec"]});
    pod["volumes"][0] = json!({"name": "volume", "ephemeral": {"volumeClaimTemplate": template}});
    site.start_pod("brief", None, pod)?;
    site.wait_pod("brief", "Succeeded")?;
    let volume = site.volume_of("brief-volume")?;
    site.delete_pod("brief")?;
    site.wait_volume_gone(&volume)?;
    let claims = site.plane.kubectl_must(["get", "pvc", "-n", "prod", "-o", "name"])?;
    ensure!(!claims.contains("brief-volume"), "{claims}");
    Ok(())
}

/// Pods of two nodes read one copy at a time, and none can write. A copy of a file system in use is not ready for that, and the
/// pod's owner is told so.
pub fn a_claim_that_many_read_is_read_on_two_nodes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("book", |_| ()))?;
    site.run_pod("author", Some("node-a"), running(WRITE, "book"))?;
    let mut copy = made_from("copy", "384Mi", json!({"kind": "PersistentVolumeClaim", "name": "book"}));
    copy["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
    site.apply(&copy)?;
    let readers = [("reader-a", "node-a"), ("reader-b", "node-b")];
    for (pod, node) in readers {
        site.start_pod(pod, Some(node), running(FOR_EVER, "copy"))?;
    }
    for (pod, _) in readers {
        site.wait_pod(pod, "Running")?;
    }
    for (pod, _) in readers {
        let said = site.in_pod(pod, "cd /volume && /bin/busybox sha256sum -c sum")?;
        ensure!(said.contains("data: OK"), "{pod} reads something else: {said}");
        let refused = site.in_pod(pod, "/bin/busybox touch /volume/note 2>&1 || true")?;
        ensure!(refused.contains("Read-only file system"), "{pod}: {refused}");
    }
    for (pod, _) in readers {
        site.wait_pod(pod, "Running")?;
        site.delete_pod(pod)?;
    }
    site.delete_claim("copy")?;
    site.start_pod("author", Some("node-a"), running(FOR_EVER, "book"))?;
    site.wait_pod("author", "Running")?;
    copy["metadata"]["name"] = json!("draft");
    site.apply(&copy)?;
    site.start_pod("reader", Some("node-b"), running(CHECK, "draft"))?;
    site.wait_event("involvedObject.name=reader,reason=FailedMount", "has to be mounted for writing once")?;
    for pod in ["reader", "author"] {
        site.delete_pod(pod)?;
    }
    site.delete_claim("draft")?;
    site.delete_claim("book")
}

/// What a pod of one node writes to a device that both have, a pod of the other reads.
pub fn a_raw_device_is_shared_by_two_nodes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let shared = |spec: &mut Value| {
        spec["volumeMode"] = json!("Block");
        spec["accessModes"] = json!(["ReadWriteMany"]);
    };
    site.apply(&claim("shared", shared))?;
    let pods = [("left", "node-a"), ("right", "node-b")];
    for (pod, node) in pods {
        site.start_pod(pod, Some(node), running_raw(FOR_EVER, "shared"))?;
        site.wait_pod(pod, "Running")?;
    }
    let read = format!("/bin/busybox dd if={DEVICE} bs=64k count=16 iflag=direct 2>/dev/null | /bin/busybox sha256sum");
    let mut found = Vec::new();
    for (pod, _) in pods {
        let write = format!("/bin/busybox dd if=/dev/urandom of={DEVICE} bs=64k count=16 oflag=direct 2>/dev/null");
        site.in_pod(pod, &write)?;
        let [left, right] = pods.map(|(pod, _)| site.in_pod(pod, &read));
        let (left, right) = (left?, right?);
        ensure!(left == right && !found.contains(&left), "after {pod} wrote, left has {left} and right has {right}");
        found.push(left);
    }
    for (pod, _) in pods {
        site.delete_pod(pod)?;
    }
    site.delete_claim("shared")
}

/// A VolumeAttributesClass slows a volume down while its pod uses it, and another lets it go again.
pub fn a_limit_changes_under_a_pod(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    for (name, rate) in [("slow", "4Mi"), ("unlimited", "none")] {
        site.apply(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass",
            "metadata": {"name": name}, "driverName": "csi.lunette.io", "parameters": {"bytesPerSecond": rate}}))?;
    }
    site.apply(&claim("paced", |spec| spec["volumeMode"] = json!("Block")))?;
    site.start_pod("pacer", Some("node-a"), running_raw(FOR_EVER, "paced"))?;
    site.wait_pod("pacer", "Running")?;
    let before = seconds_of_writing(&site)?;
    let mut took = Vec::new();
    for class in ["slow", "unlimited"] {
        site.change_claim("paced", &json!({"volumeAttributesClassName": class}))?;
        let changed = |claim: &Value| claim["status"]["currentVolumeAttributesClassName"] == class;
        site.plane.wait_for_json(["pvc", "paced", "-n", "prod"], PATIENCE, changed)?;
        took.push(seconds_of_writing(&site)?);
    }
    // 32 MiB at 4 a second are 8 s.
    ensure!(before < 6 && took[0] >= 7 && took[1] < 6, "32 MiB took {before} s, then {took:?}");
    println!("     32 MiB took {before} s, {} s at 4 MiB a second, and {} s without the limit", took[0], took[1]);
    site.delete_pod("pacer")?;
    site.delete_claim("paced")?;
    site.plane.kubectl_must(["delete", "volumeattributesclass", "slow", "unlimited"]).map(drop)
}

fn seconds_of_writing(site: &Installed) -> Result<u64> {
    let script = format!(
        "bb() {{ /bin/busybox \"$@\"; }}; began=$(bb date +%s); \
         bb dd if=/dev/zero of={DEVICE} bs=1M count=32 oflag=direct 2>/dev/null && echo $(($(bb date +%s) - began))"
    );
    Ok(site.in_pod("pacer", &script)?.parse()?)
}
