//! CreateSnapshot: a LunSnapshot of the snapshot's name, taken.

use std::collections::{BTreeMap, HashMap};

use kube::ResourceExt;
use kube::api::ObjectMeta;
use lunette_api::conditions::{self, READY, reasons};
use lunette_api::csi::VolumeId;
use lunette_api::{Lun, LunSnapshot, LunSnapshotSpec};
use lunette_proto::csi;
use thiserror::Error;

use super::busy::InFlight;
use super::cluster::{self, Cluster, Creation, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError};
use super::snapshot::SNAPSHOT_NAME;
use super::volume::MANAGER;
use super::{Driver, name, snapshot};
use crate::error::Error;

/// Longest name that CSI allows, in bytes.
const LONGEST_NAME: usize = 128;
/// What the snapshotter adds with `--extra-create-metadata`.
const METADATA: [&str; 6] = [
    "csi.storage.k8s.io/volumegroupsnapshot/name",
    "csi.storage.k8s.io/volumegroupsnapshot/namespace",
    "csi.storage.k8s.io/volumegroupsnapshotcontent/name",
    "csi.storage.k8s.io/volumesnapshot/name",
    "csi.storage.k8s.io/volumesnapshot/namespace",
    "csi.storage.k8s.io/volumesnapshotcontent/name",
];

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The snapshot's name as its caller knows it.
    pub name: String,
    /// The volume that it is to be of.
    pub source: VolumeId,
}

/// Why there is no snapshot.
#[derive(Debug, Error)]
pub enum CreateSnapshotError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// There is no such parameter.
    #[error("parameter {0:?} is not known: a VolumeSnapshotClass of this driver has no parameters")]
    Unknown(String),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// Volumes that are not the driver's have snapshots of their own namespace.
    #[error("volume {0} is a Lun that CSI did not make: snapshots of it are LunSnapshots of its own namespace")]
    Foreign(VolumeId),
    /// The pool takes none.
    #[error("LunPool {pool} takes no snapshots on node {node}: {why}")]
    NoSnapshots {
        /// The pool.
        pool: String,
        /// The node that serves the volume.
        node: String,
        /// In the agent's words, if it has any.
        why: String,
    },
    /// There is one of that name, and it is another.
    #[error("LunSnapshot {id} is there already, and not as asked for: {what}")]
    Differs {
        /// The snapshot.
        id: VolumeId,
        /// In what, and how.
        what: String,
    },
    /// There is one of that name, and it goes.
    #[error("LunSnapshot {0} of that name is being deleted: a new one can be made when it is gone")]
    Deleting(VolumeId),
    /// It is not taken yet.
    #[error("LunSnapshot {id} is there and not taken yet: {why}")]
    NotTaken {
        /// The snapshot.
        id: VolumeId,
        /// What stands in the way.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for CreateSnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::Unknown(_) => Kind::Invalid,
            Self::InFlight(_) | Self::Deleting(_) => Kind::Busy,
            Self::NoVolume(_) => Kind::NotFound,
            Self::Foreign(_) | Self::NoSnapshots { .. } => Kind::Precondition,
            Self::Differs { .. } => Kind::Exists,
            Self::NotTaken { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// Refuses what no VolumeSnapshotClass can say.
///
/// # Errors
/// The first that is unknown.
pub fn no_parameters(given: &HashMap<String, String>) -> Result<(), CreateSnapshotError> {
    let unknown = given.keys().filter(|key| !METADATA.contains(&key.as_str())).min();
    unknown.map_or(Ok(()), |key| Err(CreateSnapshotError::Unknown(key.clone())))
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it or unknown.
    pub fn read(call: &csi::CreateSnapshotRequest) -> Result<Self, CreateSnapshotError> {
        let name = parse::required(&call.name, "name")?;
        if name.len() > LONGEST_NAME {
            return Err(ParseError::LongName(name.len()).into());
        }
        let source = parse::required(&call.source_volume_id, "source_volume_id")?;
        no_parameters(&call.parameters)?;
        let source = source.parse().map_err(|_| CreateSnapshotError::NoVolume(source.to_owned()))?;
        Ok(Self { name: name.to_owned(), source })
    }
}

/// Takes the snapshot, or finds it again.
///
/// # Errors
/// Why there is none, or not yet.
pub async fn create<C: Cluster>(
    driver: &Driver<C>,
    request: &Request,
    deadline: Deadline,
) -> Result<LunSnapshot, CreateSnapshotError> {
    let id = VolumeId { namespace: driver.namespace.clone(), name: name::lun_name(&request.name) };
    let _turn = driver.busy_snapshots.begin(&id)?;
    let found = match driver.cluster.snapshot(&id).await? {
        Some(found) => found,
        None => make(driver, &id, request).await?,
    };
    is_it(&id, &found, request)?;
    taken(driver, &found, deadline).await
}

/// Waits until it is taken, or cannot be.
///
/// # Errors
/// Why it is not.
pub async fn taken<C: Cluster>(
    driver: &Driver<C>,
    found: &LunSnapshot,
    deadline: Deadline,
) -> Result<LunSnapshot, CreateSnapshotError> {
    let id = snapshot::id(found);
    let over = |now: &LunSnapshot| snapshot::is_ready(now) || never(now).is_some();
    match driver.cluster.wait_snapshot(found, deadline, over).await {
        Ok(Some(now)) => match never(&now) {
            Some(why) => Err(no_snapshots(&now, why)),
            None => Ok(now),
        },
        Ok(None) => Err(CreateSnapshotError::Deleting(id)),
        Err(WaitError::TimedOut(last)) => Err(CreateSnapshotError::NotTaken { id, why: snapshot::obstacle(&last) }),
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}

/// Why the pool will never take it, if so.
fn never(snapshot: &LunSnapshot) -> Option<String> {
    let all = snapshot.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    conditions::find(all, READY).filter(|c| c.reason == reasons::NO_SNAPSHOTS).map(|c| c.message.clone())
}

fn no_snapshots(snapshot: &LunSnapshot, why: String) -> CreateSnapshotError {
    let status = snapshot.status.clone().unwrap_or_default();
    let (pool, node) = (status.pool.unwrap_or_default(), status.node.unwrap_or_default());
    CreateSnapshotError::NoSnapshots { pool, node, why }
}

/// Whether the snapshot that is there is the one that is asked for.
fn is_it(id: &VolumeId, found: &LunSnapshot, request: &Request) -> Result<(), CreateSnapshotError> {
    if found.metadata.deletion_timestamp.is_some() {
        return Err(CreateSnapshotError::Deleting(id.clone()));
    }
    let made_for = found.annotations().get(SNAPSHOT_NAME).map_or("none of CSI's", String::as_str);
    let of = snapshot::source(found);
    let all = [
        (made_for == request.name, format!("it is snapshot {made_for}, not {}", request.name)),
        (of == request.source, format!("it is of volume {of}, not of {}", request.source)),
    ];
    match all.into_iter().find(|(same, _)| !same) {
        None => Ok(()),
        Some((_, what)) => Err(CreateSnapshotError::Differs { id: id.clone(), what }),
    }
}

async fn make<C: Cluster>(
    driver: &Driver<C>,
    id: &VolumeId,
    request: &Request,
) -> Result<LunSnapshot, CreateSnapshotError> {
    source(driver, &request.source).await?;
    let annotations = BTreeMap::from([(SNAPSHOT_NAME.to_owned(), request.name.clone())]);
    let spec = LunSnapshotSpec { lun: request.source.name.clone(), group: None };
    match driver.cluster.create_snapshot(&object(id, spec, annotations)).await? {
        Creation::Created(made) => Ok(*made),
        Creation::Exists => driver.cluster.snapshot(id).await?.ok_or_else(|| CreateSnapshotError::Deleting(id.clone())),
    }
}

/// A LunSnapshot of this driver's.
pub fn object(id: &VolumeId, spec: LunSnapshotSpec, annotations: BTreeMap<String, String>) -> LunSnapshot {
    let mut made = LunSnapshot::new(&id.name, spec);
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())]);
    made.metadata = ObjectMeta {
        namespace: Some(id.namespace.clone()),
        labels: Some(labels),
        annotations: Some(annotations),
        ..made.metadata
    };
    made
}

/// A volume of which snapshots can be taken.
///
/// # Errors
/// Why none can.
pub async fn source<C: Cluster>(driver: &Driver<C>, id: &VolumeId) -> Result<Lun, CreateSnapshotError> {
    let lun = driver.cluster.lun(id).await?.ok_or_else(|| CreateSnapshotError::NoVolume(id.to_string()))?;
    if id.namespace != driver.namespace {
        return Err(CreateSnapshotError::Foreign(id.clone()));
    }
    if let Some(node) = lun.status.as_ref().and_then(|s| s.node.clone()) {
        let said = driver.cluster.node(&node).await?;
        let there = said.and_then(|n| n.status?.pools.get(&lun.spec.pool).cloned());
        if there.is_some_and(|pool| pool.ready && !pool.snapshots) {
            let why = "its file system shares no extents between files; XFS with reflink and btrfs do".to_owned();
            return Err(CreateSnapshotError::NoSnapshots { pool: lun.spec.pool.clone(), node, why });
        }
    }
    Ok(lun)
}
