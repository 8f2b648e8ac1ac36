//! The real operator, run as a process with the operator's ServiceAccount; and what it says over HTTP.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Daemon, Result};

use super::site::{SOON, SYSTEM, Site};

/// One operator process; dropping it kills it with SIGKILL.
pub struct Operator<'a> {
    site: &'a Site,
    pub daemon: Daemon,
    port: u16,
}

impl<'a> Operator<'a> {
    /// Starts one, and waits until it leads.
    pub fn start(site: &'a Site) -> Result<Operator<'a>> {
        let mut operator = Operator::launch(site, "operator-0", 8080)?;
        operator.wait_leader()?;
        Ok(operator)
    }

    /// Starts one of that name, with a Lease of three seconds.
    pub fn launch(site: &'a Site, identity: &str, port: u16) -> Result<Operator<'a>> {
        let token = site.plane.kubectl_must(["create", "token", "lunette-operator", "-n", SYSTEM])?;
        let kubeconfig = site.plane.kubeconfig_for_token(identity, &token)?;
        let mut command = site.bed.command(site.binary("lunette-operator"));
        command.arg("controller").args(["--identity", identity, "--lease-seconds", "3"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info,lunette_operator=debug");
        let daemon = Daemon::start(&site.bed, identity, command)?;
        Ok(Operator { site, daemon, port })
    }

    /// Waits until it leads.
    pub fn wait_leader(&mut self) -> Result<()> {
        let (site, port) = (self.site, self.port);
        self.daemon.wait_until(SOON, || metric(site, port, "lunette_operator_is_leader").is_ok_and(|v| v == 1))
    }

    /// The value of a metric without labels, or with the labels as written.
    pub fn metric(&self, name: &str) -> Result<u64> {
        metric(self.site, self.port, name)
    }

    /// What it answers on a path: status line and body.
    pub fn get(&self, path: &str) -> Result<String> {
        get(self.site, self.port, path)
    }
}

fn metric(site: &Site, port: u16, name: &str) -> Result<u64> {
    let text = get(site, port, "/metrics")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no metric {name}"))?.trim().parse().context("no whole number")
}

fn get(site: &Site, port: u16, path: &str) -> Result<String> {
    let mut stream = site.bed.net().connect([127, 0, 0, 1].into(), port, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 "), "{answer}");
    Ok(answer)
}
