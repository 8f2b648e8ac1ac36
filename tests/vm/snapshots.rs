//! Snapshots on XFS under a writer that verifies: each of one instant, restored byte for byte, and independent of what it
//! was taken of; and what a pool says whose file system cannot.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::manifest::{lun_in, object, pool_at};
use super::site::{POOL, SOON, SPARE, Site, condition, patiently, say};

/// Snapshots under load; their pauses are shown.
const UNDER_LOAD: usize = 5;

pub fn a_snapshot_is_of_one_instant_and_is_restored(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    remake_spare(&site, "mkfs.xfs -q -f")?;
    let outcome = on_xfs(&site);
    // Other tests find the spare disk as it was.
    outcome.and(remake_spare(&site, "mkfs.ext4 -q -F"))
}

/// The other file system that shares blocks.
pub fn btrfs_takes_and_restores_snapshots(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    remake_spare(&site, "mkfs.btrfs -q -f")?;
    let outcome = on_btrfs(&site);
    outcome.and(remake_spare(&site, "wipefs -q -a /dev/vdb && mkfs.ext4 -q -F"))
}

fn on_btrfs(site: &Site) -> Result<()> {
    site.apply("pool.yaml", &pool_at("files", &format!("path: {SPARE}/pool")))?;
    let agent = site.start_agent()?;
    let errors = site.errors_so_far()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    come_back_byte_for_byte(site, &disk)?;
    a_clone_is_the_lun_as_it_is(site, &disk)?;
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

/// Makes the spare disk's file system anew.
pub fn remake_spare(site: &Site, make: &str) -> Result<()> {
    let script = format!("umount {SPARE} && {make} /dev/vdb && mount /dev/vdb {SPARE} && mkdir -p {SPARE}/pool");
    site.node.must(script).map(drop)
}

fn on_xfs(site: &Site) -> Result<()> {
    site.apply("pool.yaml", &pool_at("files", &format!("path: {SPARE}/pool")))?;
    site.apply("plain.yaml", &pool_at("plain", &format!("path: {POOL}")))?;
    let agent = site.start_agent()?;
    let errors = site.errors_so_far()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    are_taken_under_load(site, &disk)?;
    are_of_one_instant(site, &disk)?;
    come_back_byte_for_byte(site, &disk)?;
    a_clone_is_the_lun_as_it_is(site, &disk)?;
    outlive_their_lun(site)?;
    another_file_system_refuses(site)?;
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

fn snapshot_of(name: &str, lun: &str) -> String {
    object("LunSnapshot", name, &format!("{{lun: {lun}}}"))
}

/// Takes a snapshot; it as the status shows it.
fn taken(site: &Site, name: &str, lun: &str) -> Result<Value> {
    site.apply(&format!("{name}.yaml"), &snapshot_of(name, lun))?;
    patiently(SOON, || {
        let snapshot = site.lun(name)?;
        ensure!(snapshot["status"]["readyToUse"] == true, "snapshot {name} is {}", condition(&snapshot, "Ready"));
        Ok(snapshot)
    })
}

/// The writer has 32 writes in flight and checks what it reads back, before, during and after.
fn are_taken_under_load(site: &Site, disk: &str) -> Result<()> {
    let mut writer = site.start_writer(disk, "--bs=4k --size=16M")?;
    let mut pauses = Vec::new();
    for number in 0..UNDER_LOAD {
        let before = site.completed(disk)?;
        let snapshot = taken(site, &format!("busy-{number}"), "db")?;
        pauses.push(snapshot["status"]["pauseMicroseconds"].as_u64().context("no pause")?);
        patiently(SOON, || {
            writer.must_run()?;
            ensure!(site.completed(disk)? > before, "I/O does not go on");
            Ok(())
        })?;
    }
    writer.end(site)?;
    pauses.sort_unstable();
    let millis = |micros: u64| micros as f64 / 1000.0;
    let (middle, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    say(&format!(
        "pauses of {UNDER_LOAD} snapshots under load: median {:.1} ms, longest {:.1} ms",
        millis(middle),
        millis(longest)
    ));
    Ok(())
}

/// Pairs of blocks that are counted up one after the other, far from each other: in a snapshot neither is ahead of the other by
/// more than the one write between them.
const PAIRS: u32 = 4;
const COUNT: &str = "\
put() { printf '%-512d' $n | dd of=$DISK bs=512 seek=$1 oflag=direct conv=notrunc status=none; }
n=1000; while put $FIRST && put $SECOND; do n=$((n + 1)); done";

fn are_of_one_instant(site: &Site, disk: &str) -> Result<()> {
    // Between the two of a pair lies what takes time to copy.
    let mut writer = site.start_writer(disk, "--bs=4k --offset=8M --size=16M")?;
    let blocks = |pair: u32| [(40 + pair) << 11, pair << 11];
    let count = |pair: u32| {
        let [first, second] = blocks(pair).map(|block| block.to_string());
        let count = GuestCommand::shell(COUNT).env("DISK", disk).env("FIRST", &first).env("SECOND", &second);
        site.client.spawn(&format!("pair-{pair}"), count.patience(SOON))
    };
    let counting = (0..PAIRS).map(count).collect::<Result<Vec<_>>>()?;
    // Each has gone round.
    site.wait_completed(disk, site.completed(disk)? + 500, SOON)?;
    for number in 0..UNDER_LOAD {
        let snapshot = taken(site, &format!("pairs-{number}"), "db")?;
        let uid = snapshot["metadata"]["uid"].as_str().context("no UID")?;
        for pair in 0..PAIRS {
            let [first, second] = blocks(pair);
            let (first, second) = (count_in(site, uid, first)?, count_in(site, uid, second)?);
            ensure!(first == second || first == second + 1, "pair {pair}: {first} was written, then {second}");
        }
    }
    for pair in counting {
        pair.signal(Signal::SIGKILL)?;
    }
    writer.must_run()?;
    writer.end(site).map(drop)
}

/// What a block of a snapshot says.
fn count_in(site: &Site, uid: &str, block: u32) -> Result<u64> {
    let text = site.node.must(format!("dd if={SPARE}/pool/{uid}/data bs=512 skip={block} count=1 status=none"))?;
    text.trim().parse().with_context(|| format!("{text:?} is no count"))
}

fn come_back_byte_for_byte(site: &Site, disk: &str) -> Result<()> {
    let sum = |disk: &str| site.client.must(format!("head -c 64M {disk} | sha256sum"));
    let then = sum(disk)?;
    taken(site, "still", "db")?;
    site.client.must(format!("dd if=/dev/urandom of={disk} bs=1M count=16 oflag=direct conv=notrunc status=none"))?;
    ensure!(sum(disk)? != then, "nothing was written");
    let (restored, copy) = site.attach("restored", "128Mi", ", source: {snapshot: still}")?;
    ensure!(sum(&copy)? == then, "the restored Lun is not what its snapshot was taken of");
    let size = site.client.must(format!("blockdev --getsize64 {copy}"))?;
    ensure!(size == (128 << 20).to_string(), "the restored Lun has {size} bytes");
    ensure!(restored["status"]["wwid"] != site.lun("db")?["status"]["wwid"], "two Luns have one identity");
    let zeroes = site.client.must(format!("tail -c 64M {copy} | cmp -n 64M - /dev/zero && echo zeroes"))?;
    ensure!(zeroes == "zeroes", "beyond the snapshot's end there is {zeroes}");
    Ok(())
}

fn a_clone_is_the_lun_as_it_is(site: &Site, disk: &str) -> Result<()> {
    let (_, clone) = site.attach("clone", "64Mi", ", source: {lun: db}")?;
    site.client.must(format!("cmp {disk} {clone}")).map(drop)
}

/// The Lun goes with its data, then its snapshots: what was made from them stays as it is.
fn outlive_their_lun(site: &Site) -> Result<()> {
    site.client.must("iscsiadm -m node -U all; iscsiadm -m node -o delete")?;
    let uid = |object: &Value| object["metadata"]["uid"].as_str().map(str::to_owned).context("no UID");
    let (db, still) = (site.lun("db")?, site.lun("still")?);
    site.apply("db.yaml", &lun_in("files", "db", "64Mi", "", ", reclaimPolicy: Delete"))?;
    patiently(SOON, || {
        let generation = site.lun("db")?["metadata"]["generation"].clone();
        ensure!(generation != db["metadata"]["generation"], "the change was not seen yet");
        Ok(())
    })?;
    site.wait_ready("db", true)?;
    site.withdraw("db.yaml")?;
    is_gone(site, &uid(&db)?)?;
    let again = lun_in("files", "again", "64Mi", "", ", source: {snapshot: still}");
    site.apply("again.yaml", &again)?;
    site.wait_ready("again", true)?;
    let data = |lun: &str| -> Result<String> { Ok(format!("{SPARE}/pool/{}/data", uid(&site.lun(lun)?)?)) };
    site.node.must(format!("cmp -n 64M {} {}", data("again")?, data("restored")?))?;
    site.withdraw("still.yaml")?;
    is_gone(site, &uid(&still)?)?;
    site.node.must(format!("cmp -n 64M {} {}", data("again")?, data("restored")?)).map(drop)
}

fn is_gone(site: &Site, uid: &str) -> Result<()> {
    patiently(SOON, || {
        let left = site.volumes(&format!("{SPARE}/pool"))?;
        ensure!(!left.contains(uid), "{uid} is still there:\n{left}");
        Ok(())
    })
}

/// ext4 has no reflink: nothing is copied in its stead.
fn another_file_system_refuses(site: &Site) -> Result<()> {
    site.apply("old.yaml", &lun_in("plain", "old", "64Mi", "", ", reclaimPolicy: Delete"))?;
    site.wait_ready("old", true)?;
    site.apply("none.yaml", &snapshot_of("none", "old"))?;
    patiently(SOON, || {
        let ready = condition(&site.lun("none")?, "Ready");
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(ready["reason"] == "NoSnapshots" && message.contains("shares no extents"), "Ready is {ready}");
        Ok(())
    })
}
