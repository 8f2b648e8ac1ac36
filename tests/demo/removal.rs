//! The end: what was made is deleted, Lunette is uninstalled, and the nodes hold nothing of it.

use lunette_bed::{Result, Step};

use super::stage::Stage;
use crate::cluster::installed::gone::nothing_is_left_on_nodes;

/// Deletes the application with its volume, the pool, and Lunette itself.
pub fn remove(step: &Step, stage: &Stage) -> Result<()> {
    stage.kubectl(step, "delete -f tests/demo/app.yaml --timeout=180s")?;
    stage.quietly("wait --for=delete pv --all --timeout=180s")?;
    stage.kubectl(step, "delete -f manifests/examples/pool-directory.yaml --timeout=120s")?;
    stage.helm(step, "uninstall lunette --wait --timeout 240s")?;
    nothing_is_left_on_nodes(&stage.cluster)?;
    step.say("no target in configfs, no volume in the pool, no mount, no session, no record on node-a and node-b");
    Ok(())
}
