//! A LUN as a disk of the node that serves it: no network, no iscsid; made and taken away by `lunette-node attach` and
//! `detach`, known by its identity, kept over a crash of the agent, and gone when the Lun is.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Output, Process, Result};

use super::initiator::{LONG, VERIFY};
use super::manifest::{lun_in, pool};
use super::site::{SOON, Site, agent_binary, patiently};

pub fn a_lun_is_a_disk_of_its_own_node(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    apply(&site, "64Mi", "{nodeName: node}")?;
    let agent = site.start_agent()?;
    site.wait_ready("db", true)?;
    let disk = attach(&site)?;
    is_known_by_its_identity(&site, &disk)?;
    ensure!(attach(&site)? == disk, "attaching twice came to two disks");
    site.node.must(format!(
        "head -c 20000000 /dev/urandom >/tmp/file; mkfs.ext4 -q {disk} && mount {disk} /mnt && cp /tmp/file /mnt/file && sync"
    ))?;
    a_disk_in_use_is_not_detached(&site, &disk)?;
    grows_while_it_is_mounted(&site, &disk)?;
    let agent = survives_a_crash(&site, agent, &disk)?;
    site.node.must("cmp /mnt/file /tmp/file && umount /mnt")?;
    let detached = order(&site, "detach")?.ok()?;
    ensure!(detached.trim_end().ends_with(&disk), "detach says {detached:?}");
    site.node.must(format!("! [ -e {disk} ]"))?;
    comes_back_with_its_data_read_only(&site)?;
    goes_while_it_is_used(&site)?;
    site.end(agent)
}

/// The Lun `db` with that size for these initiators.
fn apply(site: &Site, size: &str, initiators: &str) -> Result<()> {
    site.apply("db.yaml", &lun_in("files", "db", size, initiators, ", reclaimPolicy: Delete"))
}

fn order(site: &Site, word: &str) -> Result<Output> {
    site.node.run(format!("{} {word} default/db", agent_binary(&site.bed).display()))
}

/// The disk, which is the last word that attach prints.
fn attach(site: &Site) -> Result<String> {
    let said = order(site, "attach")?.ok()?;
    said.split_whitespace().last().map(str::to_owned).context("attach prints nothing")
}

fn is_known_by_its_identity(site: &Site, disk: &str) -> Result<()> {
    let lun = site.wait_ready("db", true)?;
    let name = disk.trim_start_matches("/dev/");
    let shown = site.node.must(format!("cat /sys/block/{name}/device/wwid"))?;
    ensure!(lun["status"]["wwid"] == shown.trim(), "{disk} is {shown}, the Lun {}", lun["status"]["wwid"]);
    patiently(SOON, || {
        let sessions = site.lun("db")?["status"]["sessions"].clone();
        ensure!(sessions[0]["initiator"] == "node" && sessions[0]["state"] == "Local", "sessions are {sessions}");
        Ok(())
    })
}

fn a_disk_in_use_is_not_detached(site: &Site, disk: &str) -> Result<()> {
    let refused = order(site, "detach")?;
    ensure!(!refused.success(), "a mounted disk was detached");
    ensure!(refused.stderr.contains(&format!("{disk} is in use: unmount")), "detach says {}", refused.stderr);
    site.node.must("cmp /mnt/file /tmp/file").map(drop)
}

fn grows_while_it_is_mounted(site: &Site, disk: &str) -> Result<()> {
    apply(site, "128Mi", "{nodeName: node}")?;
    site.node.wait_for(format!("[ $(blockdev --getsize64 {disk}) = $((128 << 20)) ]"), SOON)?;
    site.node.must(format!("resize2fs {disk} 2>&1 && cmp /mnt/file /tmp/file")).map(drop)
}

/// The agent dies under a verifying writer on its own disk, and the next one goes on.
fn survives_a_crash(site: &Site, agent: Process, disk: &str) -> Result<Process> {
    let fio = format!(
        "fio --name=bed --directory=/mnt --size=16m --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bs=4k --loops=2 {VERIFY}"
    );
    let writer = site.node.spawn("local-writer", GuestCommand::shell(&fio).patience(LONG))?;
    let stat = format!("/sys/block/{}/stat", disk.trim_start_matches("/dev/"));
    site.node.wait_for(format!("read r _ _ _ w _ < {stat}; [ $w -gt 500 ]"), SOON)?;
    site.kill_agent(agent)?;
    let agent = site.start_agent()?;
    site.wait_ready("db", true)?;
    writer.wait()?.ok().context("the writer on the local disk found a fault")?;
    site.node.must("rm /mnt/bed*; ! dmesg | grep -e 'I/O error'")?;
    Ok(agent)
}

fn comes_back_with_its_data_read_only(site: &Site) -> Result<()> {
    apply(site, "128Mi", "{nodeName: node, readOnly: true}")?;
    let disk = attach(site)?;
    site.node.must(format!("mount -o ro,noload {disk} /mnt && cmp /mnt/file /tmp/file && umount /mnt"))?;
    let written = site.node.run(format!("dd if=/dev/zero of={disk} bs=4096 count=1 oflag=direct conv=notrunc"))?;
    ensure!(!written.success(), "a disk with readOnly could be written");
    apply(site, "128Mi", "{nodeName: node}")?;
    site.node
        .wait_for(format!("dd if={disk} of={disk} bs=4096 count=1 oflag=direct conv=notrunc 2>/dev/null"), SOON)
        .map(drop)
}

/// The Lun is deleted under a reader: the reader gets an error, and nothing waits.
fn goes_while_it_is_used(site: &Site) -> Result<()> {
    let disk = attach(site)?;
    let reader = site.node.spawn(
        "local-reader",
        GuestCommand::shell(&format!("while dd if={disk} of=/dev/null bs=4k iflag=direct 2>/dev/null; do :; done")),
    )?;
    site.withdraw("db.yaml")?;
    site.wait_unexported(SOON)?;
    reader.wait()?;
    site.node.must(format!("! [ -e {disk} ]; rm /tmp/file")).map(drop)
}
