//! Node: each call parsed, done by the function of its name, and wrapped.

use std::collections::HashMap;
use std::sync::Arc;

use lunette_api::csi::TOPOLOGY_NODE;
use lunette_csi_service::deadline::Deadline;
use lunette_csi_service::failure::{Failure, answer};
use lunette_proto::csi;
use lunette_proto::csi::node_server::Node;
use lunette_proto::csi::node_service_capability::rpc::Type as Capability;
use lunette_proto::csi::node_service_capability::{Rpc, Type};
use tonic::{Request, Response, Status};

use crate::expand::ExpandError;
use crate::health::HealthError;
use crate::host::Host;
use crate::luns::Luns;
use crate::publish::PublishError;
use crate::stage::StageError;
use crate::stats::StatsError;
use crate::unpublish::UnpublishError;
use crate::unstage::UnstageError;
use crate::work::to_its_end;
use crate::{Driver, expand, health, publish, stage, stats, unpublish, unstage};

/// The service.
pub struct NodeService<L, H>(pub Arc<Driver<L, H>>);

/// What works, alpha or not; nothing else is listed.
const CAPABILITIES: [Capability; 6] = [
    Capability::StageUnstageVolume,
    Capability::GetVolumeStats,
    Capability::ExpandVolume,
    Capability::SingleNodeMultiWriter,
    Capability::GetVolumeHealth,
    Capability::GetStorageHealth,
];

type Answer<T> = Result<Response<T>, Status>;

fn wrap<T, E: Failure>(call: &'static str, outcome: Result<T, E>) -> Answer<T> {
    outcome.map(Response::new).map_err(|error| answer(call, &error))
}

#[tonic::async_trait]
impl<L: Luns, H: Host> Node for NodeService<L, H> {
    async fn node_stage_volume(
        &self,
        call: Request<csi::NodeStageVolumeRequest>,
    ) -> Answer<csi::NodeStageVolumeResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let staged = async {
            let request = stage::Request::read(call.get_ref())?;
            to_its_end(deadline, async move { stage::stage(&driver, request, deadline).await }).await
        };
        let staged: Result<(), StageError> = staged.await;
        wrap("NodeStageVolume", staged.map(|()| csi::NodeStageVolumeResponse {}))
    }

    async fn node_unstage_volume(
        &self,
        call: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Answer<csi::NodeUnstageVolumeResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let unstaged = async {
            let Some(request) = unstage::Request::read(call.get_ref())? else { return Ok(()) };
            to_its_end(deadline, async move { unstage::unstage(&driver, request, deadline).await }).await
        };
        let unstaged: Result<(), UnstageError> = unstaged.await;
        wrap("NodeUnstageVolume", unstaged.map(|()| csi::NodeUnstageVolumeResponse {}))
    }

    async fn node_publish_volume(
        &self,
        call: Request<csi::NodePublishVolumeRequest>,
    ) -> Answer<csi::NodePublishVolumeResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let published = async {
            let request = publish::Request::read(call.get_ref())?;
            to_its_end(deadline, async move { publish::publish(&driver, request).await }).await
        };
        let published: Result<(), PublishError> = published.await;
        wrap("NodePublishVolume", published.map(|()| csi::NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        call: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Answer<csi::NodeUnpublishVolumeResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let unpublished = async {
            let Some(request) = unpublish::Request::read(call.get_ref())? else { return Ok(()) };
            to_its_end(deadline, async move { unpublish::unpublish(&driver, request).await }).await
        };
        let unpublished: Result<(), UnpublishError> = unpublished.await;
        wrap("NodeUnpublishVolume", unpublished.map(|()| csi::NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_volume_stats(
        &self,
        call: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Answer<csi::NodeGetVolumeStatsResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let usage = async {
            let request = stats::Request::read(call.get_ref())?;
            to_its_end(deadline, async move { stats::stats(&driver, request).await }).await
        };
        let usage: Result<_, StatsError> = usage.await;
        wrap("NodeGetVolumeStats", usage.map(|usage| csi::NodeGetVolumeStatsResponse { usage }))
    }

    async fn node_get_volume_health(
        &self,
        call: Request<csi::NodeGetVolumeHealthRequest>,
    ) -> Answer<csi::NodeGetVolumeHealthResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let health = async {
            let request = health::Request::read(call.get_ref())?;
            to_its_end(deadline, async move { health::volume(&driver, request).await }).await
        };
        let health: Result<_, HealthError> = health.await;
        let response = |health| csi::NodeGetVolumeHealthResponse { volume_health: Some(health) };
        wrap("NodeGetVolumeHealth", health.map(response))
    }

    async fn node_get_storage_health(
        &self,
        _: Request<csi::NodeGetStorageHealthRequest>,
    ) -> Answer<csi::NodeGetStorageHealthResponse> {
        let backend_health = health::storage(self.0.luns.troubles().await);
        Ok(Response::new(csi::NodeGetStorageHealthResponse { backend_health }))
    }

    async fn node_expand_volume(
        &self,
        call: Request<csi::NodeExpandVolumeRequest>,
    ) -> Answer<csi::NodeExpandVolumeResponse> {
        let (driver, deadline) = (self.0.clone(), Deadline::of(call.metadata()));
        let expanded = async {
            let request = expand::Request::read(call.get_ref())?;
            to_its_end(deadline, async move { expand::expand(&driver, request, deadline).await }).await
        };
        let expanded: Result<u64, ExpandError> = expanded.await;
        let response =
            |bytes| csi::NodeExpandVolumeResponse { capacity_bytes: i64::try_from(bytes).unwrap_or(i64::MAX) };
        wrap("NodeExpandVolume", expanded.map(response))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Answer<csi::NodeGetCapabilitiesResponse> {
        let capability =
            |c: Capability| csi::NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: c.into() })) };
        let capabilities = CAPABILITIES.into_iter().map(capability).collect();
        Ok(Response::new(csi::NodeGetCapabilitiesResponse { capabilities }))
    }

    async fn node_get_info(&self, _: Request<csi::NodeGetInfoRequest>) -> Answer<csi::NodeGetInfoResponse> {
        let about = &self.0.about;
        let segments = HashMap::from([(TOPOLOGY_NODE.to_owned(), about.node.clone())]);
        Ok(Response::new(csi::NodeGetInfoResponse {
            node_id: about.node.clone(),
            max_volumes_per_node: about.most_volumes.into(),
            accessible_topology: Some(csi::Topology { segments }),
        }))
    }
}
