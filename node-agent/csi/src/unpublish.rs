//! NodeUnpublishVolume: nothing is mounted where a pod saw the volume, and nothing is there.

use std::path::PathBuf;

use lunette_api::csi::VolumeId;
use lunette_csi_service::busy::InFlight;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_proto::csi;
use thiserror::Error;

use crate::Driver;
use crate::host::{Host, HostError};
use crate::luns::Luns;
use crate::mounts;
use crate::request::{self, RequestError};
use crate::work::{Unfinished, blocking};

/// Why a pod may still see it.
#[derive(Debug, Error)]
pub enum UnpublishError {
    /// The call is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// No outcome.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The kernel.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Failure for UnpublishError {
    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::Unfinished(error) => error.kind(),
            Self::Host(error) => error.kind(),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    id: VolumeId,
    target: PathBuf,
}

impl Request {
    /// Reads the call; `None`: no volume of ours is called so, and none is published.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodeUnpublishVolumeRequest) -> Result<Option<Self>, RequestError> {
        let id = request::volume_id(&call.volume_id)?;
        let target = request::path(&call.target_path, "target_path")?;
        Ok(id.map(|id| Self { id, target }))
    }
}

/// Unpublishes the volume. What is in a folder that nothing is mounted on is left alone.
///
/// # Errors
/// Why it is still there.
pub async fn unpublish<L: Luns, H: Host>(driver: &Driver<L, H>, request: Request) -> Result<(), UnpublishError> {
    let _turn = driver.busy.begin(&request.id)?;
    let host = driver.host.clone();
    blocking(move || {
        let target = host.resolved(&request.target);
        while mounts::at(&host.mounts()?, &target).is_some() {
            host.unmount(&target)?;
        }
        Ok(host.remove_empty(&target)?)
    })
    .await
}
