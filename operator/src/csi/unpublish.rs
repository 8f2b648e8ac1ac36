//! ControllerUnpublishVolume: a node loses its access, and is known to have lost it.
//!
//! Taking its access control list away makes LIO end the node's sessions and wait for their commands
//! (`core_tpg_del_initiator_node_acl`); the agent reports the generation of the spec only when that is done.
//! Until then the call fails, however often it is made: a volume is never said to be free that a node could
//! still write to.

use lunette_api::csi::VolumeId;
use lunette_api::{EPOCH_ANNOTATION, Lun};
use lunette_proto::csi;
use serde_json::{Value, json};
use thiserror::Error;

use super::busy::InFlight;
use super::chap::secret_name;
use super::cluster::{self, Cluster, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::{Driver, initiator, progress};
use crate::error::Error;

/// Why a node may still have access.
#[derive(Debug, Error)]
pub enum UnpublishError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// It is not known to have lost it.
    #[error("node {node} is not known to have lost its access to volume {id} yet: {why}")]
    NotWithdrawn {
        /// The volume.
        id: VolumeId,
        /// The node.
        node: String,
        /// What is awaited.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for UnpublishError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::NotWithdrawn { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The volume.
    pub id: VolumeId,
    /// The node; `None`: every node.
    pub node: Option<String>,
}

impl Request {
    /// Reads the call; `None`: no volume of ours is called so, and nobody has it.
    ///
    /// # Errors
    /// When it names no volume.
    pub fn read(call: &csi::ControllerUnpublishVolumeRequest) -> Result<Option<Self>, UnpublishError> {
        let node = Some(call.node_id.clone()).filter(|node| !node.is_empty());
        Ok(parse::volume_id(&call.volume_id)?.map(|id| Self { id, node }))
    }
}

/// Takes the access away, and waits until it is gone.
///
/// # Errors
/// Why it may not be.
pub async fn unpublish<C: Cluster>(
    driver: &Driver<C>,
    request: &Request,
    deadline: Deadline,
) -> Result<(), UnpublishError> {
    let _turn = driver.busy.begin(&request.id)?;
    let Some(lun) = driver.cluster.lun(&request.id).await? else { return Ok(()) };
    let nodes = match &request.node {
        Some(node) => vec![node.clone()],
        None => initiator::nodes(&lun),
    };
    for node in nodes {
        withdraw(driver, &request.id, &node, deadline).await?;
    }
    Ok(())
}

async fn withdraw<C: Cluster>(
    driver: &Driver<C>,
    id: &VolumeId,
    node: &str,
    deadline: Deadline,
) -> Result<(), UnpublishError> {
    let Some(lun) = driver.cluster.lun(id).await? else { return Ok(()) };
    let there = driver.cluster.node(node).await?;
    let lun = driver.change(lun, |lun| Ok::<_, UnpublishError>(without(lun, node))).await?;
    // Waited for even where the entry was gone: an earlier call may have ended before it was done.
    let generation = lun.metadata.generation.unwrap_or_default();
    let is_out =
        |now: &Lun| progress::is_withdrawn(now, generation) && !initiator::has_session(now, node, there.as_ref());
    match driver.cluster.wait(&lun, deadline, is_out).await {
        Ok(_) => {}
        Err(WaitError::TimedOut(last)) => {
            let why = progress::obstacle(&last);
            return Err(UnpublishError::NotWithdrawn { id: id.clone(), node: node.to_owned(), why });
        }
        Err(WaitError::Api(error)) => return Err(error.into()),
    }
    // Last: while the entry stood, the agent needed it.
    Ok(driver.cluster.delete_secret(&lun, &secret_name(&lun, node)).await?)
}

/// The Lun without that node, and with the next fencing generation asked for; `None`: it has no such node.
fn without(lun: &Lun, node: &str) -> Option<Value> {
    initiator::find(lun, node)?;
    let epoch = crate::lun::status::epoch(lun).saturating_add(1);
    Some(json!({
        "metadata": {"annotations": {EPOCH_ANNOTATION: epoch.to_string()}},
        "spec": {"initiators": initiator::without(lun, node)},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_follows_the_last_whatever_somebody_wrote_into_the_annotation() {
        for (asked, next) in [("5", "6"), ("1", "4"), ("18446744073709551615", "4"), ("never", "4")] {
            let lun: Lun = serde_json::from_value(json!({
                "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
                "metadata": {"name": "db", "annotations": {EPOCH_ANNOTATION: asked}},
                "spec": {"pool": "fast", "size": "1Gi", "initiators": [{"nodeName": "a"}]}, "status": {"epoch": 3},
            }))
            .expect("a Lun");
            let patch = without(&lun, "a").expect("the node is let in");
            assert_eq!(patch["metadata"]["annotations"][EPOCH_ANNOTATION], next, "asked for {asked}");
        }
    }
}
