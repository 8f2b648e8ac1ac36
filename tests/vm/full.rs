//! A pool whose file system is full under load: what is there can be written over and read, what needs room is
//! refused with the sense that says so, and once there is room again I/O goes on with no restart.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};

use super::failing::command;
use super::manifest::{lun_in, pool_at};
use super::site::{SPARE, Site};
use super::snapshots::remake_spare;

/// MiB of the file system, of the LUN in it, and of the part of the LUN that has been written before it is full.
const ROOM: u64 = 64;
const SIZE: u64 = 256;
const WRITTEN: u64 = 8;
/// A MiB of the LUN that has no room, and blocks of one MiB.
const LAST: u64 = SIZE - 1;
const BLOCKS: u64 = (1 << 20) / 512;

pub fn a_full_file_system_is_told_as_it_is_and_io_goes_on_when_there_is_room(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    let outcome = ["Direct", "Buffered"].iter().try_for_each(|io| {
        let make = format!("mkfs.ext4 -q -F /dev/vdb {ROOM}M");
        site.node.must(format!("umount {SPARE} && {make} && mount /dev/vdb {SPARE} && mkdir {SPARE}/pool"))?;
        fills_up(&site, io).with_context(|| format!("with io: {io}"))
    });
    outcome.and_then(|()| remake_spare(&site, "mkfs.ext4 -q -F"))
}

fn fills_up(site: &Site, io: &str) -> Result<()> {
    site.apply("pool.yaml", &pool_at("spare", &format!("path: {SPARE}/pool, io: {io}")))?;
    let agent = site.start_agent()?;
    let client = format!("{{iqn: '{}'}}", site.client.initiator_name());
    site.apply("thin.yaml", &lun_in("spare", "thin", &format!("{SIZE}Mi"), &client, ""))?;
    let disk = site.login(&site.wait_ready("thin", true)?, None)?;
    write(site, &disk, 0, WRITTEN)?;
    let mut writer = site.start_writer(&disk, &format!("--bs=4k --size={WRITTEN}M"))?;
    let said = site.client.run(zeroes(&disk, WRITTEN, LAST - WRITTEN))?.stderr;
    ensure!(said.contains("No space left on device"), "writing until the file system is full ends with {said:?}");
    no_space_is_what_is_said(site, &disk)?;
    writer.must_run()?;
    // The initiator makes room itself, and then an administrator does.
    site.client.must(format!("blkdiscard -o {0}M -l {0}M {disk}", 2 * WRITTEN))?;
    write(site, &disk, LAST - WRITTEN, WRITTEN).context("after the initiator gave space back")?;
    site.node.must("resize2fs /dev/vdb 2>/dev/null")?;
    write(site, &disk, LAST - ROOM, ROOM).context("in a larger file system")?;
    writer.must_run()?;
    ensure!(writer.end(site)?.contains("rounds:"), "the writer did not say how often it wrote everything");
    site.end(agent)
}

fn no_space_is_what_is_said(site: &Site, disk: &str) -> Result<()> {
    let tried = site.client.run(command(disk, "2a", LAST * BLOCKS, 128, "-s 65536 -i /dev/zero"))?;
    let said = tried.stdout + &tried.stderr;
    let right = said.contains("Data Protect") && said.contains("Space allocation failed write protect");
    ensure!(right, "a WRITE without room says:\n{said}");
    Ok(())
}

fn write(site: &Site, disk: &str, at: u64, size: u64) -> Result<()> {
    site.client.must(zeroes(disk, at, size)).map(drop)
}

/// Writes that many MiB.
fn zeroes(disk: &str, at: u64, size: u64) -> String {
    format!("dd if=/dev/zero of={disk} bs=1M seek={at} count={size} oflag=direct conv=notrunc,fsync status=none")
}
