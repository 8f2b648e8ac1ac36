//! The client's side: a session, its disk, and a writer that verifies what it wrote while it goes on writing.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{GuestCommand, Process, Result};
use serde_json::Value;

use super::site::{Installed, PATIENCE};

/// Longer than any test lets I/O run.
const LONG: Duration = Duration::from_secs(900);
/// Commands a second of a writer: enough to notice a pause, and not all that an emulated node can do, which has pods
/// to start meanwhile.
const PACE: u32 = 200;

impl Installed {
    /// Logs the client in; the disk that appears, found by its identity.
    pub fn login(&self, lun: &Value) -> Result<String> {
        let target = target(lun)?;
        let portal = lun["status"]["target"]["portals"][0].as_str().context("no portal")?;
        let record = format!("iscsiadm -m node -T {target} -p {portal}");
        self.client.must(format!("{record} -o new >/dev/null && {record} --login >/dev/null"))?;
        let wwid = lun["status"]["wwid"].as_str().context("no WWID")?;
        self.client.wait_for_disk(wwid, PATIENCE)
    }

    /// Logs the client out and forgets the target.
    pub fn logout(&self, lun: &Value) -> Result<()> {
        let record = format!("iscsiadm -m node -T {}", target(lun)?);
        self.client.must(format!("{record} --logout >/dev/null && {record} -o delete")).map(drop)
    }

    /// Starts a writer on a disk, which goes on until [`Writer::end`].
    pub fn start_writer(&self, disk: &str) -> Result<Writer> {
        let name = disk.trim_start_matches("/dev/").to_owned();
        let errors = self.io_errors()?;
        let script = format!(
            "rm -f /tmp/enough-{name}; round=0; until [ -e /tmp/enough-{name} ]; do round=$((round+1)); \
             fio --name=w --filename={disk} --ioengine=libaio --direct=1 --iodepth=16 --allow_file_create=0 \
             --rw=randwrite --bs=4k --size=32M --io_size=4M --rate_iops={PACE} --randseed=$round --verify=crc32c --verify_backlog=64 \
             --verify_fatal=1 --output-format=terse >/tmp/fio-{name} 2>&1 || {{ cat /tmp/fio-{name}; exit 1; }}; \
             done; echo rounds: $round"
        );
        let process = self.client.spawn(&format!("writer-{name}"), GuestCommand::shell(&script).patience(LONG))?;
        let writer = Writer { process, name, errors };
        self.io_goes_on(&writer)?;
        Ok(writer)
    }

    /// Waits until the writer's disk has completed something that it has not completed now.
    pub fn io_goes_on(&self, writer: &Writer) -> Result<()> {
        let script = format!(
            "count() {{ read r _ _ _ w _ < /sys/block/{}/stat; echo $((r + w)); }}; \
             before=$(count); until [ $(count) -gt $((before + 64)) ]; do sleep 0.1; done",
            writer.name
        );
        self.client.must(GuestCommand::shell(&script).patience(PATIENCE)).context("no I/O goes on").map(drop)
    }

    fn io_errors(&self) -> Result<String> {
        self.client.must("dmesg | grep -i -e 'I/O error' -e 'critical .* error' -e 'hostbyte=' || true")
    }
}

/// A verifying writer on the client.
pub struct Writer {
    process: Process,
    name: String,
    errors: String,
}

impl Writer {
    /// Lets it finish its round: all that it wrote must be there, and nothing may have failed on the way.
    pub fn end(self, site: &Installed) -> Result<()> {
        site.io_goes_on(&self)?;
        site.client.must(format!("touch /tmp/enough-{}", self.name))?;
        self.process.wait()?.ok().context("the writer found a fault")?;
        let errors = site.io_errors()?;
        ensure!(errors == self.errors, "the client's kernel saw I/O fail:\n{errors}");
        Ok(())
    }
}

fn target(lun: &Value) -> Result<&str> {
    lun["status"]["target"]["iqn"].as_str().context("no target IQN")
}
