//! Volumes for pods: claims, the real sidecars, the real kubelets, and data that stay.

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::super::site::SYSTEM;
use super::claims::{CHECK, DEVICE, FOR_EVER, WRITE, claim, running, running_raw};
use super::site::{Installed, PATIENCE, WITHIN};

/// What a pod writes on one node another reads on the other: once where the LUN is served, once over the network.
pub fn bytes_follow_a_claim(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("moves", |_| ()))?;
    let mut writer = running(WRITE, "moves");
    writer["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000});
    let sum = site.run_pod("writer", Some("node-a"), writer.clone())?;
    // The first pod's node serves it.
    let lun = site.lun_of("moves")?;
    ensure!(lun["status"]["node"] == "node-a", "{lun:#}");
    let mut reader = running(CHECK, "moves");
    reader["securityContext"] = writer["securityContext"].clone();
    let said = site.run_pod("reader", Some("node-b"), reader.clone())?;
    ensure!(said.contains("data: OK"), "{said} after {sum}");
    // And back, below a directory of it.
    reader["containers"][0]["volumeMounts"][0]["subPath"] = json!("part");
    reader["containers"][0]["command"][3] = json!("cd /volume && /bin/busybox touch there && echo it is writable");
    site.run_pod("back", Some("node-a"), reader)?;
    site.delete_claim("moves")?;
    no_sessions_are_left(&site)
}

/// A device as it is, in a pod on each node in turn.
pub fn a_raw_block_volume_is_a_device(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("raw", |spec| spec["volumeMode"] = json!("Block")))?;
    let write = format!(
        "bb dd if=/dev/urandom of=/tmp/x bs=1M count=4; bb dd if=/tmp/x of={DEVICE} bs=1M seek=100 conv=fsync; bb sha256sum < /tmp/x"
    );
    let read = format!("bb dd if={DEVICE} bs=1M skip=100 count=4 2>/dev/null | bb sha256sum");
    let tmp = |mut spec: Value| {
        spec["volumes"].as_array_mut().into_iter().for_each(|v| v.push(json!({"name": "tmp", "emptyDir": {}})));
        spec["containers"][0]["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
        spec
    };
    let wrote = site.run_pod("raw-writer", Some("node-b"), tmp(running_raw(&write, "raw")))?;
    let found = site.run_pod("raw-reader", Some("node-a"), running_raw(&read, "raw"))?;
    ensure!(wrote.lines().last() == found.lines().last(), "{wrote}\n{found}");
    site.delete_claim("raw")
}

/// XFS, and a claim that grows under a running pod, and once more between two pods.
pub fn a_volume_grows_under_its_pod_and_without(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("grows", |spec| spec["storageClassName"] = json!("lunette-xfs")))?;
    site.start_pod("grower", None, running(&format!("{WRITE}; {FOR_EVER}"), "grows"))?;
    site.wait_pod("grower", "Running")?;
    let mounts = site.in_pod("grower", "/bin/busybox grep ' /volume ' /proc/mounts")?;
    ensure!(mounts.contains(" xfs "), "{mounts}");
    site.resize_claim("grows", "768Mi")?;
    site.wait_capacity("grows", "768Mi")?;
    let kib = site.in_pod("grower", "/bin/busybox df -k /volume | /bin/busybox awk 'END { print $2 }'")?;
    ensure!(kib.parse::<u64>()? > 600 << 10, "the file system has {kib} KiB");
    let said = site.in_pod("grower", "cd /volume && /bin/busybox sha256sum -c sum")?;
    ensure!(said.contains("data: OK"), "{said}");
    site.delete_pod("grower")?;
    // While no pod has it, the file system waits for the next one.
    site.resize_claim("grows", "1Gi")?;
    let grown = |volume: &Value| volume["spec"]["capacity"]["storage"] == "1Gi";
    site.plane.wait_for_json(["pv", &site.volume_of("grows")?], PATIENCE, grown)?;
    let script = format!("{CHECK}; bb df -k /volume | bb awk 'END {{ print $2 }}'");
    let said = site.run_pod("grown", Some("node-b"), running(&script, "grows"))?;
    let kib: u64 = said.lines().last().unwrap_or_default().parse()?;
    ensure!(said.contains("data: OK") && kib > 900 << 10, "{said}");
    site.wait_capacity("grows", "1Gi")?;
    site.delete_claim("grows")
}

/// A second pod of a ReadWriteOncePod claim waits for the first one's end.
pub fn an_exclusive_claim_has_one_pod(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("mine", |spec| spec["accessModes"] = json!(["ReadWriteOncePod"])))?;
    site.start_pod("holder", None, running(FOR_EVER, "mine"))?;
    site.wait_pod("holder", "Running")?;
    site.start_pod("waiter", None, running("echo mine now", "mine"))?;
    let refused = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|c| c["reason"] == "Unschedulable" && c["message"].to_string().contains("ReadWriteOncePod"))
    };
    site.plane.wait_for_json(["pod", "waiter", "-n", "prod"], PATIENCE, refused)?;
    site.delete_pod("holder")?;
    site.wait_pod("waiter", "Succeeded")?;
    site.delete_pod("waiter")?;
    site.delete_claim("mine")
}

/// Each pod of a StatefulSet has a volume, and has it again when it comes back.
pub fn a_stateful_set_keeps_its_volumes(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let script = format!("cd /volume; [ -e name ] || bb hostname > name; bb cat name; {FOR_EVER}");
    let mut pod = running(&script, "data");
    pod["restartPolicy"] = json!("Always");
    pod["volumes"] = json!([]);
    pod["containers"][0]["volumeMounts"][0]["name"] = json!("data");
    let mut template = claim("data", |_| ());
    template["metadata"] = json!({"name": "data"});
    site.apply(
        &json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "prod"},
        "spec": {"replicas": 3, "podManagementPolicy": "Parallel", "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}}, "volumeClaimTemplates": [template],
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod}}}),
    )?;
    let ready = |set: &Value| set["status"]["readyReplicas"] == 3;
    site.plane.wait_for_json(["statefulset", "db", "-n", "prod"], PATIENCE, ready)?;
    let old = site.plane.get_json(["pod", "db-1", "-n", "prod"])?["metadata"]["uid"].clone();
    site.plane.kubectl_must(["delete", "pod", "db-1", "-n", "prod", WITHIN])?;
    let back = |pod: &Value| pod["metadata"]["uid"] != old && pod["status"]["phase"] == "Running";
    site.plane.wait_for_json(["pod", "db-1", "-n", "prod"], PATIENCE, back)?;
    for pod in ["db-0", "db-1", "db-2"] {
        let name = site.in_pod(pod, "/bin/busybox cat /volume/name")?;
        ensure!(name == pod, "{pod} has the volume of {name}");
    }
    site.plane.kubectl_must(["delete", "statefulset", "db", "-n", "prod", WITHIN])?;
    for pod in ["db-0", "db-1", "db-2"] {
        site.plane.kubectl_must(["wait", "--for=delete", "pod", pod, "-n", "prod", WITHIN])?;
        site.delete_claim(&format!("data-{pod}"))?;
    }
    Ok(())
}

/// The agent that serves a volume goes and comes, and so does the agent of a pod's node: the pods only wait.
pub fn a_deleted_agent_costs_pods_nothing(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.apply(&claim("busy", |_| ()))?;
    // The LUN is served by node-a; the pod that goes on is on node-b.
    site.run_pod("first", Some("node-a"), running(WRITE, "busy"))?;
    let script = "cd /volume; n=0; trap 'echo ended well; exit 0' TERM; while :; do n=$((n + 1)); \
        bb dd if=/dev/urandom of=part bs=64k count=16 conv=fsync 2>/dev/null; bb sha256sum part > partsum; \
        echo 3 > /dev/null; bb sha256sum -c partsum >/dev/null; bb sha256sum -c sum > /dev/null; echo $n > rounds; done";
    site.start_pod("worker", Some("node-b"), running(script, "busy"))?;
    site.wait_pod("worker", "Running")?;
    for node in ["node-a", "node-b"] {
        let old = site.agent_pod(node)?;
        site.plane.kubectl_must(["delete", "pod", &old, "-n", SYSTEM, "--force", WITHIN])?;
        site.agents_are_ready()?;
        let more = "cd /volume; n=$(/bin/busybox cat rounds); until [ \"$(/bin/busybox cat rounds)\" -gt $((n + 2)) ]; do /bin/busybox sleep 1; done";
        site.in_pod("worker", more)?;
    }
    site.delete_pod("worker")?;
    site.finds_data("last", "node-a", "busy")?;
    site.delete_claim("busy")
}

/// What the chart brings to try an installation with.
pub fn helm_test_finds_the_right_disk(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let said = site.helm().run(["test", "lunette", WITHIN])?.ok()?;
    ensure!(said.contains("Phase:") && said.contains("Succeeded"), "{said}");
    let left = site.plane.kubectl_must(["get", "pods,pvc,roles", "-n", SYSTEM, "-o", "name"])?;
    ensure!(!left.contains("lunette-test"), "{left}");
    Ok(())
}

/// Nodes keep neither a session nor a record of a LUN that they have detached.
pub fn no_sessions_are_left(site: &Installed) -> Result<()> {
    for node in &site.nodes {
        node.vm().wait_for("iscsiadm -m session 2>&1 | grep -q 'No active sessions'", PATIENCE)?;
        let records = node.vm().must("iscsiadm -m node 2>&1 || true")?;
        ensure!(!records.contains("lunette"), "{} keeps records:\n{records}", node.name());
    }
    Ok(())
}
