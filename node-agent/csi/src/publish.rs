//! NodePublishVolume: what is staged is bound to where a pod sees it.

use std::path::PathBuf;

use lunette_api::csi::VolumeId;
use lunette_csi_service::busy::InFlight;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_initiator::{BadWwid, Disk};
use lunette_proto::csi;
use thiserror::Error;

use crate::Driver;
use crate::host::{Host, HostError};
use crate::luns::{Luns, Volume};
use crate::mounts::{self, Mount};
use crate::record::Record;
use crate::request::{self, Access, Published, RequestError, Use};
use crate::staging::{self, Staging};
use crate::work::{Unfinished, blocking};

/// Why a pod does not see a volume.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The call is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// No outcome.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// No identity.
    #[error(transparent)]
    Wwid(#[from] BadWwid),
    /// Kernel, programs, disk.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It is not staged.
    #[error("the volume is not staged in {}: stage it first", .0.display())]
    NotStaged(PathBuf),
    /// What is staged there is not the volume.
    #[error("what is mounted on {} is not the volume: it shows {shows}; unstage it and stage it again", path.display())]
    NotTheVolume {
        /// Where.
        path: PathBuf,
        /// What.
        shows: String,
    },
    /// It is staged otherwise.
    #[error("the volume is staged {0}, and asked for otherwise")]
    Otherwise(&'static str),
    /// One at a time.
    #[error("the volume may be used by one pod only, and {} uses it: end that first", .0.display())]
    Taken(PathBuf),
    /// Something else is there.
    #[error("something else is mounted on {}: unmount it", .0.display())]
    Occupied(PathBuf),
    /// A pod has it there for reading.
    #[error("the volume is published at {} already, read-only", .0.display())]
    ReadOnlyThere(PathBuf),
    /// It would be written all the same.
    #[error("a block device cannot be read-only for one pod: publish the volume to the node as read-only")]
    WritableDevice,
}

impl Failure for PublishError {
    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::Unfinished(error) => error.kind(),
            Self::Host(error) => error.kind(),
            Self::Wwid(_) => Kind::Internal,
            Self::ReadOnlyThere(_) => Kind::Exists,
            Self::NotStaged(_)
            | Self::NotTheVolume { .. }
            | Self::Otherwise(_)
            | Self::Taken(_)
            | Self::Occupied(_)
            | Self::WritableDevice => Kind::Precondition,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    id: VolumeId,
    folder: PathBuf,
    target: PathBuf,
    usage: Use,
    read_only: bool,
    uid: Option<String>,
}

impl Request {
    /// Reads the call. The publish context need not be there: what is staged says whose it is.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodePublishVolumeRequest) -> Result<Self, RequestError> {
        let id = request::volume_id(&call.volume_id)?;
        let target = request::path(&call.target_path, "target_path")?;
        let usage = Use::read(call.volume_capability.as_ref())?;
        let folder = request::path(&call.staging_target_path, "staging_target_path")?;
        let id = request::ours(id, &call.volume_id)?;
        let uid = match call.publish_context.is_empty() {
            true => None,
            false => Some(Published::read(id.clone(), &call.publish_context, &call.volume_context)?.volume.uid),
        };
        let read_only = call.readonly || usage.read_only;
        Ok(Self { id, folder, target, usage, read_only, uid })
    }
}

/// Publishes the volume.
///
/// # Errors
/// Why not.
pub async fn publish<L: Luns, H: Host>(driver: &Driver<L, H>, request: Request) -> Result<(), PublishError> {
    let _turn = driver.busy.begin(&request.id)?;
    let host = driver.host.clone();
    blocking(move || {
        let staging = Staging::new(host.as_ref(), &request.folder);
        let target = host.resolved(&request.target);
        let mounts = host.mounts()?;
        let staged = staged(host.as_ref(), &mounts, &staging, &request)?;
        match mounts::at(&mounts, &target) {
            Some(there) if !there.shows_the_same_as(&staged) => return Err(PublishError::Occupied(target)),
            Some(_) => {}
            None => {
                is_free(&mounts, &staged, &staging, &request)?;
                match request.usage.access {
                    Access::Block => host.make_file(&target)?,
                    Access::Mount(..) => host.make_folder(&target)?,
                }
                host.bind(&staging.volume(), &target)?;
            }
        }
        protected(host.as_ref(), &staged, target, &request)
    })
    .await
}

/// What is staged, if it is the volume, and as it is asked for.
fn staged(host: &impl Host, mounts: &[Mount], staging: &Staging, request: &Request) -> Result<Mount, PublishError> {
    let not_staged = || PublishError::NotStaged(staging.folder.clone());
    let shown = staging::shown_of(host, mounts, &staging.volume())?.ok_or_else(not_staged)?;
    let record = Record::read(host, &staging.record())?.ok_or_else(not_staged)?;
    let wwid = Volume { id: request.id.clone(), uid: record.uid.clone() }.wwid()?;
    let is_it = request.uid.as_ref().is_none_or(|uid| *uid == record.uid);
    let disk = shown.disk.filter(|disk| is_it && disk.wwid.as_ref() == Some(&wwid));
    let Some(disk) = disk else {
        return Err(PublishError::NotTheVolume { path: staging.volume(), shows: shown.mount.source });
    };
    is_as_asked(&shown.mount, &disk, request)?;
    Ok(shown.mount)
}

fn is_as_asked(mount: &Mount, disk: &Disk, request: &Request) -> Result<(), PublishError> {
    match request.usage.access {
        Access::Block if !mount.is_of_a_file() => Err(PublishError::Otherwise("as a file system")),
        Access::Mount(..) if mount.is_of_a_file() => Err(PublishError::Otherwise("as a block device")),
        Access::Mount(..) if mount.is_read_only() && !request.read_only => Err(PublishError::Otherwise("read-only")),
        Access::Block if request.read_only && !disk.read_only => Err(PublishError::WritableDevice),
        _ => Ok(()),
    }
}

/// Whether nobody else sees it, where that matters.
fn is_free(mounts: &[Mount], staged: &Mount, staging: &Staging, request: &Request) -> Result<(), PublishError> {
    let volume = staging.volume();
    let others = mounts.iter().filter(|mount| mount.shows_the_same_as(staged) && mount.point != volume);
    match others.map(|mount| mount.point.clone()).next() {
        Some(other) if request.usage.exclusive => Err(PublishError::Taken(other)),
        _ => Ok(()),
    }
}

/// Read-only, if that is asked for: an earlier call may have been cut off before it was.
fn protected(host: &impl Host, staged: &Mount, target: PathBuf, request: &Request) -> Result<(), PublishError> {
    let mounts = host.mounts()?;
    let there = mounts::at(&mounts, &target).filter(|there| there.shows_the_same_as(staged));
    let Some(there) = there else { return Err(PublishError::Occupied(target)) };
    match (request.read_only, there.is_read_only()) {
        (true, false) if !there.is_of_a_file() => Ok(host.set_read_only(there)?),
        (false, true) => Err(PublishError::ReadOnlyThere(target)),
        _ => Ok(()),
    }
}
