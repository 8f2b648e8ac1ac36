//! CSI against a real API server: `lunette-operator controller` and `lunette-operator csi` run as processes with their
//! own ServiceAccounts. Where it is the controller's side that a test is about, the agents are played; where it is the
//! node's, they are real, on real kernels.

mod accidents;
mod agent;
mod calls;
mod fenced;
mod foreign;
mod node;
mod place;
mod pods;
mod rights;
mod sanity;
mod sidecars;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, ControlPlaneSpec, Daemon, Result};
use lunette_proto::csi::controller_client::ControllerClient;
use lunette_proto::csi::identity_client::IdentityClient;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use super::operator::Operator;
use super::site::{SOON, SYSTEM, Site, pool};
pub use accidents::a_volume_that_is_not_what_it_should_be_is_refused;
pub use calls::a_volume_lives_from_claim_to_deletion;
pub use fenced::a_node_that_is_fenced_lets_go;
pub use foreign::a_foreign_target_is_left_alone;
pub use pods::a_volume_is_brought_to_pods_of_two_nodes;
pub use rights::csi_writes_its_own_only;
pub use sanity::{csi_sanity_finds_no_fault, csi_sanity_finds_no_fault_on_a_node};
pub use sidecars::sidecars_do_what_claims_ask;

use agent::Agents;

/// Where nodes that are played say that their targets listen: an address of nobody (RFC 5737).
const NOBODYS: &str = "192.0.2.1";

/// The driver's process, and a runtime to call it from.
pub struct Driver {
    pub daemon: Daemon,
    pub runtime: Runtime,
    pub channel: Channel,
    pub socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Driver {
    /// Starts it, and waits until it says that it is ready.
    pub fn start(site: &Site) -> Result<Driver> {
        let folder = tempfile::tempdir().context("a folder for the socket")?;
        let socket = folder.path().join("csi.sock");
        let token = site.plane.kubectl_must(["create", "token", "lunette-csi", "-n", SYSTEM])?;
        let kubeconfig = site.plane.kubeconfig_for_token("csi", &token)?;
        let mut command = site.bed.command(site.binary("lunette-operator"));
        command.args(["csi", "--endpoint", &endpoint(&socket)]);
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info,lunette_operator=debug");
        let mut daemon = Daemon::start(&site.bed, "csi", command)?;
        daemon.wait_until(SOON, || socket.exists())?;
        let runtime = Runtime::new().context("a runtime for the calls")?;
        let channel = {
            let _inside = runtime.enter();
            Endpoint::from_shared(endpoint(&socket))?.connect_lazy()
        };
        let driver = Driver { daemon, runtime, channel, socket, _folder: folder };
        super::site::patiently(|| driver.is_ready())?;
        Ok(driver)
    }

    /// Calls the Controller service.
    pub fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel.clone())
    }

    fn is_ready(&self) -> Result<()> {
        let mut identity = IdentityClient::new(self.channel.clone());
        let answer = self.runtime.block_on(identity.probe(lunette_proto::csi::ProbeRequest {}))?;
        ensure!(answer.into_inner().ready == Some(true), "the driver is not ready");
        Ok(())
    }
}

fn endpoint(socket: &std::path::Path) -> String {
    format!("unix://{}", socket.display())
}

/// A site with the pool `fast`, an operator, and agents of the nodes `a` and `b` that serve what they are given.
fn with_driver(context: &Context, test: impl FnOnce(&Site, &Agents, &mut Driver) -> Result<()>) -> Result<()> {
    with_driver_on(context, ControlPlaneSpec::new(), test)
}

/// The same, on a control plane like this.
fn with_driver_on(
    context: &Context,
    spec: ControlPlaneSpec,
    test: impl FnOnce(&Site, &Agents, &mut Driver) -> Result<()>,
) -> Result<()> {
    let site = Site::of(context, spec)?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let mut driver = Driver::start(&site)?;
    agent::while_serving(&site.plane, &["a", "b"], |agents| test(&site, agents, &mut driver))
}
