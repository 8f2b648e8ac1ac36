//! DeleteVolume: the Lun goes, and its data.

use lunette_api::csi::VolumeId;
use lunette_proto::csi;
use thiserror::Error;

use super::busy::InFlight;
use super::cluster::{self, Cluster, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::{Driver, initiator, progress};
use crate::error::Error;

/// Why the volume is still there.
#[derive(Debug, Error)]
pub enum DeleteError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// Nodes use it.
    #[error("volume {id} is still attached to {}: detach it first", .nodes.join(", "))]
    Attached {
        /// The volume.
        id: VolumeId,
        /// To whom.
        nodes: Vec<String>,
    },
    /// It goes, and has not gone.
    #[error("Lun {id} is being deleted: {why}")]
    NotGone {
        /// The volume.
        id: VolumeId,
        /// What it waits for.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for DeleteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::Attached { .. } => Kind::Precondition,
            Self::NotGone { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// Reads the call; `None`: no volume of ours is called so, and so it is gone.
///
/// # Errors
/// When it names no volume.
pub fn read(call: &csi::DeleteVolumeRequest) -> Result<Option<VolumeId>, DeleteError> {
    Ok(parse::volume_id(&call.volume_id)?)
}

/// Deletes the volume, and waits until nothing of it is left.
///
/// # Errors
/// Why it is still there.
pub async fn delete<C: Cluster>(driver: &Driver<C>, id: &VolumeId, deadline: Deadline) -> Result<(), DeleteError> {
    let _turn = driver.busy.begin(id)?;
    let Some(lun) = driver.cluster.lun(id).await? else { return Ok(()) };
    let nodes = initiator::nodes(&lun);
    if !nodes.is_empty() {
        return Err(DeleteError::Attached { id: id.clone(), nodes });
    }
    driver.cluster.delete(&lun).await?;
    match driver.cluster.wait(&lun, deadline, |_| false).await {
        Ok(_) => Ok(()),
        Err(WaitError::TimedOut(last)) => Err(DeleteError::NotGone { id: id.clone(), why: progress::obstacle(&last) }),
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}
