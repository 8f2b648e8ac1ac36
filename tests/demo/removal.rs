//! The end: what was made is deleted, Lunette is uninstalled, and the nodes hold nothing of it.

use anyhow::ensure;
use lunette_bed::{Result, Step};

use super::stage::{SOON, Stage};
use crate::cluster::installed::gone::LEFT;

/// Deletes the application with its volume, the pool, and Lunette itself.
pub fn remove(step: &Step, stage: &Stage) -> Result<()> {
    stage.kubectl(step, "delete -f tests/demo/app.yaml --timeout=180s")?;
    stage.quietly("wait --for=delete pv --all --timeout=180s")?;
    stage.kubectl(step, "delete -f manifests/examples/pool-directory.yaml --timeout=120s")?;
    stage.helm(step, "uninstall lunette --wait --timeout 240s")?;
    for name in stage.node_names() {
        let node = stage.node(name)?;
        node.wait_for("! pgrep -x lunette-node", SOON)?;
        let left = node.must(LEFT)?;
        ensure!(left.is_empty(), "left on {name}:\n{left}");
    }
    step.say("no target in configfs, no volume in the pool, no mount, no session, no record on node-a and node-b");
    Ok(())
}
