//! Starting a successor, and those who watch over this process: they must not take its end for the end of the service.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::process::Command;

/// Tells an agent to succeed the one that runs.
pub const SUCCEED: &str = "LUNETTE_SUCCEED";

/// The agent's answer to the request to be upgraded to `program`: the successor's process, or why there is none.
pub fn start_successor(program: &Path) -> Value {
    match start(program) {
        Ok(pid) => json!({ "successor": pid }),
        Err(error) => json!({ "error": format!("{error:#}") }),
    }
}

/// Starts `program` as this process was started, to succeed it.
fn start(program: &Path) -> anyhow::Result<u32> {
    must_outlive_us()?;
    let mut command = Command::new(program);
    let child = command.args(env::args_os().skip(1)).env(SUCCEED, "true").stdin(Stdio::null()).spawn();
    let mut child = child.with_context(|| format!("cannot start {}", program.display()))?;
    let pid = child.id().context("the successor ended at once: see the log")?;
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await {
            tracing::warn!("the successor ended: {status}");
        }
    });
    Ok(pid)
}

/// A successor is our child, and our supervisor has to be told of it.
fn must_outlive_us() -> anyhow::Result<()> {
    if nix::unistd::getpid().as_raw() == 1 {
        bail!("this agent is the first process of a container, which ends with it: replace the pod instead");
    }
    if env::var_os("INVOCATION_ID").is_some() && env::var_os("NOTIFY_SOCKET").is_none() {
        bail!(
            "systemd would end the successor with this process: set Type=notify and NotifyAccess=all, or restart the unit"
        );
    }
    Ok(())
}

/// Tells systemd, if it asked to be told, that this process is the service now (sd_notify(3)).
pub fn tell_ready() {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(&name)),
    };
    let told = address.and_then(|address| {
        let words = format!("READY=1\nMAINPID={}\n", std::process::id());
        UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address)
    });
    if let Err(error) = told {
        tracing::warn!(%error, "systemd could not be told that this process is the service");
    }
}
