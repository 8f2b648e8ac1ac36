//! The command line. Flags of what runs in a cluster are environment variables too.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Lunette's operator: places Luns on nodes, and is the controller's side of CSI, by which claims become Luns. It touches
/// no storage.
#[derive(Debug, Parser)]
#[command(name = "lunette-operator", version)]
pub struct Args {
    /// How log lines are written. RUST_LOG says which.
    #[arg(long, env = "LUNETTE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub role: Role,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the process does.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Watch Luns, pools and nodes, and place the Luns.
    Controller(ControllerArgs),
    /// Serve the controller side of CSI on a socket: volumes are Luns.
    Csi(CsiArgs),
    /// Print the CustomResourceDefinitions as YAML.
    Crds(CrdsArgs),
    /// Print the reference of StorageClass parameters as Markdown.
    Reference(ReferenceArgs),
    /// Before and after `helm uninstall`: what its hooks run.
    #[command(subcommand)]
    Uninstall(UninstallStep),
    /// In a pod with a volume: write to it and read it again. What `helm test` runs.
    TryVolume(TryVolumeArgs),
}

/// Which volume to try.
#[derive(Clone, Debug, ClapArgs)]
pub struct TryVolumeArgs {
    /// The PersistentVolumeClaim.
    #[arg(long)]
    pub claim: String,
    /// Where it is mounted.
    #[arg(long)]
    pub path: PathBuf,
    /// The namespace of the claim, and of volumes' Luns.
    #[arg(long, env = "LUNETTE_NAMESPACE", default_value = "lunette-system")]
    pub namespace: String,
}

/// A step of an uninstallation.
#[derive(Clone, Debug, Subcommand)]
pub enum UninstallStep {
    /// Before it: fail while Luns or LunPools exist.
    Check,
    /// After it: remove the LunNodes and Leases of agents that are gone.
    Sweep {
        /// The namespace where the agents were: their Leases are there.
        #[arg(long, env = "LUNETTE_NAMESPACE", default_value = "lunette-system")]
        namespace: String,
    },
}

/// How to run the controller. The cluster is the one of KUBECONFIG, or the one that the pod is in.
#[derive(Clone, Debug, ClapArgs)]
pub struct ControllerArgs {
    /// The namespace of the operator and of the agents: their Leases are there.
    #[arg(long, env = "LUNETTE_NAMESPACE", default_value = "lunette-system")]
    pub namespace: String,
    /// The agents' ServiceAccount in that namespace. It is allowed to read the Secrets that placed Luns
    /// name, and no other.
    #[arg(long, env = "LUNETTE_AGENT_SERVICE_ACCOUNT", default_value = "lunette-node")]
    pub agent_service_account: String,
    /// This instance's name among its replicas, used in the leader's Lease. In a pod: the pod's name.
    /// Default: the host's name and the process.
    #[arg(long, env = "LUNETTE_IDENTITY")]
    pub identity: Option<String>,
    /// Seconds after which a leader that has fallen silent is replaced. At least 3.
    #[arg(long, env = "LUNETTE_LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(3..))]
    pub lease_seconds: u16,
    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "LUNETTE_LISTEN", default_value = "[::]:8080")]
    pub listen: SocketAddr,
}

/// Where the CRDs go.
#[derive(Debug, ClapArgs)]
pub struct CrdsArgs {
    /// Write one file per kind into this directory instead of printing.
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// How to serve CSI. The cluster is the one of KUBECONFIG, or the one that the pod is in.
#[derive(Clone, Debug, ClapArgs)]
pub struct CsiArgs {
    /// The socket: `unix:///PATH`.
    #[arg(long, env = "CSI_ENDPOINT", default_value = "unix:///csi/csi.sock")]
    pub endpoint: String,
    /// The namespace in which volumes' Luns are made: one that users may not edit.
    #[arg(long, env = "LUNETTE_NAMESPACE", default_value = "lunette-system")]
    pub namespace: String,
}

/// Where the reference goes.
#[derive(Debug, ClapArgs)]
pub struct ReferenceArgs {
    /// Write this file instead of printing.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}
