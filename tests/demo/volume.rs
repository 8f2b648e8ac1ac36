//! The life of a pod's volume: claimed, snapshotted, moved, grown.

use anyhow::ensure;
use lunette_bed::{Result, Step};

use super::stage::Stage;

/// Reads what [`claim`] wrote and nobody deleted.
pub const CHECK: &str = "cd /data && grep kept sums | sha256sum -c";

/// A claim and a pod; the pod's files are checked by their sums from here on.
pub fn claim(step: &Step, stage: &Stage) -> Result<()> {
    stage.kubectl(step, "apply -f tests/demo/app.yaml")?;
    stage.kubectl(step, "rollout status deployment/app --timeout=240s")?;
    let write = "cd /data && for name in kept lost; do head -c 8388608 /dev/urandom > $name; done && sha256sum kept lost | tee sums && sync";
    stage.in_app(step, write)?;
    stage.kubectl(step, "get pvc")?;
    let luns = stage.kubectl(step, "get luns -A")?;
    ensure!(luns.contains("node-a"), "the LUN is not served where its pod runs");
    Ok(())
}

/// A snapshot, a loss, and a volume made from the snapshot that has what was lost.
pub fn restore(step: &Step, stage: &Stage) -> Result<()> {
    stage.kubectl(step, "apply -f tests/demo/snapshot.yaml")?;
    stage.kubectl(step, "wait volumesnapshot/before --for=jsonpath={.status.readyToUse}=true --timeout=120s")?;
    stage.in_app(step, "rm /data/lost && sync && ls /data")?;
    stage.kubectl(step, "apply -f tests/demo/restored.yaml")?;
    stage.kubectl(step, "wait pod/reader --for=jsonpath={.status.phase}=Succeeded --timeout=240s")?;
    let read = stage.kubectl(step, "logs reader")?;
    ensure!(read.contains("lost: OK") && read.contains("kept: OK"), "the snapshot does not hold both files");
    stage.kubectl(step, "delete -f tests/demo/restored.yaml -f tests/demo/snapshot.yaml --timeout=180s").map(drop)
}

/// The pod ends on one node and begins on the other; the LUN stays where it is, and the network is between them.
pub fn move_pod(step: &Step, stage: &Stage) -> Result<()> {
    let patch = r#"{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/hostname":"node-b"}}}}}"#;
    stage.kubectl(step, &format!("patch deployment app -p '{patch}'"))?;
    stage.kubectl(step, "rollout status deployment/app --timeout=240s")?;
    let pods = stage.kubectl(step, "get pods -l app=app -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName")?;
    ensure!(pods.contains("node-b"), "the pod is not on the other node");
    stage.in_app(step, CHECK)?;
    stage.on_node(step, "node-b", "iscsiadm -m session").map(drop)
}

/// Twice the size, seen in the pod.
pub fn grow(step: &Step, stage: &Stage) -> Result<()> {
    stage.kubectl(step, r#"patch pvc data -p '{"spec":{"resources":{"requests":{"storage":"768Mi"}}}}'"#)?;
    stage.kubectl(step, "wait pvc/data --for=jsonpath={.status.capacity.storage}=768Mi --timeout=180s")?;
    stage.in_app(step, &format!("df -h /data && {CHECK}")).map(drop)
}
