//! ControllerExpandVolume: the Lun grows. Whoever has it attached must look at its size anew: the node's part.

use lunette_api::Lun;
use lunette_api::csi::VolumeId;
use lunette_proto::csi;
use serde_json::json;
use thiserror::Error;

use super::busy::InFlight;
use super::cluster::{self, Cluster, WaitError};
use super::create::largest;
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError, Range, RangeError};
use super::{Driver, progress, volume};
use crate::error::Error;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The volume.
    pub id: VolumeId,
    /// How large it is to be.
    pub range: Range,
}

/// Why it has not grown.
#[derive(Debug, Error)]
pub enum ExpandError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Its size is.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// It is larger than that.
    #[error("volume {id} has {bytes} bytes, more than the limit of {limit}: volumes do not shrink")]
    Larger {
        /// The volume.
        id: VolumeId,
        /// What it has.
        bytes: u64,
        /// What it may have.
        limit: u64,
    },
    /// Its node cannot hold it.
    #[error("volume {id} cannot have {bytes} bytes: the largest that its pool can hold has {most}")]
    TooLarge {
        /// The volume.
        id: VolumeId,
        /// What it is to have.
        bytes: u64,
        /// What can be had.
        most: u64,
    },
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// It is growing.
    #[error("volume {id} is growing and has not got there yet: {why}")]
    NotGrown {
        /// The volume.
        id: VolumeId,
        /// What stands in the way.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for ExpandError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::Range(error) => error.kind(),
            Self::Larger { .. } | Self::TooLarge { .. } => Kind::OutOfRange,
            Self::InFlight(_) => Kind::Busy,
            Self::NoVolume(_) => Kind::NotFound,
            Self::NotGrown { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::ControllerExpandVolumeRequest) -> Result<Self, ExpandError> {
        let id = parse::volume_id(&call.volume_id)?;
        if call.capacity_range.is_none() {
            return Err(ParseError::Missing("capacity_range").into());
        }
        let range = Range::read(call.capacity_range.as_ref())?;
        let id = id.ok_or_else(|| ExpandError::NoVolume(call.volume_id.clone()))?;
        Ok(Self { id, range })
    }
}

/// Grows the volume, and waits until its device has the new size. One that is large enough stays as it is.
///
/// # Errors
/// Why it has not grown.
pub async fn expand<C: Cluster>(driver: &Driver<C>, request: &Request, deadline: Deadline) -> Result<Lun, ExpandError> {
    let id = &request.id;
    let _turn = driver.busy.begin(id)?;
    let mut lun = driver.cluster.lun(id).await?.ok_or_else(|| ExpandError::NoVolume(id.to_string()))?;
    let now = volume::bytes(&lun);
    if let Some(limit) = request.range.limit
        && now > limit
    {
        return Err(ExpandError::Larger { id: id.clone(), bytes: now, limit });
    }
    if now < request.range.required {
        lun = grow(driver, request, lun).await?;
    }
    let (bytes, generation) = (volume::bytes(&lun), lun.metadata.generation.unwrap_or_default());
    match driver.cluster.wait(&lun, deadline, |lun| progress::has_size(lun, bytes, generation)).await {
        Ok(Some(lun)) => Ok(lun),
        Ok(None) => Err(ExpandError::NoVolume(id.to_string())),
        Err(WaitError::TimedOut(last)) => Err(ExpandError::NotGrown { id: id.clone(), why: progress::obstacle(&last) }),
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}

async fn grow<C: Cluster>(driver: &Driver<C>, request: &Request, lun: Lun) -> Result<Lun, ExpandError> {
    let (id, bytes) = (request.id.clone(), request.range.size(lun.spec.block_size)?);
    let nodes = driver.cluster.nodes().await?;
    let node = lun.status.as_ref().and_then(|s| s.node.as_ref());
    let its: Vec<_> = nodes.into_iter().filter(|n| node.is_none() || n.metadata.name.as_ref() == node).collect();
    if let Some(most) = largest(&its, &lun.spec.pool)
        && bytes > most
    {
        return Err(ExpandError::TooLarge { id, bytes, most });
    }
    let larger = |lun: &Lun| Ok((volume::bytes(lun) < bytes).then(|| json!({"spec": {"size": bytes.to_string()}})));
    driver.change(lun, larger).await
}
