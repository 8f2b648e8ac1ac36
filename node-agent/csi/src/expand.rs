//! NodeExpandVolume: the kernel learns the LUN's new size, and the file system takes it up.

use std::path::PathBuf;

use lunette_api::csi::VolumeId;
use lunette_csi_service::busy::InFlight;
use lunette_csi_service::deadline::Deadline;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_initiator::BadWwid;
use lunette_proto::csi;
use thiserror::Error;

use crate::host::{Host, HostError};
use crate::luns::{Luns, Obstacle};
use crate::request::{self, RequestError};
use crate::staging::{self, Shown, Staging};
use crate::work::{Unfinished, blocking};
use crate::{Driver, stage};

/// Why a volume has not its new size on the node.
#[derive(Debug, Error)]
pub enum ExpandError {
    /// The call is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// No outcome.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The LUN is no disk of this machine, or not with its new size.
    #[error(transparent)]
    Lun(#[from] Obstacle),
    /// No identity.
    #[error(transparent)]
    Wwid(#[from] BadWwid),
    /// Kernel, programs, disk.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no such Lun.
    #[error("there is no Lun {0}")]
    NoVolume(VolumeId),
    /// It is not here.
    #[error("volume {id} is not seen at {}: is it published there?", path.display())]
    NotHere {
        /// The volume.
        id: VolumeId,
        /// Where.
        path: PathBuf,
    },
    /// Something else is.
    #[error("what is seen at {} is not volume {id}: nothing is grown", path.display())]
    NotTheVolume {
        /// The volume.
        id: VolumeId,
        /// Where.
        path: PathBuf,
    },
    /// The LUN is smaller than is asked for.
    #[error("volume {id} has {found} bytes where {required} are asked for: has ControllerExpandVolume ended well?")]
    TooSmall {
        /// The volume.
        id: VolumeId,
        /// Bytes that it has.
        found: u64,
        /// Bytes that are asked for.
        required: u64,
    },
}

impl Failure for ExpandError {
    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::Unfinished(error) => error.kind(),
            Self::Lun(error) => error.kind(),
            Self::Host(error) => error.kind(),
            Self::Wwid(_) => Kind::Internal,
            Self::NoVolume(_) | Self::NotHere { .. } => Kind::NotFound,
            Self::NotTheVolume { .. } => Kind::Precondition,
            Self::TooSmall { .. } => Kind::OutOfRange,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    id: VolumeId,
    path: PathBuf,
    required: u64,
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodeExpandVolumeRequest) -> Result<Self, RequestError> {
        let id = request::volume_id(&call.volume_id)?;
        let path = request::required(&call.volume_path, "volume_path")?.into();
        let required = call.capacity_range.map_or(0, |range| range.required_bytes);
        let id = request::ours(id, &call.volume_id)?;
        Ok(Self { id, path, required: required.try_into().unwrap_or_default() })
    }
}

/// Grows what is seen of the volume; its size in bytes.
///
/// # Errors
/// Why it has not grown.
pub async fn expand<L: Luns, H: Host>(
    driver: &Driver<L, H>,
    request: Request,
    deadline: Deadline,
) -> Result<u64, ExpandError> {
    let Request { id, path, required } = request;
    let _turn = driver.busy.begin(&id)?;
    let known = driver.luns.look_up(&id, deadline.instant()).await?;
    let (volume, _) = known.ok_or_else(|| ExpandError::NoVolume(id.clone()))?;
    let (host, wwid, place) = (driver.host.clone(), volume.wwid()?, path.clone());
    let found = blocking(move || Ok::<_, ExpandError>(seen(host.as_ref(), &place)?)).await?;
    let Some(shown) = found else { return Err(ExpandError::NotHere { id, path }) };
    if shown.disk.as_ref().is_none_or(|disk| disk.wwid.as_ref() != Some(&wwid)) {
        return Err(ExpandError::NotTheVolume { id, path });
    }
    // Has the kernel look again until the disk has the LUN's size.
    let disk = driver.luns.attach(&volume, deadline.instant()).await?;
    let host = driver.host.clone();
    blocking(move || {
        let (_held, disk) = host.hold(&disk, &wwid)?;
        if disk.size < required {
            return Err(ExpandError::TooSmall { id, found: disk.size, required });
        }
        if !shown.mount.is_of_a_file() && !shown.mount.is_read_only() {
            stage::grown(host.as_ref(), &shown, &disk)?;
        }
        Ok(disk.size)
    })
    .await
}

/// What is seen at a path where a volume is published, or at a staging directory.
pub fn seen(host: &impl Host, path: &std::path::Path) -> Result<Option<Shown>, HostError> {
    let mounts = host.mounts()?;
    match staging::shown_of(host, &mounts, &Staging::new(host, path).volume())? {
        Some(staged) => Ok(Some(staged)),
        None => staging::shown_of(host, &mounts, &host.resolved(path)),
    }
}
