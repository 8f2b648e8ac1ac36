//! NodeUnstageVolume: unmounted, flushed, deleted, logged out, forgotten; in this order, and what is done already is
//! no failure.

use std::path::PathBuf;
use std::sync::Arc;

use lunette_csi_service::busy::InFlight;
use lunette_csi_service::deadline::Deadline;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_initiator::BadWwid;
use lunette_proto::csi;
use thiserror::Error;

use crate::Driver;
use crate::host::{Host, HostError};
use crate::luns::{Luns, Obstacle, Volume};
use crate::mounts;
use crate::record::Record;
use crate::request::{self, RequestError};
use crate::staging::Staging;
use crate::work::{Unfinished, blocking};

use lunette_api::csi::VolumeId;

/// Why something of a volume is still on the node.
#[derive(Debug, Error)]
pub enum UnstageError {
    /// The call is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// No outcome.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The disk stays.
    #[error(transparent)]
    Lun(#[from] Obstacle),
    /// No identity.
    #[error(transparent)]
    Wwid(#[from] BadWwid),
    /// Kernel, programs, disk.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A pod may use it.
    #[error("the volume is still seen at {}: unpublish it there first", .0.display())]
    Published(PathBuf),
}

impl Failure for UnstageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::Unfinished(error) => error.kind(),
            Self::Lun(error) => error.kind(),
            Self::Host(error) => error.kind(),
            Self::Wwid(_) => Kind::Internal,
            Self::Published(_) => Kind::Precondition,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    id: VolumeId,
    folder: PathBuf,
}

impl Request {
    /// Reads the call; `None`: no volume of ours is called so, and none is staged.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodeUnstageVolumeRequest) -> Result<Option<Self>, RequestError> {
        let id = request::volume_id(&call.volume_id)?;
        let folder = request::path(&call.staging_target_path, "staging_target_path")?;
        Ok(id.map(|id| Self { id, folder }))
    }
}

/// Unstages the volume.
///
/// # Errors
/// What is left, and why.
pub async fn unstage<L: Luns, H: Host>(
    driver: &Driver<L, H>,
    request: Request,
    deadline: Deadline,
) -> Result<(), UnstageError> {
    let _turn = driver.busy.begin(&request.id)?;
    let staging = Staging::new(driver.host.as_ref(), &request.folder);
    let volume = match recorded(driver, &staging).await {
        Some(record) => Some(Volume { id: request.id.clone(), uid: record.uid }),
        // Nothing was ever recorded there, or somebody has removed it.
        None => driver.luns.look_up(&request.id, deadline.instant()).await?.map(|(volume, _)| volume),
    };
    undone(driver, volume.as_ref(), &staging, deadline).await
}

/// The record, as far as there is one that can be read.
async fn recorded<L: Luns, H: Host>(driver: &Driver<L, H>, staging: &Staging) -> Option<Record> {
    let (host, path) = (driver.host.clone(), staging.record());
    let read = blocking(move || Record::read(host.as_ref(), &path).map_err(UnstageError::from)).await;
    read.unwrap_or_else(|error| {
        tracing::warn!("{error}; going on without it");
        None
    })
}

/// Takes away everything that staging the volume may have made.
///
/// # Errors
/// What is left, and why.
pub async fn undone<L: Luns, H: Host>(
    driver: &Driver<L, H>,
    volume: Option<&Volume>,
    staging: &Staging,
    deadline: Deadline,
) -> Result<(), UnstageError> {
    let (host, place) = (driver.host.clone(), staging.clone());
    blocking(move || unmounted(host.as_ref(), &place)).await?;
    if let Some(volume) = volume {
        emptied(driver, volume, staging, deadline).await?;
        driver.luns.detach(volume, deadline.instant()).await?;
    }
    let (host, record) = (driver.host.clone(), staging.record());
    blocking(move || Ok(host.remove_file(&record)?)).await
}

fn unmounted(host: &impl Host, staging: &Staging) -> Result<(), UnstageError> {
    let point = staging.volume();
    loop {
        let mounts = host.mounts()?;
        let Some(mount) = mounts::at(&mounts, &point) else { break };
        if let Some(other) = mounts::elsewhere(&mounts, mount).next() {
            return Err(UnstageError::Published(other.point.clone()));
        }
        host.unmount(&point)?;
    }
    Ok(host.remove_empty(&point)?)
}

/// A file system whose making was cut off is taken off the disk again, so that the next node finds it empty and not
/// full of something unknown. Only while no other node can have had the disk.
async fn emptied<L: Luns, H: Host>(
    driver: &Driver<L, H>,
    volume: &Volume,
    staging: &Staging,
    deadline: Deadline,
) -> Result<(), UnstageError> {
    let Some(formatting) = recorded(driver, staging).await.and_then(|record| record.formatting) else { return Ok(()) };
    let now = driver.luns.look_up(&volume.id, deadline.instant()).await?;
    if now.is_none_or(|(now, epoch)| now != *volume || epoch != formatting) {
        return Ok(());
    }
    let disk = driver.luns.attach(volume, deadline.instant()).await?;
    let (host, wwid): (Arc<H>, _) = (driver.host.clone(), volume.wwid()?);
    blocking(move || {
        let (_held, disk) = host.hold(&disk, &wwid)?;
        Ok(host.erase(&disk.path)?)
    })
    .await
}
