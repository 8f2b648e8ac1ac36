//! DeleteSnapshot: the LunSnapshot goes, and its bytes.

use lunette_api::csi::VolumeId;
use lunette_proto::csi;
use thiserror::Error;

use super::busy::InFlight;
use super::cluster::{self, Cluster, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::{Driver, snapshot};
use crate::error::Error;

/// Why the snapshot is still there.
#[derive(Debug, Error)]
pub enum DeleteSnapshotError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// It goes, and has not gone.
    #[error("LunSnapshot {id} is being deleted: {why}")]
    NotGone {
        /// The snapshot.
        id: VolumeId,
        /// What it waits for.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for DeleteSnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::NotGone { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// Reads the call; `None`: no snapshot of ours is called so, and so it is gone.
///
/// # Errors
/// When it names no snapshot.
pub fn read(call: &csi::DeleteSnapshotRequest) -> Result<Option<VolumeId>, DeleteSnapshotError> {
    Ok(parse::required(&call.snapshot_id, "snapshot_id")?.parse().ok())
}

/// Deletes the snapshot, and waits until nothing of it is left.
///
/// # Errors
/// Why it is still there.
pub async fn delete<C: Cluster>(
    driver: &Driver<C>,
    id: &VolumeId,
    deadline: Deadline,
) -> Result<(), DeleteSnapshotError> {
    let _turn = driver.busy_snapshots.begin(id)?;
    let Some(found) = driver.cluster.snapshot(id).await? else { return Ok(()) };
    driver.cluster.delete_snapshot(&found).await?;
    match driver.cluster.wait_snapshot(&found, deadline, |_| false).await {
        Ok(_) => Ok(()),
        Err(WaitError::TimedOut(last)) => {
            Err(DeleteSnapshotError::NotGone { id: id.clone(), why: snapshot::obstacle(&last) })
        }
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}
