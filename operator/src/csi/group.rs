//! GroupController: snapshots of several volumes at one instant, as LunSnapshots of one group.
//!
//! The group has no object of its own: its id is in an annotation of each member, whose names follow from the group's
//! name and their volumes'. So a call that was cut off half-way finds its members again. None of them is taken before
//! all are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;
use lunette_api::csi::VolumeId;
use lunette_api::{LunSnapshot, LunSnapshotSpec, SnapshotGroup};
use lunette_proto::csi;
use lunette_proto::csi::group_controller_server::GroupController;
use lunette_proto::csi::group_controller_service_capability::{Rpc, Type, rpc};
use thiserror::Error;
use tonic::{Request, Response, Status};

use super::busy::InFlight;
use super::cluster::{self, Cluster};
use super::create_snapshot::{self, CreateSnapshotError};
use super::deadline::Deadline;
use super::delete_snapshot::{self, DeleteSnapshotError};
use super::failure::{Failure, Kind, answer};
use super::parse::{self, ParseError};
use super::snapshot::{self, GROUP_ID};
use super::{Driver, name};
use crate::error::Error;

/// The service.
pub struct GroupService<C>(pub Arc<Driver<C>>);

/// So many volumes may be held still together: as many as a group may have members.
const MOST: usize = 100;

/// Why there is no group snapshot, or it does not go.
#[derive(Debug, Error)]
pub enum GroupError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A group of none, of too many, or of one twice.
    #[error("source_volume_ids must name from 1 to {MOST} volumes, each once, not {0}")]
    Members(usize),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// There is one of that name, and it is another.
    #[error("group snapshot {0} is there already, and of other volumes")]
    Differs(VolumeId),
    /// There is no such group.
    #[error("there is no group snapshot {0}")]
    NoGroup(String),
    /// It is one of another group.
    #[error("snapshot {0} is not one of group snapshot {1}")]
    NotMember(String, String),
    /// A snapshot cannot be taken.
    #[error(transparent)]
    Create(#[from] CreateSnapshotError),
    /// A snapshot does not go.
    #[error(transparent)]
    Delete(#[from] DeleteSnapshotError),
    /// The snapshots have not been seen yet.
    #[error("the snapshots have not been seen yet: the driver has just started, or does not reach the API server")]
    NotSeen,
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for GroupError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::Members(_) | Self::NotMember(..) => Kind::Invalid,
            Self::InFlight(_) => Kind::Busy,
            Self::Differs(_) => Kind::Exists,
            Self::NoGroup(_) => Kind::NotFound,
            Self::Create(error) => error.kind(),
            Self::Delete(error) => error.kind(),
            Self::NotSeen => Kind::Unavailable,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// Takes the snapshots, or finds them again.
///
/// # Errors
/// Why there are none, or not yet.
pub async fn create<C: Cluster>(
    driver: &Driver<C>,
    call: &csi::CreateVolumeGroupSnapshotRequest,
    deadline: Deadline,
) -> Result<csi::VolumeGroupSnapshot, GroupError> {
    let group_name = parse::required(&call.name, "name")?;
    create_snapshot::no_parameters(&call.parameters)?;
    let volumes = volumes(&call.source_volume_ids)?;
    let id = VolumeId { namespace: driver.namespace.clone(), name: name::lun_name(group_name) };
    let _turn = driver.busy_snapshots.begin(&id)?;
    let found = members(driver, &id)?;
    let sources: BTreeSet<VolumeId> = found.iter().map(snapshot::source).collect();
    if !sources.is_subset(&volumes) {
        return Err(GroupError::Differs(id));
    }
    if sources != volumes {
        for volume in &volumes {
            create_snapshot::source(driver, volume).await?;
        }
    }
    let mut made = Vec::new();
    for volume in &volumes {
        made.push(member(driver, &id, volume, &volumes).await?);
    }
    let mut taken = Vec::new();
    for made in made {
        taken.push(create_snapshot::taken(driver, &made, deadline).await?);
    }
    if taken.iter().any(|member| group_of(member) != Some(id.to_string())) {
        return Err(GroupError::Differs(id));
    }
    Ok(of(&id, &taken))
}

fn volumes(given: &[String]) -> Result<BTreeSet<VolumeId>, GroupError> {
    let parse = |text: &String| text.parse().map_err(|_| CreateSnapshotError::NoVolume(text.clone()));
    let volumes = given.iter().map(parse).collect::<Result<BTreeSet<VolumeId>, _>>()?;
    if volumes.is_empty() || volumes.len() != given.len() || volumes.len() > MOST {
        return Err(GroupError::Members(given.len()));
    }
    Ok(volumes)
}

/// The member of that volume, made or found.
async fn member<C: Cluster>(
    driver: &Driver<C>,
    group: &VolumeId,
    volume: &VolumeId,
    all: &BTreeSet<VolumeId>,
) -> Result<LunSnapshot, GroupError> {
    let id =
        VolumeId { namespace: driver.namespace.clone(), name: name::lun_name(&format!("{group}/{}", volume.name)) };
    if let Some(found) = driver.cluster.snapshot(&id).await? {
        return Ok(found);
    }
    let members = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let group_spec = Some(SnapshotGroup { name: group.name.clone(), members });
    let spec = LunSnapshotSpec { lun: volume.name.clone(), group: group_spec };
    let annotations = BTreeMap::from([(GROUP_ID.to_owned(), group.to_string())]);
    match driver.cluster.create_snapshot(&create_snapshot::object(&id, spec, annotations)).await? {
        cluster::Creation::Created(made) => Ok(*made),
        cluster::Creation::Exists => {
            let found = driver.cluster.snapshot(&id).await?;
            Ok(found.ok_or(CreateSnapshotError::Deleting(id))?)
        }
    }
}

fn group_of(snapshot: &LunSnapshot) -> Option<String> {
    snapshot.annotations().get(GROUP_ID).cloned()
}

fn members<C: Cluster>(driver: &Driver<C>, group: &VolumeId) -> Result<Vec<LunSnapshot>, GroupError> {
    let all = driver.cluster.snapshots().ok_or(GroupError::NotSeen)?;
    Ok(all.into_iter().filter(|snapshot| group_of(snapshot) == Some(group.to_string())).collect())
}

/// As CSI says it.
fn of(id: &VolumeId, members: &[LunSnapshot]) -> csi::VolumeGroupSnapshot {
    let snapshots: Vec<csi::Snapshot> = members.iter().map(snapshot::of).collect();
    csi::VolumeGroupSnapshot {
        group_snapshot_id: id.to_string(),
        creation_time: snapshots.iter().find_map(|snapshot| snapshot.creation_time),
        ready_to_use: snapshots.iter().all(|snapshot| snapshot.ready_to_use),
        snapshots,
    }
}

/// Deletes every snapshot of the group.
///
/// # Errors
/// Why one is still there.
pub async fn delete<C: Cluster>(
    driver: &Driver<C>,
    call: &csi::DeleteVolumeGroupSnapshotRequest,
    deadline: Deadline,
) -> Result<(), GroupError> {
    let text = parse::required(&call.group_snapshot_id, "group_snapshot_id")?;
    // No group of ours is called so, and so it is gone.
    let Ok(group) = text.parse::<VolumeId>() else { return Ok(()) };
    let mut ids: BTreeSet<VolumeId> = members(driver, &group)?.iter().map(snapshot::id).collect();
    for given in &call.snapshot_ids {
        let Ok(id) = given.parse() else { continue };
        let found = driver.cluster.snapshot(&id).await?;
        if found.is_some_and(|found| group_of(&found) != Some(group.to_string())) {
            return Err(GroupError::NotMember(given.clone(), text.to_owned()));
        }
        ids.insert(id);
    }
    for id in &ids {
        delete_snapshot::delete(driver, id, deadline).await?;
    }
    Ok(())
}

/// One group.
///
/// # Errors
/// When there is none.
pub fn get<C: Cluster>(
    driver: &Driver<C>,
    call: &csi::GetVolumeGroupSnapshotRequest,
) -> Result<csi::VolumeGroupSnapshot, GroupError> {
    let text = parse::required(&call.group_snapshot_id, "group_snapshot_id")?;
    let none = || GroupError::NoGroup(text.to_owned());
    let group = text.parse::<VolumeId>().map_err(|_| none())?;
    let found = members(driver, &group)?;
    if found.is_empty() {
        return Err(none());
    }
    if let Some(stranger) =
        call.snapshot_ids.iter().find(|id| !found.iter().any(|s| snapshot::id(s).to_string() == **id))
    {
        return Err(GroupError::NotMember(stranger.clone(), text.to_owned()));
    }
    Ok(of(&group, &found))
}

fn wrap<T>(call: &'static str, outcome: Result<T, GroupError>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(|error| answer(call, &error))
}

#[tonic::async_trait]
impl<C: Cluster> GroupController for GroupService<C> {
    async fn group_controller_get_capabilities(
        &self,
        _: Request<csi::GroupControllerGetCapabilitiesRequest>,
    ) -> Result<Response<csi::GroupControllerGetCapabilitiesResponse>, Status> {
        let rpc = Rpc { r#type: rpc::Type::CreateDeleteGetVolumeGroupSnapshot.into() };
        let capabilities = vec![csi::GroupControllerServiceCapability { r#type: Some(Type::Rpc(rpc)) }];
        Ok(Response::new(csi::GroupControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn create_volume_group_snapshot(
        &self,
        call: Request<csi::CreateVolumeGroupSnapshotRequest>,
    ) -> Result<Response<csi::CreateVolumeGroupSnapshotResponse>, Status> {
        let created = create(&self.0, call.get_ref(), Deadline::of(call.metadata())).await;
        let response = |group| csi::CreateVolumeGroupSnapshotResponse { group_snapshot: Some(group) };
        wrap("CreateVolumeGroupSnapshot", created.map(response))
    }

    async fn delete_volume_group_snapshot(
        &self,
        call: Request<csi::DeleteVolumeGroupSnapshotRequest>,
    ) -> Result<Response<csi::DeleteVolumeGroupSnapshotResponse>, Status> {
        let deleted = delete(&self.0, call.get_ref(), Deadline::of(call.metadata())).await;
        wrap("DeleteVolumeGroupSnapshot", deleted.map(|()| csi::DeleteVolumeGroupSnapshotResponse {}))
    }

    async fn get_volume_group_snapshot(
        &self,
        call: Request<csi::GetVolumeGroupSnapshotRequest>,
    ) -> Result<Response<csi::GetVolumeGroupSnapshotResponse>, Status> {
        let response = |group| csi::GetVolumeGroupSnapshotResponse { group_snapshot: Some(group) };
        wrap("GetVolumeGroupSnapshot", get(&self.0, call.get_ref()).map(response))
    }
}
