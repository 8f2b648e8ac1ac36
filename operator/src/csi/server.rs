//! The socket that the sidecars call.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use lunette_proto::csi::controller_server::ControllerServer;
use lunette_proto::csi::group_controller_server::GroupControllerServer;
use lunette_proto::csi::identity_server::IdentityServer;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::Driver;
use super::cluster::Cluster;
use super::controller::ControllerService;
use super::group::GroupService;
use super::identity::IdentityService;

/// Serves until told to stop; calls that run may end.
///
/// # Errors
/// When the socket cannot be had.
pub async fn serve<C: Cluster>(endpoint: &str, driver: Arc<Driver<C>>, stop: &CancellationToken) -> anyhow::Result<()> {
    let path = socket_path(endpoint)?;
    let listener = bind(&path).with_context(|| format!("cannot serve CSI on {}", path.display()))?;
    tracing::info!(socket = %path.display(), "serving CSI");
    let served = Server::builder()
        .add_service(IdentityServer::new(IdentityService(driver.clone())))
        .add_service(ControllerServer::new(ControllerService(driver.clone())))
        .add_service(GroupControllerServer::new(GroupService(driver)))
        .serve_with_incoming_shutdown(incoming(listener), stop.cancelled());
    served.await.context("the CSI server ended")?;
    let _ = std::fs::remove_file(&path);
    Ok(())
}

/// The path in `unix:///PATH`, or a plain absolute path.
fn socket_path(endpoint: &str) -> anyhow::Result<PathBuf> {
    let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    if !path.starts_with('/') {
        bail!("--endpoint {endpoint:?} is no absolute path of a socket: write unix:///csi/csi.sock");
    }
    Ok(PathBuf::from(path))
}

/// Opens the socket for this user alone: whoever may call may make and delete volumes.
///
/// It is made beside its place and moved there, so that nobody meets one that is not ready; one that an earlier
/// process left is replaced, and nothing but a socket is.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something is there that is no socket: remove it",
            ));
        }
        _ => {}
    }
    let making = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&making)?;
    std::fs::set_permissions(&making, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&making, path)?;
    Ok(listener)
}

fn incoming(listener: UnixListener) -> impl futures::Stream<Item = io::Result<UnixStream>> {
    futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_socket_on_this_machine() {
        for endpoint in ["unix:///csi/csi.sock", "/csi/csi.sock"] {
            assert_eq!(socket_path(endpoint).expect("a path"), Path::new("/csi/csi.sock"));
        }
        for endpoint in ["tcp://0.0.0.0:1", "csi.sock", "unix://csi.sock", ""] {
            assert!(socket_path(endpoint).is_err(), "{endpoint}");
        }
    }
}
