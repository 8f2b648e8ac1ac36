//! What is needed of the agent: that a LUN becomes a disk of this machine, and ceases to be one.

use std::path::PathBuf;

use lunette_api::csi::VolumeId;
use lunette_api::identity;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_initiator::{BadWwid, Wwid};
use tokio::time::Instant;

/// A volume, known by its Lun's UID: another Lun of the same name is another volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Namespace and name of the Lun.
    pub id: VolumeId,
    /// Its UID.
    pub uid: String,
}

impl Volume {
    /// Who its disk must say it is.
    ///
    /// # Errors
    /// Never, as long as identities are derived as they are read.
    pub fn wwid(&self) -> Result<Wwid, BadWwid> {
        identity::wwid(&self.uid).parse()
    }
}

/// Why a LUN does not become a disk, or does not cease to be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// It may work soon, without anybody's doing.
    #[error("{0}")]
    NotYet(String),
    /// Somebody has to do something first.
    #[error("{0}")]
    Refused(String),
}

impl Failure for Obstacle {
    fn kind(&self) -> Kind {
        match self {
            Self::NotYet(_) => Kind::Unavailable,
            Self::Refused(_) => Kind::Precondition,
        }
    }
}

/// Something that is wrong with this node as a place for volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whether no volume at all can be had.
    pub of_all: bool,
    /// A CamelCase word.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The agent's part.
pub trait Luns: Send + Sync + 'static {
    /// Makes the LUN a disk of this machine, and tries until the deadline; the disk's device file. It has the LUN's
    /// identity, and the LUN's size as it is now. Repeating it finds the same disk.
    fn attach(&self, volume: &Volume, deadline: Instant) -> impl Future<Output = Result<PathBuf, Obstacle>> + Send;

    /// Takes that disk away unless it is in use, and ends what led to it. What is gone already is no failure; without
    /// failure nothing of it is left.
    fn detach(&self, volume: &Volume, deadline: Instant) -> impl Future<Output = Result<(), Obstacle>> + Send;

    /// The volume that the name belongs to now, and the epoch in which it is served; `None` if there is none.
    fn look_up(
        &self,
        id: &VolumeId,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<(Volume, u64)>, Obstacle>> + Send;

    /// Whether the agent knows what is wanted of its node.
    fn is_ready(&self) -> bool;

    /// What is wrong with this node as a place for volumes.
    fn troubles(&self) -> impl Future<Output = Vec<Trouble>> + Send;
}
