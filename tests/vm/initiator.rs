//! The client's side: sessions, disks, and I/O that checks itself.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{GuestCommand, Output, Process, Result};
use serde_json::Value;

use super::manifest;
use super::site::{SOON, Site};

/// Longer than any test lets I/O run.
pub const LONG: Duration = Duration::from_secs(900);

impl Site {
    /// Applies a Lun of the pool `files` for the client, waits until it is served, and logs in: the Lun and its disk.
    pub fn attach(&self, name: &str, size: &str, more: &str) -> Result<(Value, String)> {
        let manifest = manifest::lun(name, size, &self.client.initiator_name(), more);
        self.apply(&format!("{name}.yaml"), &manifest)?;
        let lun = self.wait_ready(name, true)?;
        let disk = self.login(&lun, None)?;
        Ok((lun, disk))
    }

    /// Does something while records of targets are made with these lines of iscsid.conf.
    pub fn with_settings<T>(&self, lines: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let (conf, kept) = ("/etc/iscsi/iscsid.conf", "/tmp/iscsid.conf");
        self.client.must(format!("cp {conf} {kept}; printf '{lines}\n' >>{conf}"))?;
        let outcome = act();
        self.client.must(format!("cp {kept} {conf}"))?;
        outcome
    }

    /// Logs the client in; the path of the disk that appears.
    pub fn login(&self, lun: &Value, chap: Option<&str>) -> Result<String> {
        let portal = lun["status"]["target"]["portals"][0].as_str().context("no portal")?.to_owned();
        self.login_at(lun, &portal, chap)
    }

    /// Logs the client in at a portal.
    pub fn login_at(&self, lun: &Value, portal: &str, chap: Option<&str>) -> Result<String> {
        let names = [("authmethod", "CHAP"), ("username", "client"), ("password", chap.unwrap_or_default())];
        let settings = if chap.is_some() { &names[..] } else { &[] };
        self.try_login(lun, portal, "default", settings)?.ok()?;
        self.disk(lun)
    }

    /// What a login comes to, through one of the client's interfaces, with these settings of `node.session.auth`.
    pub fn try_login(&self, lun: &Value, portal: &str, iface: &str, settings: &[(&str, &str)]) -> Result<Output> {
        let record = format!("iscsiadm -m node -T {} -p {portal} -I {iface}", target(lun)?);
        let mut script = format!("exec 3>&1; exec >/dev/null; set -e; {record} -o new");
        for (name, value) in settings {
            script += &format!("; {record} -o update -n node.session.auth.{name} -v '{value}'");
        }
        self.client.run(format!("{script}; exec {record} --login >&3"))
    }

    /// The client's disk of that Lun, found by its identity.
    pub fn disk(&self, lun: &Value) -> Result<String> {
        let wwid = lun["status"]["wwid"].as_str().context("no WWID")?;
        self.client.wait_for_disk(wwid, SOON)
    }

    /// Logs the client out.
    pub fn logout(&self, lun: &Value) -> Result<()> {
        self.client.must(format!("iscsiadm -m node -T {} --logout >/dev/null", target(lun)?)).map(drop)
    }

    /// Runs fio on the client; it must find no fault.
    pub fn fio(&self, disk: &str, options: &str) -> Result<String> {
        self.client.must(GuestCommand::shell(&fio_line(disk, options)).patience(LONG))
    }

    /// Starts a writer that verifies what it wrote while it goes on writing, until [`Writer::end`].
    pub fn start_writer(&self, disk: &str, options: &str) -> Result<Writer> {
        let name = disk.rsplit('/').next().unwrap_or_default();
        let enough = format!("/tmp/enough-{name}");
        let fio = fio_line(disk, &format!("--rw=randwrite --randseed=$round {VERIFY} {options}"));
        let script = format!(
            "rm -f {enough}; round=0; until [ -e {enough} ]; do round=$((round+1)); {fio} || exit 1; done; echo rounds: $round"
        );
        let process = self.client.spawn(&format!("writer-{name}"), GuestCommand::shell(&script).patience(LONG))?;
        Ok(Writer { process, enough })
    }

    /// I/O that a disk of the client has completed.
    pub fn completed(&self, disk: &str) -> Result<u64> {
        let line = self.client.must(format!("read r _ _ _ w _ < {}; echo $((r + w))", stat(disk)))?;
        line.parse().with_context(|| format!("{line:?} is no number"))
    }

    /// Waits until a disk of the client has completed more I/O than that.
    pub fn wait_completed(&self, disk: &str, more_than: u64, patience: Duration) -> Result<()> {
        let stat = stat(disk);
        let script = format!("while read r _ _ _ w _ < {stat} && [ $((r + w)) -le {more_than} ]; do sleep 0.02; done");
        let waited = self.client.run(GuestCommand::shell(&script).patience(patience));
        waited.and_then(|output| output.ok()).map(drop).with_context(|| format!("no I/O on {disk} goes on"))
    }

    /// That the client's kernel reported no failed I/O since [`Site::errors_so_far`] said `before`.
    pub fn no_io_errors_since(&self, before: &str) -> Result<()> {
        let now = self.errors_so_far()?;
        ensure!(now == before, "the client's kernel saw I/O fail:\n{now}");
        Ok(())
    }

    /// What the client's kernel says of failed I/O.
    pub fn errors_so_far(&self) -> Result<String> {
        self.client.must("dmesg | grep -i -e 'I/O error' -e 'critical .* error' -e 'hostbyte=' || true")
    }
}

/// Each block carries its own checksum and place; reading back starts while writing goes on.
pub const VERIFY: &str = "--verify=crc32c --verify_backlog=256 --verify_fatal=1";

/// A verifying writer on the client.
pub struct Writer {
    process: Process,
    enough: String,
}

impl Writer {
    /// Whether it still runs; an error that shows what it printed, if it does not.
    pub fn must_run(&mut self) -> Result<()> {
        let ended = self.process.ended()?;
        ensure!(ended.is_none(), "the writer ended early:\n{}", self.process.stdout_so_far());
        Ok(())
    }

    /// Lets it finish its round: all that it wrote must be there.
    pub fn end(self, site: &Site) -> Result<String> {
        site.client.must(format!("touch {}", self.enough))?;
        self.process.wait()?.ok().context("the writer found a fault")
    }
}

fn fio_line(disk: &str, options: &str) -> String {
    format!(
        "fio --name=bed --filename={disk} --ioengine=libaio --direct=1 --iodepth=32 --allow_file_create=0 {options}"
    )
}

fn stat(disk: &str) -> String {
    format!("/sys/block/{}/stat", disk.rsplit('/').next().unwrap_or_default())
}

/// The target's name.
pub fn target(lun: &Value) -> Result<&str> {
    lun["status"]["target"]["iqn"].as_str().context("no target IQN")
}
