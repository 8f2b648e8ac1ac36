//! NodeGetVolumeStats: what is free and used.

use std::path::PathBuf;

use lunette_api::csi::VolumeId;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_proto::csi;
use lunette_proto::csi::VolumeUsage;
use lunette_proto::csi::volume_usage::Unit;
use thiserror::Error;

use crate::host::{Host, HostError, Usage};
use crate::luns::Luns;
use crate::request::{self, RequestError};
use crate::work::{Unfinished, blocking};
use crate::{Driver, expand};

/// Why that is not known.
#[derive(Debug, Error)]
pub enum StatsError {
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
    #[error("volume {id} is not seen at {}: is it published there?", path.display())]
    NotHere {
        /// The volume.
        id: VolumeId,
        /// Where.
        path: PathBuf,
    },
}

impl Failure for StatsError {
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
    id: VolumeId,
    path: PathBuf,
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodeGetVolumeStatsRequest) -> Result<Self, RequestError> {
        let id = request::volume_id(&call.volume_id)?;
        // A path that is no place for a volume is one where none is seen.
        let path = request::required(&call.volume_path, "volume_path")?.into();
        Ok(Self { id: request::ours(id, &call.volume_id)?, path })
    }
}

/// What is free and used of the volume; of a raw device, its size.
///
/// # Errors
/// Why that is not known.
pub async fn stats<L: Luns, H: Host>(driver: &Driver<L, H>, request: Request) -> Result<Vec<VolumeUsage>, StatsError> {
    let host = driver.host.clone();
    blocking(move || {
        let Some(shown) = expand::seen(host.as_ref(), &request.path)? else {
            return Err(StatsError::NotHere { id: request.id, path: request.path });
        };
        if shown.mount.is_of_a_file() {
            let total = shown.disk.map_or(0, |disk| disk.size);
            return Ok(vec![VolumeUsage { total: signed(total), unit: Unit::Bytes.into(), ..VolumeUsage::default() }]);
        }
        Ok(said(&host.usage(&shown.mount.point)?))
    })
    .await
}

fn said(usage: &Usage) -> Vec<VolumeUsage> {
    let of = |[total, available, used]: [u64; 3], unit: Unit| VolumeUsage {
        total: signed(total),
        available: signed(available),
        used: signed(used),
        unit: unit.into(),
    };
    let inodes = usage.inodes.map(|inodes| of(inodes, Unit::Inodes));
    [Some(of(usage.bytes, Unit::Bytes)), inodes].into_iter().flatten().collect()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
