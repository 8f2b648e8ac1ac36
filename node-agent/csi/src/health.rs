//! NodeGetVolumeHealth and NodeGetStorageHealth: what is wrong with a volume, or with all of them, as this node sees
//! it. What the node that serves the LUN knows, the controller tells.

use std::path::PathBuf;

use lunette_csi_service::failure::{Failure, Kind};
use lunette_proto::csi;
use lunette_proto::csi::node_get_storage_health_response::StorageBackendHealth;
use lunette_proto::csi::volume_health::VolumeHealthEntry;
use lunette_proto::csi::{StorageHealthErrorType, VolumeHealth, VolumeHealthErrorType};
use thiserror::Error;

use crate::host::{Host, HostError};
use crate::luns::{Luns, Trouble, Volume};
use crate::record::Record;
use crate::request::{self, RequestError};
use crate::staging::{Shown, Staging};
use crate::work::{Unfinished, blocking};
use crate::{Driver, expand};

/// Why a volume's health is not known.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The call is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No outcome.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The kernel.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It is not there.
    #[error("volume {id} is neither staged nor published at {}", path.display())]
    NotHere {
        /// The volume.
        id: String,
        /// Where.
        path: PathBuf,
    },
}

impl Failure for HealthError {
    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::Unfinished(error) => error.kind(),
            Self::Host(error) => error.kind(),
            Self::NotHere { .. } => Kind::NotFound,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    id: String,
    paths: Vec<PathBuf>,
    staging: Option<PathBuf>,
}

impl Request {
    /// Reads the call. Callers may leave out the paths (csi-sanity does): then nothing is known to be wrong.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodeGetVolumeHealthRequest) -> Result<Self, RequestError> {
        let id = request::known_volume_id(&call.volume_id)?.to_string();
        let given = |text: &str, field| if text.is_empty() { Ok(None) } else { request::path(text, field).map(Some) };
        let staging = given(&call.staging_target_path, "staging_target_path")?;
        let paths: Vec<PathBuf> =
            given(&call.volume_publish_path, "volume_publish_path")?.into_iter().chain(staging.clone()).collect();
        Ok(Self { id, paths, staging })
    }
}

/// What is wrong with the volume here.
///
/// # Errors
/// When that is not known.
pub async fn volume<L: Luns, H: Host>(driver: &Driver<L, H>, request: Request) -> Result<VolumeHealth, HealthError> {
    let host = driver.host.clone();
    blocking(move || {
        let Request { id, paths, staging } = request;
        let record = staging.map(|folder| Record::read(host.as_ref(), &Staging::new(host.as_ref(), &folder).record()));
        let uid = record.transpose()?.flatten().map(|record| record.uid);
        for path in &paths {
            if let Some(shown) = expand::seen(host.as_ref(), path)? {
                let health_statuses = wrong(host.as_ref(), &id, uid.as_deref(), &shown);
                return Ok(VolumeHealth { volume_id: id, health_statuses });
            }
        }
        match paths.into_iter().next() {
            Some(path) => Err(HealthError::NotHere { id, path }),
            None => Ok(VolumeHealth { volume_id: id, health_statuses: Vec::new() }),
        }
    })
    .await
}

fn wrong(host: &impl Host, id: &str, uid: Option<&str>, shown: &Shown) -> Vec<VolumeHealthEntry> {
    let entry = |reason: &str, message: String| VolumeHealthEntry {
        status: VolumeHealthErrorType::Inaccessible.into(),
        reason: reason.to_owned(),
        message,
    };
    let Some(disk) = &shown.disk else {
        return vec![entry(
            "DiskGone",
            "the kernel shows the volume's disk no more: end the pod, so that it is staged anew".to_owned(),
        )];
    };
    let mut entries = Vec::new();
    let wanted = uid.and_then(|uid| Volume { id: id.parse().ok()?, uid: uid.to_owned() }.wwid().ok());
    if wanted.is_some_and(|wanted| disk.wwid.as_ref() != Some(&wanted)) {
        let found = disk.wwid.as_ref().map_or("a disk without an identity", |wwid| wwid.as_str());
        entries.push(entry("AnotherDisk", format!("what is mounted is {found}, which is not the volume: end the pod")));
    }
    let (running, state) = host.is_running(disk);
    if !running {
        let why =
            format!("the kernel has set the volume's disk {state}: is its LUN served? (`kubectl get luns`, `dmesg`)");
        entries.push(entry("DiskNotRunning", why));
    }
    if shown.mount.is_read_only_everywhere() && !shown.mount.is_read_only() {
        let why =
            "the kernel writes no more to the file system after an error (`dmesg`): end the pod, so that it is checked";
        entries.push(entry("FileSystemReadOnly", why.to_owned()));
    }
    entries
}

/// What is wrong with this node as a place for volumes.
pub fn storage(troubles: Vec<Trouble>) -> Vec<StorageBackendHealth> {
    let of_all =
        |all| if all { StorageHealthErrorType::StorageUnreachable } else { StorageHealthErrorType::StorageDegraded };
    let entry = |trouble: Trouble| StorageBackendHealth {
        status: of_all(trouble.of_all).into(),
        reason: trouble.reason.to_owned(),
        message: trouble.message,
        volume_capability: None,
    };
    troubles.into_iter().map(entry).collect()
}
