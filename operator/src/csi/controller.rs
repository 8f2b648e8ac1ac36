//! Controller: each call parsed, done by the function of its name, and wrapped.

use std::sync::Arc;

use lunette_proto::csi;
use lunette_proto::csi::controller_server::Controller;
use lunette_proto::csi::controller_service_capability::rpc::Type as Capability;
use lunette_proto::csi::controller_service_capability::{Rpc, Type};
use tonic::{Request, Response, Status};

use super::cluster::Cluster;
use super::deadline::Deadline;
use super::failure::{Failure, answer};
use super::list::Page;
use super::{
    Driver, capacity, create, create_snapshot, delete, delete_snapshot, expand, health, list, list_snapshots, modify,
    publish, snapshot, unpublish, validate, volume,
};

/// The service.
pub struct ControllerService<C>(pub Arc<Driver<C>>);

/// What works, alpha or not; nothing else is listed.
const CAPABILITIES: [Capability; 16] = [
    Capability::CreateDeleteVolume,
    Capability::PublishUnpublishVolume,
    Capability::PublishReadonly,
    Capability::ListVolumes,
    Capability::ListVolumesPublishedNodes,
    Capability::GetCapacity,
    Capability::ExpandVolume,
    Capability::GetVolume,
    Capability::SingleNodeMultiWriter,
    Capability::ModifyVolume,
    Capability::GetVolumeHealth,
    Capability::ListVolumeHealth,
    Capability::CreateDeleteSnapshot,
    Capability::ListSnapshots,
    Capability::GetSnapshot,
    Capability::CloneVolume,
];

type Answer<T> = Result<Response<T>, Status>;

fn wrap<T, E: Failure>(call: &'static str, outcome: Result<T, E>) -> Answer<T> {
    outcome.map(Response::new).map_err(|error| answer(call, &error))
}

#[tonic::async_trait]
impl<C: Cluster> Controller for ControllerService<C> {
    async fn create_volume(&self, call: Request<csi::CreateVolumeRequest>) -> Answer<csi::CreateVolumeResponse> {
        let deadline = Deadline::of(call.metadata());
        let created = async {
            let request = create::Request::read(call.get_ref())?;
            create::create(&self.0, &request, deadline).await
        };
        let volume = |lun| csi::CreateVolumeResponse { volume: Some(volume::of(&lun)) };
        wrap("CreateVolume", created.await.map(volume))
    }

    async fn delete_volume(&self, call: Request<csi::DeleteVolumeRequest>) -> Answer<csi::DeleteVolumeResponse> {
        let deadline = Deadline::of(call.metadata());
        let deleted = async {
            match delete::read(call.get_ref())? {
                Some(id) => delete::delete(&self.0, &id, deadline).await,
                None => Ok(()),
            }
        };
        wrap("DeleteVolume", deleted.await.map(|()| csi::DeleteVolumeResponse {}))
    }

    async fn controller_publish_volume(
        &self,
        call: Request<csi::ControllerPublishVolumeRequest>,
    ) -> Answer<csi::ControllerPublishVolumeResponse> {
        let deadline = Deadline::of(call.metadata());
        let published = async {
            let request = publish::Request::read(call.get_ref())?;
            publish::publish(&self.0, &request, deadline).await
        };
        let context = |context: lunette_api::csi::PublishContext| csi::ControllerPublishVolumeResponse {
            publish_context: context.to_map(),
        };
        wrap("ControllerPublishVolume", published.await.map(context))
    }

    async fn controller_unpublish_volume(
        &self,
        call: Request<csi::ControllerUnpublishVolumeRequest>,
    ) -> Answer<csi::ControllerUnpublishVolumeResponse> {
        let deadline = Deadline::of(call.metadata());
        let unpublished = async {
            match unpublish::Request::read(call.get_ref())? {
                Some(request) => unpublish::unpublish(&self.0, &request, deadline).await,
                None => Ok(()),
            }
        };
        let done = |()| csi::ControllerUnpublishVolumeResponse {};
        wrap("ControllerUnpublishVolume", unpublished.await.map(done))
    }

    async fn validate_volume_capabilities(
        &self,
        call: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<csi::ValidateVolumeCapabilitiesResponse> {
        wrap("ValidateVolumeCapabilities", validate::validate(&self.0, call.get_ref()).await)
    }

    async fn list_volumes(&self, call: Request<csi::ListVolumesRequest>) -> Answer<csi::ListVolumesResponse> {
        let page = Page::read(call.get_ref().max_entries, &call.get_ref().starting_token);
        let entry = |(lun, published_node_ids)| csi::list_volumes_response::Entry {
            volume: Some(volume::of(&lun)),
            status: Some(csi::list_volumes_response::VolumeStatus { published_node_ids }),
        };
        let response = |(volumes, next_token): (Vec<list::Published>, _)| csi::ListVolumesResponse {
            entries: volumes.into_iter().map(entry).collect(),
            next_token,
        };
        wrap("ListVolumes", page.and_then(|page| list::list(&self.0, &page)).map(response))
    }

    async fn controller_get_volume(
        &self,
        call: Request<csi::ControllerGetVolumeRequest>,
    ) -> Answer<csi::ControllerGetVolumeResponse> {
        let response = |(lun, published_node_ids): list::Published| csi::ControllerGetVolumeResponse {
            volume: Some(volume::of(&lun)),
            status: Some(csi::controller_get_volume_response::VolumeStatus { published_node_ids }),
        };
        wrap("ControllerGetVolume", list::get(&self.0, &call.get_ref().volume_id).await.map(response))
    }

    async fn controller_list_volume_health(
        &self,
        call: Request<csi::ControllerListVolumeHealthRequest>,
    ) -> Answer<csi::ControllerListVolumeHealthResponse> {
        let page = Page::read(call.get_ref().max_entries, &call.get_ref().starting_token);
        let response = |(entries, next_token)| csi::ControllerListVolumeHealthResponse { entries, next_token };
        wrap("ControllerListVolumeHealth", page.and_then(|page| health::list(&self.0, &page)).map(response))
    }

    async fn controller_get_volume_health(
        &self,
        call: Request<csi::ControllerGetVolumeHealthRequest>,
    ) -> Answer<csi::ControllerGetVolumeHealthResponse> {
        let response = |health| csi::ControllerGetVolumeHealthResponse { volume_health: Some(health) };
        wrap("ControllerGetVolumeHealth", health::get(&self.0, &call.get_ref().volume_id).await.map(response))
    }

    async fn get_capacity(&self, call: Request<csi::GetCapacityRequest>) -> Answer<csi::GetCapacityResponse> {
        let asked = async {
            let request = capacity::Request::read(call.get_ref())?;
            capacity::capacity(&self.0, &request).await
        };
        let response = |capacity: capacity::Capacity| csi::GetCapacityResponse {
            available_capacity: volume::signed(capacity.available),
            maximum_volume_size: Some(volume::signed(capacity.largest)),
            minimum_volume_size: None,
        };
        wrap("GetCapacity", asked.await.map(response))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Answer<csi::ControllerGetCapabilitiesResponse> {
        let capability =
            |c: Capability| csi::ControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: c.into() })) };
        let capabilities = CAPABILITIES.into_iter().map(capability).collect();
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn controller_expand_volume(
        &self,
        call: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Answer<csi::ControllerExpandVolumeResponse> {
        let deadline = Deadline::of(call.metadata());
        let expanded = async {
            let request = expand::Request::read(call.get_ref())?;
            expand::expand(&self.0, &request, deadline).await
        };
        // A raw device has to be looked at anew as well as a file system has to grow.
        let response = |lun| csi::ControllerExpandVolumeResponse {
            capacity_bytes: volume::signed(volume::bytes(&lun)),
            node_expansion_required: true,
        };
        wrap("ControllerExpandVolume", expanded.await.map(response))
    }

    async fn controller_modify_volume(
        &self,
        call: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Answer<csi::ControllerModifyVolumeResponse> {
        let deadline = Deadline::of(call.metadata());
        let modified = async {
            let request = modify::Request::read(call.get_ref())?;
            modify::modify(&self.0, &request, deadline).await
        };
        wrap("ControllerModifyVolume", modified.await.map(|()| csi::ControllerModifyVolumeResponse {}))
    }

    async fn create_snapshot(&self, call: Request<csi::CreateSnapshotRequest>) -> Answer<csi::CreateSnapshotResponse> {
        let deadline = Deadline::of(call.metadata());
        let created = async {
            let request = create_snapshot::Request::read(call.get_ref())?;
            create_snapshot::create(&self.0, &request, deadline).await
        };
        let response = |made| csi::CreateSnapshotResponse { snapshot: Some(snapshot::of(&made)) };
        wrap("CreateSnapshot", created.await.map(response))
    }

    async fn delete_snapshot(&self, call: Request<csi::DeleteSnapshotRequest>) -> Answer<csi::DeleteSnapshotResponse> {
        let deadline = Deadline::of(call.metadata());
        let deleted = async {
            match delete_snapshot::read(call.get_ref())? {
                Some(id) => delete_snapshot::delete(&self.0, &id, deadline).await,
                None => Ok(()),
            }
        };
        wrap("DeleteSnapshot", deleted.await.map(|()| csi::DeleteSnapshotResponse {}))
    }

    async fn list_snapshots(&self, call: Request<csi::ListSnapshotsRequest>) -> Answer<csi::ListSnapshotsResponse> {
        let request = list_snapshots::Request::read(call.get_ref());
        let entry = |found| csi::list_snapshots_response::Entry { snapshot: Some(snapshot::of(&found)) };
        let response = |(found, next_token): (Vec<_>, _)| csi::ListSnapshotsResponse {
            entries: found.into_iter().map(entry).collect(),
            next_token,
        };
        wrap("ListSnapshots", request.and_then(|request| list_snapshots::list(&self.0, &request)).map(response))
    }

    async fn get_snapshot(&self, call: Request<csi::GetSnapshotRequest>) -> Answer<csi::GetSnapshotResponse> {
        let response = |found| csi::GetSnapshotResponse { snapshot: Some(snapshot::of(&found)) };
        wrap("GetSnapshot", list_snapshots::get(&self.0, &call.get_ref().snapshot_id).await.map(response))
    }
}
