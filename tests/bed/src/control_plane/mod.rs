//! A real Kubernetes control plane on the host's side of a bed's network: etcd and kube-apiserver, and nothing else
//! unless asked for.
//!
//! Nothing else means: no controller manager, so no garbage collection of owned objects, no `default` service
//! account in new namespaces, no namespace ever finishes deleting; and no scheduler or kubelet, so no pod runs. What
//! is tested then is the API itself: schemas, admission, authorization, watches. With
//! [`ControlPlaneSpec::with_controllers`] it is whole, and wants nodes (see `node`). Guests reach it at
//! [`ControlPlane::url`].

mod access;
mod controllers;
mod kubectl;
mod pki;

use crate::bed::{Bed, Daemon, HOST_IPV4};
use crate::{Result, host};
use anyhow::Context;
use pki::Pki;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const ETCD: &str = "http://127.0.0.1:2379";
/// Where the API server listens.
pub(crate) const PORT: u16 = 6443;
/// The address of its Service, the first of the services' range.
pub(crate) const API_SERVICE: &str = "10.96.0.1";
/// etcd takes a fraction of a second, the API server three; far more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a control plane is to be like.
#[derive(Debug, Clone, Default)]
pub struct ControlPlaneSpec {
    emulated_version: Option<String>,
    controllers: bool,
    arguments: Vec<String>,
}

impl ControlPlaneSpec {
    /// One that serves the newest API.
    #[must_use]
    pub fn new() -> ControlPlaneSpec {
        ControlPlaneSpec::default()
    }

    /// Serves the API of an older version, such as `1.35`.
    #[must_use]
    pub fn emulated_version(mut self, version: &str) -> ControlPlaneSpec {
        self.emulated_version = Some(version.to_owned());
        self
    }

    /// Runs the controller manager and the scheduler too, for nodes with pods.
    #[must_use]
    pub fn with_controllers(mut self) -> ControlPlaneSpec {
        self.controllers = true;
        self
    }

    /// Adds an argument for the API server.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> ControlPlaneSpec {
        self.arguments.push(argument.to_owned());
        self
    }
}

/// A running control plane; dropping it ends it, its data with it.
#[derive(Debug)]
pub struct ControlPlane {
    bed: Bed,
    spec: ControlPlaneSpec,
    pki: Pki,
    controllers: Vec<Daemon>,
    apiserver: Option<Daemon>,
    etcd: Option<Daemon>,
}

impl ControlPlane {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When a part does not come up; the message has the end of its log.
    pub fn start(bed: &Bed, spec: ControlPlaneSpec) -> Result<ControlPlane> {
        let folder = bed.folder().join("control-plane");
        std::fs::create_dir_all(&folder).context("making the control plane's folder")?;
        let pki = Pki::make(&folder)?;
        let mut plane =
            ControlPlane { bed: bed.clone(), spec, pki, controllers: Vec::new(), apiserver: None, etcd: None };
        plane.write_admin_kubeconfig()?;
        plane.start_etcd()?;
        plane.start_apiserver()?;
        plane.start_controllers()?;
        Ok(plane)
    }

    /// Where programs of the host and of guests reach the API server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{HOST_IPV4}:{PORT}")
    }

    /// The certificate that vouches for the API server, a PEM file.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.pki.file("ca.crt")
    }

    /// Its folder: kubeconfigs, certificates, etcd's data. Guests see it under the same path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.pki.folder()
    }

    /// Stops the API server, as in an outage: watches break, requests are refused. etcd keeps the data.
    pub fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts the API server after [`ControlPlane::stop_apiserver`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_apiserver(&mut self) -> Result<()> {
        let mut daemon = Daemon::start(&self.bed, "kube-apiserver", self.apiserver_command()?)?;
        daemon.wait_until(PATIENCE, || self.is_ready())?;
        self.apiserver = Some(daemon);
        Ok(())
    }

    /// Stops both, keeping etcd's data, and starts them again.
    ///
    /// # Errors
    /// When a part does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.apiserver = None;
        self.etcd = None;
        self.start_etcd()?;
        self.start_apiserver()
    }

    fn start_etcd(&mut self) -> Result<()> {
        let mut daemon = Daemon::start(&self.bed, "etcd", self.etcd_command()?)?;
        daemon.wait_until(PATIENCE, || self.etcd_answers())?;
        self.etcd = Some(daemon);
        Ok(())
    }

    /// On the loopback of the bed's network only: guests cannot reach it. Not syncing is safe, because no test asks
    /// etcd's data to survive the host.
    fn etcd_command(&self) -> Result<Command> {
        let mut etcd = self.bed.command(self.bed.ground().program("etcd")?);
        etcd.arg("--data-dir").arg(self.folder().join("etcd"));
        etcd.args(["--unsafe-no-fsync", "--log-level=warn", "--name=bed", "--listen-client-urls", ETCD]);
        etcd.args(["--advertise-client-urls", ETCD, "--listen-peer-urls=http://127.0.0.1:2380"]);
        etcd.args([
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=bed=http://127.0.0.1:2380",
        ]);
        Ok(etcd)
    }

    fn apiserver_command(&self) -> Result<Command> {
        let mut server = self.bed.command(self.bed.ground().program("kube-apiserver")?);
        server.arg(format!("--etcd-servers={ETCD}"));
        server.arg(format!("--advertise-address={HOST_IPV4}")).arg(format!("--secure-port={PORT}"));
        server.args(["--bind-address=::", "--authorization-mode=Node,RBAC", "--allow-privileged=true"]);
        server.args(["--service-cluster-ip-range=10.96.0.0/16", "--kubelet-preferred-address-types=InternalIP"]);
        server.arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local");
        for (flag, file) in [
            ("client-ca-file", "ca.crt"),
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("service-account-key-file", "service-accounts.pub"),
            ("service-account-signing-key-file", "service-accounts.key"),
        ] {
            server.arg(format!("--{flag}={}", self.pki.file(file).display()));
        }
        server.args(self.kubelet_client_arguments());
        if let Some(version) = &self.spec.emulated_version {
            server.arg(format!("--emulated-version={version}"));
        }
        server.args(&self.spec.arguments);
        Ok(server)
    }

    fn etcd_answers(&self) -> bool {
        self.bed.net().connect([127, 0, 0, 1].into(), 2379, Duration::from_millis(200)).is_ok()
    }

    fn is_ready(&self) -> bool {
        let port_open = self.bed.net().connect(HOST_IPV4.into(), PORT, Duration::from_millis(200)).is_ok();
        port_open
            && self.kubectl_command().is_ok_and(|mut kubectl| {
                let answer = host::capture(kubectl.args(["get", "--raw", "/readyz"]), b"");
                answer.is_ok_and(|answer| answer.status.success())
            })
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // From the top down, or they would fill their logs with complaints about what is below them.
        self.controllers.clear();
        self.apiserver = None;
        self.etcd = None;
        let _ = std::fs::remove_dir_all(self.folder());
    }
}
