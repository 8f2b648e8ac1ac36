//! A node played by the test, for csi-sanity: it says which node it is, and passes Identity on to the driver.

use std::path::Path;

use anyhow::{Context as _, Result};
use lunette_proto::csi::identity_client::IdentityClient;
use lunette_proto::csi::identity_server::{Identity, IdentityServer};
use lunette_proto::csi::node_server::{Node, NodeServer};
use lunette_proto::csi::{self};
use tokio::net::UnixListener;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// Serves until the runtime ends.
pub fn serve(runtime: &tokio::runtime::Runtime, socket: &Path, driver: Channel) -> Result<()> {
    let _inside = runtime.enter();
    let listener = UnixListener::bind(socket).with_context(|| format!("opening {}", socket.display()))?;
    let incoming = futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let server = Server::builder()
        .add_service(IdentityServer::new(Passed(IdentityClient::new(driver))))
        .add_service(NodeServer::new(NodeB))
        .serve_with_incoming(incoming);
    runtime.spawn(server);
    Ok(())
}

/// The driver's own answers.
struct Passed(IdentityClient<Channel>);

#[tonic::async_trait]
impl Identity for Passed {
    async fn get_plugin_info(
        &self,
        call: Request<csi::GetPluginInfoRequest>,
    ) -> Result<Response<csi::GetPluginInfoResponse>, Status> {
        self.0.clone().get_plugin_info(call).await
    }

    async fn get_plugin_capabilities(
        &self,
        call: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        self.0.clone().get_plugin_capabilities(call).await
    }

    async fn probe(&self, call: Request<csi::ProbeRequest>) -> Result<Response<csi::ProbeResponse>, Status> {
        self.0.clone().probe(call).await
    }
}

/// Node `b`, of which only the name matters here: nothing is ever staged or published on it.
struct NodeB;

macro_rules! not_here {
    ($($call:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl Node for NodeB {
            $(async fn $call(&self, _: Request<csi::$request>) -> Result<Response<csi::$response>, Status> {
                Err(Status::unimplemented("this node only says its name"))
            })*

            // csi-sanity clears up whatever there may be.
            async fn node_unstage_volume(
                &self,
                _: Request<csi::NodeUnstageVolumeRequest>,
            ) -> Result<Response<csi::NodeUnstageVolumeResponse>, Status> {
                Ok(Response::new(Default::default()))
            }

            async fn node_unpublish_volume(
                &self,
                _: Request<csi::NodeUnpublishVolumeRequest>,
            ) -> Result<Response<csi::NodeUnpublishVolumeResponse>, Status> {
                Ok(Response::new(Default::default()))
            }

            async fn node_get_capabilities(
                &self,
                _: Request<csi::NodeGetCapabilitiesRequest>,
            ) -> Result<Response<csi::NodeGetCapabilitiesResponse>, Status> {
                Ok(Response::new(csi::NodeGetCapabilitiesResponse::default()))
            }

            async fn node_get_info(
                &self,
                _: Request<csi::NodeGetInfoRequest>,
            ) -> Result<Response<csi::NodeGetInfoResponse>, Status> {
                Ok(Response::new(csi::NodeGetInfoResponse { node_id: "b".to_owned(), ..Default::default() }))
            }
        }
    };
}

not_here! {
    node_stage_volume(NodeStageVolumeRequest) -> NodeStageVolumeResponse;
    node_publish_volume(NodePublishVolumeRequest) -> NodePublishVolumeResponse;
    node_get_volume_stats(NodeGetVolumeStatsRequest) -> NodeGetVolumeStatsResponse;
    node_get_volume_health(NodeGetVolumeHealthRequest) -> NodeGetVolumeHealthResponse;
    node_get_storage_health(NodeGetStorageHealthRequest) -> NodeGetStorageHealthResponse;
    node_expand_volume(NodeExpandVolumeRequest) -> NodeExpandVolumeResponse;
}
