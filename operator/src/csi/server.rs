//! The socket that the sidecars call.

use std::sync::Arc;

use anyhow::Context as _;
use lunette_csi_service::identity::IdentityService;
use lunette_csi_service::socket;
use lunette_proto::csi::controller_server::ControllerServer;
use lunette_proto::csi::group_controller_server::GroupControllerServer;
use lunette_proto::csi::identity_server::IdentityServer;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::Driver;
use super::cluster::Cluster;
use super::controller::ControllerService;
use super::group::GroupService;

/// Serves until told to stop; calls that run may end.
///
/// # Errors
/// When the socket cannot be had.
pub async fn serve<C: Cluster>(endpoint: &str, driver: Arc<Driver<C>>, stop: &CancellationToken) -> anyhow::Result<()> {
    let path = socket::path(endpoint)?;
    let (listener, _socket) = socket::bind(&path).with_context(|| format!("cannot serve CSI on {}", path.display()))?;
    tracing::info!(socket = %path.display(), "serving CSI");
    let asked = driver.clone();
    let served = Server::builder()
        .add_service(IdentityServer::new(IdentityService(move || asked.cluster.is_ready())))
        .add_service(ControllerServer::new(ControllerService(driver.clone())))
        .add_service(GroupControllerServer::new(GroupService(driver)))
        .serve_with_incoming_shutdown(socket::incoming(listener), stop.cancelled());
    served.await.context("the CSI server ended")
}
