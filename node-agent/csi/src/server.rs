//! The sockets: the driver's own, and the one that the kubelet looks for.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use lunette_api::csi::DRIVER;
use lunette_csi_service::identity::IdentityService;
use lunette_csi_service::socket;
use lunette_proto::csi::identity_server::IdentityServer;
use lunette_proto::csi::node_server::NodeServer;
use lunette_proto::registration::registration_server::RegistrationServer;
use tonic::transport::Server;

use crate::luns::Luns;
use crate::machine::{self, Here};
use crate::node::NodeService;
use crate::registration::RegistrationService;
use crate::{About, Driver};

/// Where to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    csi: PathBuf,
    kubelet: Option<PathBuf>,
}

impl Endpoints {
    /// For the kubelet with that folder, at another endpoint than the usual one if it is given; `None`: nowhere.
    ///
    /// # Errors
    /// When the endpoint is no path of a socket.
    pub fn of(endpoint: Option<&str>, kubelet: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let csi = match (endpoint, kubelet) {
            (Some(endpoint), _) => socket::path(endpoint)?,
            (None, Some(kubelet)) => kubelet.join(format!("plugins/{DRIVER}/csi.sock")),
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { csi, kubelet: kubelet.map(Path::to_owned) }))
    }

    /// Where the kubelet looks for us. It says this path as its requests' `:authority`, percent-encoded (grpc-go,
    /// `encodeAuthority`). RFC 3986 allows that in the user's part of an authority only, and our HTTP/2 insists; so the
    /// name has an `@`, which is not encoded, and ends the user's part.
    fn registration(&self) -> Option<PathBuf> {
        Some(self.kubelet.as_ref()?.join(format!("plugins_registry/{DRIVER}@reg.sock")))
    }
}

/// Serves until the runtime ends. The sockets go when what is returned is dropped, unless a successor has put its own
/// in their place; the kubelet takes the driver off the node then.
///
/// # Errors
/// When a socket cannot be had.
pub fn serve<L: Luns>(endpoints: &Endpoints, luns: L, about: About) -> anyhow::Result<Vec<socket::Socket>> {
    let cut_off = endpoints.kubelet.as_deref().filter(|folder| !machine::reaches_the_host(folder));
    if let Some(folder) = cut_off {
        tracing::error!(
            "what is mounted below {} here is not seen outside this container, so no pod gets a volume: mount it with mountPropagation Bidirectional",
            folder.display()
        );
    }
    let driver = Arc::new(Driver::new(luns, Here::default(), about));
    let (asked, reaches_pods) = (driver.clone(), cut_off.is_none());
    let (listener, csi) = open(&endpoints.csi)?;
    let served = Server::builder()
        .add_service(IdentityServer::new(IdentityService(move || reaches_pods && asked.luns.is_ready())))
        .add_service(NodeServer::new(NodeService(driver)))
        .serve_with_incoming(socket::incoming(listener));
    tokio::spawn(served);
    tracing::info!(socket = %endpoints.csi.display(), "serving CSI");
    // Whoever takes the first one down takes the second one down before: then nobody is sent where nobody is.
    let mut sockets = Vec::new();
    if let Some(path) = endpoints.registration() {
        let (listener, registration) = open(&path)?;
        let service = RegistrationService { endpoint: endpoints.csi.clone() };
        let served = Server::builder().add_service(RegistrationServer::new(service));
        tokio::spawn(served.serve_with_incoming(socket::incoming(listener)));
        sockets.push(registration);
    }
    sockets.push(csi);
    Ok(sockets)
}

fn open(path: &Path) -> anyhow::Result<(tokio::net::UnixListener, socket::Socket)> {
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
        made.with_context(|| format!("cannot make {}: is the kubelet's folder mounted here?", folder.display()))?;
    }
    socket::bind(path).with_context(|| format!("cannot serve on {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_name_for_our_socket_is_an_authority() {
        let endpoints = Endpoints::of(None, Some(Path::new("/var/lib/kubelet"))).expect("good").expect("served");
        let path = endpoints.registration().expect("the kubelet's folder is known").display().to_string();
        let authority = path.replace('/', "%2F");
        assert!(authority.parse::<tonic::codegen::http::uri::Authority>().is_ok(), "{authority}");
        let plain = authority.replace('@', "-");
        assert!(plain.parse::<tonic::codegen::http::uri::Authority>().is_err(), "nothing need be done any more");
    }

    #[test]
    fn the_kubelets_folder_says_where_to_serve() {
        let of = |endpoint, kubelet: Option<&str>| Endpoints::of(endpoint, kubelet.map(Path::new)).expect("good");
        let usual = of(None, Some("/var/lib/kubelet")).expect("served");
        assert_eq!(usual.csi, Path::new("/var/lib/kubelet/plugins/csi.lunette.io/csi.sock"));
        let registration = Path::new("/var/lib/kubelet/plugins_registry/csi.lunette.io@reg.sock");
        assert_eq!(usual.registration().as_deref(), Some(registration));
        let other = of(Some("unix:///run/csi.sock"), Some("/var/lib/kubelet")).expect("served");
        assert_eq!((other.csi.as_path(), other.registration().is_some()), (Path::new("/run/csi.sock"), true));
        assert_eq!(of(Some("/run/csi.sock"), None).expect("served").registration(), None);
        assert_eq!(of(None, None), None);
        assert!(Endpoints::of(Some("tcp://x"), None).is_err());
    }
}
