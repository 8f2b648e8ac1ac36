//! GroupController: snapshots of several volumes at one instant, which cannot be had yet. Nothing is advertised.

use lunette_proto::csi::group_controller_server::GroupController;
use lunette_proto::csi::{
    CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse, DeleteVolumeGroupSnapshotRequest,
    DeleteVolumeGroupSnapshotResponse, GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse,
    GroupControllerGetCapabilitiesRequest, GroupControllerGetCapabilitiesResponse,
};
use thiserror::Error;
use tonic::{Request, Response, Status};

use super::failure::{Failure, Kind, answer};

/// The service.
pub struct GroupService;

/// Why there is no snapshot.
#[derive(Debug, Error)]
#[error("this driver takes no snapshots of several volumes at one instant: its capabilities say so")]
pub struct NoSnapshots;

impl Failure for NoSnapshots {
    fn kind(&self) -> Kind {
        Kind::Unimplemented
    }
}

#[tonic::async_trait]
impl GroupController for GroupService {
    async fn group_controller_get_capabilities(
        &self,
        _: Request<GroupControllerGetCapabilitiesRequest>,
    ) -> Result<Response<GroupControllerGetCapabilitiesResponse>, Status> {
        Ok(Response::new(GroupControllerGetCapabilitiesResponse::default()))
    }

    async fn create_volume_group_snapshot(
        &self,
        _: Request<CreateVolumeGroupSnapshotRequest>,
    ) -> Result<Response<CreateVolumeGroupSnapshotResponse>, Status> {
        Err(answer("CreateVolumeGroupSnapshot", &NoSnapshots))
    }

    async fn delete_volume_group_snapshot(
        &self,
        _: Request<DeleteVolumeGroupSnapshotRequest>,
    ) -> Result<Response<DeleteVolumeGroupSnapshotResponse>, Status> {
        Err(answer("DeleteVolumeGroupSnapshot", &NoSnapshots))
    }

    async fn get_volume_group_snapshot(
        &self,
        _: Request<GetVolumeGroupSnapshotRequest>,
    ) -> Result<Response<GetVolumeGroupSnapshotResponse>, Status> {
        Err(answer("GetVolumeGroupSnapshot", &NoSnapshots))
    }
}
