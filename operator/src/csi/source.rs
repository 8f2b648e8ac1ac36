//! What a volume is to be made from: a snapshot or another volume of this driver's.

use lunette_api::LunSource;
use lunette_api::csi::VolumeId;
use lunette_proto::csi;
use lunette_proto::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
use thiserror::Error;

use super::cluster::{self, Cluster};
use super::failure::{Failure, Kind};
use super::{Driver, snapshot, volume};
use crate::error::Error;

/// What is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A snapshot.
    Snapshot(VolumeId),
    /// A volume.
    Volume(VolumeId),
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its bytes.
    pub bytes: u64,
    /// Its pool; not known of a snapshot that no node has taken.
    pub pool: Option<String>,
}

/// Why a volume cannot be made from it.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It says neither.
    #[error("volume_content_source names neither a snapshot nor a volume")]
    Neither,
    /// There is no such snapshot.
    #[error("there is no snapshot {0} to make a volume from")]
    NoSnapshot(String),
    /// There is no such volume.
    #[error("there is no volume {0} to make another from")]
    NoVolume(String),
    /// It is not the driver's.
    #[error("{0} is in another namespace than the Luns of volumes: nothing is made from it")]
    Foreign(VolumeId),
    /// It is not there yet.
    #[error("snapshot {id} was not taken yet: {why}")]
    NotReady {
        /// The snapshot.
        id: VolumeId,
        /// What stands in the way.
        why: String,
    },
    /// The pool is another.
    #[error("what the volume is made from is in LunPool {there}: its StorageClass must say pool: {there}")]
    OtherPool {
        /// The source's pool.
        there: String,
    },
    /// It has more bytes.
    #[error("what the volume is made from has {least} bytes: ask for at least as many")]
    TooSmall {
        /// The source's bytes.
        least: u64,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for SourceError {
    fn kind(&self) -> Kind {
        match self {
            Self::Neither | Self::OtherPool { .. } => Kind::Invalid,
            Self::NoSnapshot(_) | Self::NoVolume(_) => Kind::NotFound,
            Self::Foreign(_) => Kind::Forbidden,
            Self::NotReady { .. } => Kind::Unavailable,
            Self::TooSmall { .. } => Kind::OutOfRange,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

impl Source {
    /// Reads it; `None`: the volume begins empty.
    ///
    /// # Errors
    /// When it can name nothing of ours.
    pub fn read(given: Option<&csi::VolumeContentSource>) -> Result<Option<Self>, SourceError> {
        match given.map(|given| &given.r#type) {
            None => Ok(None),
            Some(None) => Err(SourceError::Neither),
            Some(Some(Type::Snapshot(SnapshotSource { snapshot_id: id }))) => {
                let parsed = id.parse().map_err(|_| SourceError::NoSnapshot(id.clone()))?;
                Ok(Some(Self::Snapshot(parsed)))
            }
            Some(Some(Type::Volume(VolumeSource { volume_id: id }))) => {
                let parsed = id.parse().map_err(|_| SourceError::NoVolume(id.clone()))?;
                Ok(Some(Self::Volume(parsed)))
            }
        }
    }

    fn id(&self) -> &VolumeId {
        match self {
            Self::Snapshot(id) | Self::Volume(id) => id,
        }
    }

    /// As a Lun says it.
    pub fn spec(&self) -> LunSource {
        match self {
            Self::Snapshot(id) => LunSource { snapshot: Some(id.name.clone()), ..LunSource::default() },
            Self::Volume(id) => LunSource { lun: Some(id.name.clone()), ..LunSource::default() },
        }
    }

    /// Looks it up.
    ///
    /// # Errors
    /// Why nothing can be made from it.
    pub async fn find<C: Cluster>(&self, driver: &Driver<C>) -> Result<Origin, SourceError> {
        if self.id().namespace != driver.namespace {
            return Err(SourceError::Foreign(self.id().clone()));
        }
        match self {
            Self::Snapshot(id) => {
                let found = driver.cluster.snapshot(id).await?;
                let found = found.ok_or_else(|| SourceError::NoSnapshot(id.to_string()))?;
                if !snapshot::is_ready(&found) {
                    return Err(SourceError::NotReady { id: id.clone(), why: snapshot::obstacle(&found) });
                }
                let pool = found.status.as_ref().and_then(|s| s.pool.clone());
                Ok(Origin { bytes: snapshot::bytes(&found), pool })
            }
            Self::Volume(id) => {
                let found = driver.cluster.lun(id).await?.ok_or_else(|| SourceError::NoVolume(id.to_string()))?;
                Ok(Origin { bytes: volume::bytes(&found), pool: Some(found.spec.pool) })
            }
        }
    }
}
