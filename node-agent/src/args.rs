//! The command line of `lunette-node`; every flag of the agent is an environment variable too.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lunette_lio::Portal;

use crate::status::{Format, How, TopFormat};

/// Lunette's node agent: serves SCSI logical units over iSCSI from this node.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve this node's LUNs until told to stop (SIGTERM). Initiators wait for the next agent then.
    Serve(Serve),
    /// Show the LUNs that the agent on this machine serves.
    Status(Status),
    /// Show live what the LUNs of this node do: I/O, latency, sessions. Ctrl-C ends it.
    Top(Top),
    /// Make a LUN that lists this node under `initiators` a disk of this machine; print the disk's path as the last
    /// word.
    Attach(Attachment),
    /// Take such a disk away, unless it is in use.
    Detach(Attachment),
    /// Replace the running agent by this program (or another) without a pause that initiators would notice.
    Upgrade(Upgrade),
    /// Say what this node lacks to serve LUNs, and the command that mends it.
    Check,
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// Serve the manifests (*.yaml, *.yml, *.json) of this directory, and watch it, instead of asking an API server.
    #[arg(long, env = "LUNETTE_MANIFESTS", value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Where targets listen: ADDRESS:PORT, or [ADDRESS]:PORT for IPv6; a bare ADDRESS means port 3260. May be
    /// given more than once; in the environment, with commas between.
    #[arg(long = "portal", env = "LUNETTE_PORTALS", value_name = "ADDR:PORT", value_delimiter = ',', required = true, value_parser = portal)]
    pub portals: Vec<Portal>,
    /// This node's name; the host's unless given.
    #[arg(long, env = "LUNETTE_NODE", value_name = "NAME")]
    pub node: Option<String>,
    /// The namespace of this node's Lease.
    #[arg(long, env = "LUNETTE_NAMESPACE", value_name = "NAME", default_value = "lunette-system")]
    pub namespace: String,
    /// Where what must outlive the agent is kept.
    #[arg(long, env = "LUNETTE_STATE_DIR", value_name = "DIR", default_value = "/var/lib/lunette")]
    pub state_dir: PathBuf,
    /// Serve /metrics, /healthz and /readyz on this address: ADDRESS:PORT, or [ADDRESS]:PORT for IPv6; a bare
    /// ADDRESS means port 9810. They are not served unless given: nobody has to prove who asks.
    #[arg(long, env = "LUNETTE_LISTEN", value_name = "ADDR:PORT", value_parser = metrics_address)]
    pub listen: Option<SocketAddr>,
    #[command(flatten)]
    pub csi: Csi,
    /// If an agent runs on this machine, take its LUNs over and its place.
    #[arg(long, env = "LUNETTE_SUCCEED")]
    pub succeed: bool,
    /// If an agent runs on this machine, be ready, and take its place when it is told to stop or is gone.
    #[arg(long, env = "LUNETTE_STAND_BY")]
    pub stand_by: bool,
    /// Write logs as JSON.
    #[arg(long, env = "LUNETTE_LOG_JSON")]
    pub log_json: bool,
    #[command(flatten)]
    pub run: Run,
}

/// Where volumes are brought to pods.
#[derive(Debug, Args)]
pub struct Csi {
    /// The kubelet's folder: serve CSI's Node service to that kubelet, and register with it. Not done unless given.
    #[arg(long, env = "LUNETTE_KUBELET_DIR", value_name = "DIR")]
    pub kubelet_dir: Option<PathBuf>,
    /// Serve CSI on this socket: unix:///PATH. That of the plugin csi.lunette.io in the kubelet's folder unless given.
    #[arg(long, env = "LUNETTE_CSI_ENDPOINT", value_name = "SOCKET")]
    pub csi_endpoint: Option<String>,
    /// How many volumes Kubernetes may attach to this node.
    #[arg(long, env = "LUNETTE_MAX_VOLUMES", value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_volumes: u32,
}

/// How to show.
#[derive(Debug, Args)]
pub struct Status {
    /// How to print; a table unless given.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
    #[command(flatten)]
    pub run: Run,
}

/// Which LUN to attach or detach.
#[derive(Debug, Args)]
pub struct Attachment {
    /// The Lun; a bare NAME is one of the namespace `default`.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = lun)]
    pub lun: String,
    /// How long to try.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout: u64,
    #[command(flatten)]
    pub run: Run,
}

/// How to show what happens.
#[derive(Debug, Args)]
pub struct Top {
    /// Seconds between two looks.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub interval: u16,
    /// Look once, for one interval, print, and end.
    #[arg(long)]
    pub once: bool,
    /// How to print; a table unless given.
    #[arg(short, long, value_enum)]
    pub output: Option<TopFormat>,
    #[command(flatten)]
    pub run: Run,
}

/// What to upgrade to.
#[derive(Debug, Args)]
pub struct Upgrade {
    /// The program that is to serve from now on; this one unless given. It gets the running agent's arguments.
    pub program: Option<PathBuf>,
    #[command(flatten)]
    pub run: Run,
}

impl Top {
    /// What is asked for.
    pub fn how(&self) -> How {
        How { interval: Duration::from_secs(u64::from(self.interval)), once: self.once, format: self.output }
    }
}

/// Where the running agent is found.
#[derive(Debug, Args)]
pub struct Run {
    /// Where the agent's sockets and lock are, and what its LUNs have in flight: on a tmpfs that outlives the agent.
    #[arg(long, env = "LUNETTE_RUN_DIR", value_name = "DIR", default_value = "/run/lunette")]
    pub run_dir: PathBuf,
}

impl Run {
    /// The socket that `status` asks on.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("node.sock")
    }

    /// Where logins to other nodes' targets lock each other out.
    pub fn locks(&self) -> PathBuf {
        self.run_dir.join("targets")
    }

    /// The socket on which a successor asks to take over.
    pub fn succession(&self) -> PathBuf {
        self.run_dir.join("succession.sock")
    }

    /// Held by the one agent of this machine.
    pub fn lock(&self) -> PathBuf {
        self.run_dir.join("agent.lock")
    }
}

fn portal(text: &str) -> Result<Portal, String> {
    Portal::parse(text).map_err(|error| error.to_string())
}

/// Namespace and name of a Lun, spelled as Kubernetes does.
fn lun(text: &str) -> Result<String, String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let good = |part: &str| (1..=253).contains(&part.len()) && part.bytes().all(legal);
    if good(namespace) && good(name) {
        return Ok(format!("{namespace}/{name}"));
    }
    Err("a Lun is named NAMESPACE/NAME, in lower-case letters, digits, '-' and '.'".to_owned())
}

/// Where metrics are served when only an address is given.
const METRICS_PORT: u16 = 9810;

fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, METRICS_PORT));
    bare.or_else(|_| text.parse()).map_err(|_| {
        format!("{text:?} is no address to listen on: write 10.0.0.1:9810, [fd00::1]:9810 or the address alone")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lun_is_named_by_namespace_and_name() {
        assert_eq!(lun("prod/db"), Ok("prod/db".to_owned()));
        assert_eq!(lun("db"), Ok("default/db".to_owned()));
        for bad in ["", "/", "prod/", "/db", "prod/db/x", "prod/d b", "Prod/db", "db\n"] {
            assert!(lun(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metrics_are_served_on_an_address_with_or_without_a_port() {
        for (text, address) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1", "10.0.0.1:9810"),
            ("fd00::1", "[fd00::1]:9810"),
            ("[fd00::1]:80", "[fd00::1]:80"),
        ] {
            assert_eq!(metrics_address(text).map(|address| address.to_string()), Ok(address.to_owned()));
        }
        assert!(metrics_address("node:80").unwrap_err().starts_with("\"node:80\" is no address to listen on"));
    }
}
