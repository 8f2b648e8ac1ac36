//! Storage that hangs harms its own LUN only, and that one recovers, or can be deleted meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::initiator::target;
use super::manifest::{lun_in, pool, pool_at};
use super::site::{SOON, SPARE, Site, patiently, say};

pub fn a_stuck_backend_harms_only_its_own_lun(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pools.yaml", &(pool() + &pool_at("spare", &format!("path: {SPARE}/pool"))))?;
    let agent = site.start_agent()?;
    let errors = site.errors_so_far()?;
    let (_, well) = site.attach("well", "64Mi", "")?;
    let client = format!("{{iqn: '{}'}}", site.client.initiator_name());
    site.apply("stuck.yaml", &lun_in("spare", "stuck", "64Mi", &client, ""))?;
    let stuck = site.wait_ready("stuck", true)?;
    let disk = site.login(&stuck, None)?;
    the_other_goes_on(&site, &well, &disk)?;
    site.no_io_errors_since(&errors)?;
    a_stuck_lun_can_be_deleted(&site, &well, &stuck, agent.pid())?;
    site.end(agent)
}

fn the_other_goes_on(site: &Site, well: &str, stuck: &str) -> Result<()> {
    let usual = p99(site, well)?;
    let mut writer = site.start_writer(stuck, "--bs=4k --size=8M")?;
    site.wait_completed(stuck, site.completed(stuck)? + 50, SOON)?;
    freeze(site, stuck)?;
    let (before, beside) = (site.completed(stuck)?, p99(site, well)?);
    ensure!(site.completed(stuck)? == before, "{stuck} answered while its file system was frozen");
    thaw(site)?;
    site.wait_completed(stuck, before, SOON).context("after the file system was thawed")?;
    writer.must_run()?;
    writer.end(site)?;
    let ratio = beside.as_secs_f64() / usual.as_secs_f64();
    say(&format!("p99 of a LUN beside a stuck one: {beside:?}, {ratio:.2} times the usual {usual:?}"));
    Ok(())
}

fn a_stuck_lun_can_be_deleted(site: &Site, well: &str, lun: &Value, agent: i32) -> Result<()> {
    let (iqn, stuck) = (target(lun)?, &site.disk(lun)?);
    // It will fail when the LUN goes: only its I/O matters.
    let io = site
        .client
        .spawn("doomed", format!("while dd if=/dev/zero of={stuck} bs=64k count=32 oflag=direct; do :; done"))?;
    site.wait_completed(stuck, site.completed(stuck)? + 20, SOON)?;
    freeze(site, stuck)?;
    let started = Instant::now();
    site.withdraw("stuck.yaml")?;
    patiently(SOON, || {
        let exports = site.exports()?;
        ensure!(!exports.contains(iqn), "the stuck LUN is still exported:\n{exports}");
        Ok(())
    })?;
    say(&format!(
        "a LUN with stuck storage and I/O under way was unexported in {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    p99(site, well).context("beside a stuck LUN that was deleted")?;
    thaw(site)?;
    drop(io);
    site.client.must("iscsiadm -m node -U all || true")?;
    nothing_waits_for_ever(site, agent)
}

/// Freezes the spare file system, and waits until the I/O to the disk on it stands still.
pub fn freeze(site: &Site, disk: &str) -> Result<()> {
    site.node.must(format!("fsfreeze -f {SPARE}"))?;
    stands_still(site, disk)
}

/// Waits until a disk of the client answers nothing any more.
pub fn stands_still(site: &Site, disk: &str) -> Result<()> {
    patiently(SOON, || {
        let before = site.completed(disk)?;
        std::thread::sleep(Duration::from_millis(500));
        ensure!(site.completed(disk)? == before, "{disk} still answers, though its storage hangs");
        Ok(())
    })
}

/// Lets the spare file system go on.
pub fn thaw(site: &Site) -> Result<()> {
    site.node.must(format!("fsfreeze -u {SPARE}")).map(drop)
}

/// No thread of the agent, and no kernel thread, is left in uninterruptible sleep; a deleted LUN's thread is gone.
pub fn nothing_waits_for_ever(site: &Site, agent: i32) -> Result<()> {
    let list = format!(
        "grep -ls '^State:.D' /proc/[0-9]*/task/[0-9]*/status | while read t; do \
         cat ${{t%status}}comm ${{t%status}}stack; done; grep -hs lun-stuck /proc/{agent}/task/*/comm; true"
    );
    patiently(SOON, || {
        let waiting = site.node.must(&list)?;
        ensure!(waiting.is_empty(), "these threads still wait, after the file system was thawed:\n{waiting}");
        Ok(())
    })
}

/// The time that a LUN takes for all but the slowest hundredth of its commands.
pub fn p99(site: &Site, disk: &str) -> Result<Duration> {
    let report =
        site.fio(disk, "--rw=randrw --bs=4k --size=32M --time_based --runtime=5 --iodepth=4 --output-format=json")?;
    let report: Value = serde_json::from_str(&report).context("fio's report is no JSON")?;
    let p99 = |kind: &str| report["jobs"][0][kind]["clat_ns"]["percentile"]["99.000000"].as_u64();
    let nanoseconds = p99("read").max(p99("write")).context("fio reports no p99")?;
    Ok(Duration::from_micros(nanoseconds / 1000))
}
