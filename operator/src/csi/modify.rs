//! ControllerModifyVolume: what a VolumeAttributesClass says, brought about.

use lunette_api::Lun;
use lunette_api::csi::VolumeId;
use lunette_proto::csi;
use serde_json::{Value, json};
use thiserror::Error;

use super::busy::InFlight;
use super::class::{Change, ClassError};
use super::cluster::{self, Cluster, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::{Driver, progress};
use crate::error::Error;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The volume.
    pub id: VolumeId,
    /// What is to change.
    pub change: Change,
}

/// Why it has not changed.
#[derive(Debug, Error)]
pub enum ModifyError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Its parameters are.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// It is asked for, and not done.
    #[error("volume {id} is not served in its new way yet: {why}")]
    NotChanged {
        /// The volume.
        id: VolumeId,
        /// What stands in the way.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for ModifyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::Class(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::NoVolume(_) => Kind::NotFound,
            Self::NotChanged { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it, unknown or cannot change.
    pub fn read(call: &csi::ControllerModifyVolumeRequest) -> Result<Self, ModifyError> {
        let id = parse::volume_id(&call.volume_id)?;
        let id = id.ok_or_else(|| ModifyError::NoVolume(call.volume_id.clone()))?;
        Ok(Self { id, change: Change::read(&call.mutable_parameters)? })
    }
}

/// Changes the volume, and waits until its node has it so.
///
/// # Errors
/// Why it has not changed.
pub async fn modify<C: Cluster>(driver: &Driver<C>, request: &Request, deadline: Deadline) -> Result<(), ModifyError> {
    let id = &request.id;
    let _turn = driver.busy.begin(id)?;
    let lun = driver.cluster.lun(id).await?.ok_or_else(|| ModifyError::NoVolume(id.to_string()))?;
    let lun = driver.change(lun, |lun| Ok::<_, ModifyError>(patch(lun, request.change))).await?;
    let generation = lun.metadata.generation.unwrap_or_default();
    match driver.cluster.wait(&lun, deadline, |lun| progress::is_served(lun, generation)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(ModifyError::NoVolume(id.to_string())),
        Err(WaitError::TimedOut(last)) => {
            Err(ModifyError::NotChanged { id: id.clone(), why: progress::obstacle(&last) })
        }
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}

/// What has to be written; `None`: it is so already.
fn patch(lun: &Lun, change: Change) -> Option<Value> {
    let write_cache = change.write_cache.filter(|wanted| *wanted != lun.spec.write_cache)?;
    Some(json!({"spec": {"writeCache": write_cache}}))
}
