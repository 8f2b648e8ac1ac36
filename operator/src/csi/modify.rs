//! ControllerModifyVolume: what a VolumeAttributesClass says, brought about.

use lunette_api::csi::VolumeId;
use lunette_api::{Lun, Qos, WriteCache};
use lunette_proto::csi;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::busy::InFlight;
use super::class::{Change, ClassError};
use super::cluster::{self, Cluster, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::{Driver, initiator, progress};
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
    /// Whoever has it attached would not flush.
    #[error(
        "volume {id} is attached to {}, where writes are taken for durable when they are acknowledged: detach it before \
         its writeCache becomes WriteBack", .nodes.join(", ")
    )]
    Attached {
        /// The volume.
        id: VolumeId,
        /// To whom.
        nodes: Vec<String>,
    },
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
            Self::Attached { .. } => Kind::Precondition,
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
    let lun = driver.change(lun, |lun| patch(id, lun, &request.change)).await?;
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
///
/// An initiator asks whether there is a write cache when it finds the device, and does not flush where there was none.
fn patch(id: &VolumeId, lun: &Lun, change: &Change) -> Result<Option<Value>, ModifyError> {
    let write_cache = change.write_cache.filter(|wanted| *wanted != lun.spec.write_cache);
    let nodes = initiator::nodes(lun);
    if write_cache == Some(WriteCache::WriteBack) && !nodes.is_empty() {
        return Err(ModifyError::Attached { id: id.clone(), nodes });
    }
    let mut spec = Map::new();
    if let Some(write_cache) = write_cache {
        spec.insert("writeCache".to_owned(), json!(write_cache));
    }
    let qos = change.limits.over(lun.spec.qos.clone())?;
    if qos != lun.spec.qos {
        spec.insert("qos".to_owned(), qos_patch(qos.as_ref()));
    }
    Ok((!spec.is_empty()).then(|| json!({"spec": spec})))
}

/// A merge patch leaves what it does not name: what is not limited any more has to be said.
fn qos_patch(qos: Option<&Qos>) -> Value {
    let Some(qos) = qos else { return Value::Null };
    json!({
        "iops": qos.iops,
        "readIops": qos.read_iops,
        "writeIops": qos.write_iops,
        "bytesPerSecond": qos.bytes_per_second,
        "burstSeconds": qos.burst_seconds,
    })
}
