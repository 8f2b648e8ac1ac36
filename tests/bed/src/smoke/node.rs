//! Nodes: that pods run on them, reach the API server, and outlive their kubelet.

use crate::control_plane::{ControlPlane, ControlPlaneSpec};
use crate::images::{self, BUSYBOX};
use crate::runner::Context;
use crate::{Bed, ClusterNode, Result, VmSpec};
use anyhow::ensure;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

fn pod(name: &str, script: &str, more: &Value) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0, "restartPolicy": "Always",
        "containers": [{ "name": "main", "image": BUSYBOX, "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", script] }],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" }, "spec": spec })
}

fn start(plane: &ControlPlane, pod: &Value) -> Result<()> {
    plane.kubectl_must(["wait", "--for=create", "serviceaccount/default", "--timeout=60s"])?;
    plane.kubectl_with_input(["create", "-f", "-"], &pod.to_string())?.ok()?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    plane.wait_for_json(["pod", name], PATIENCE, |pod| pod["status"]["phase"] == "Running").map(drop)
}

pub fn a_pod_runs_on_a_node(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let plane = ControlPlane::start(&bed, ControlPlaneSpec::new().with_controllers())?;
    let disk = images::disk(&bed, &[])?;
    let node = ClusterNode::boot(&bed, &plane, VmSpec::new("node-a"), &disk)?;
    start(&plane, &pod("first", "echo I run on $(hostname); while :; do busybox sleep 1; done", &json!({})))?;
    ensure!(plane.kubectl_must(["logs", "first"])?.contains("I run on first"));
    // The API server's own Service, as programs in pods reach it.
    plane.kubectl_must(["exec", "first", "--", "/bin/sh", "-c", "busybox nc -w 10 10.96.0.1 443 </dev/null"])?;
    a_mount_of_a_privileged_pod_shows_on_its_node(&plane, &node)?;
    pods_outlive_kubelet_and_containerd(&bed, &plane, &node)?;
    node.vm().dmesg_must_be_clean()
}

/// What mount propagation is for: an agent in a pod mounts, and the node has it.
fn a_mount_of_a_privileged_pod_shows_on_its_node(plane: &ControlPlane, node: &ClusterNode) -> Result<()> {
    let mut mounter = pod(
        "mounter",
        "busybox mount -t tmpfs shown /shared/inner; while :; do busybox sleep 1; done",
        &json!({ "volumes": [{ "name": "shared", "hostPath": { "path": "/run/shared", "type": "DirectoryOrCreate" } }] }),
    );
    let container = &mut mounter["spec"]["containers"][0];
    container["securityContext"] = json!({ "privileged": true });
    container["volumeMounts"] =
        json!([{ "name": "shared", "mountPath": "/shared", "mountPropagation": "Bidirectional" }]);
    node.vm().must("mkdir -p /run/shared/inner")?;
    start(plane, &mounter)?;
    node.vm().wait_for("mountpoint -q /run/shared/inner", PATIENCE)?;
    plane.kubectl_must(["delete", "pod", "mounter", "--timeout=60s"])?;
    node.vm().must("umount /run/shared/inner").map(drop)
}

fn pods_outlive_kubelet_and_containerd(bed: &Bed, plane: &ControlPlane, node: &ClusterNode) -> Result<()> {
    let container = || {
        let pod = plane.get_json(["pod", "first"])?;
        Ok::<Value, crate::Error>(pod["status"]["containerStatuses"][0]["containerID"].clone())
    };
    let before = container()?;
    node.restart_containerd()?;
    node.restart_kubelet(bed)?;
    start(plane, &pod("second", "while :; do busybox sleep 1; done", &json!({})))?;
    ensure!(container()? == before, "the container was replaced");
    Ok(())
}
