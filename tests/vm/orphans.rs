//! What is ours and wanted by nobody goes; what is not ours stays, whoever looks at it; and data stay unless their
//! author said otherwise.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Process, Result};
use serde_json::Value;

use super::initiator::target;
use super::manifest::{lun, pool};
use super::site::{MANIFESTS, POOL, SOON, Site, condition, patiently};

/// A target that somebody else made, on the portal that ours use too.
const FOREIGN: &str = "iqn.2026-01.bed.test:foreign";
/// Its part of configfs, name and content, without what counts.
const FOREIGN_TREE: &str = "cd /sys/kernel/config/target; find core/rd_mcp_77 core/user_77 iscsi/iqn.2026-01.bed.test:foreign \
     -not -path '*statistics*' -not -name info | sort | tee /tmp/foreign; xargs grep -Hs '' </tmp/foreign; true";

pub fn an_orphan_is_removed_and_a_foreign_target_is_not(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    make_foreign_target(&site)?;
    let foreign = log_in_to_foreign(&site)?;
    let tree = site.node.must(FOREIGN_TREE)?;
    site.client.must(format!("yes foreign | head -c 65536 | dd of={foreign} bs=64k oflag=direct iflag=fullblock"))?;

    let agent = site.start_agent()?;
    let (db, disk) = site.attach("db", "16Mi", "")?;
    site.client.must(format!("yes ours | head -c 65536 | dd of={disk} bs=64k oflag=direct iflag=fullblock"))?;
    site.logout(&db)?;
    a_broken_edit_changes_nothing(&site, &db)?;
    let agent = a_broken_file_keeps_orphans(&site, agent, &db)?;
    let agent = an_orphan_is_removed(&site, agent)?;
    data_come_back(&site, &db)?;
    data_go_if_told_to(&site)?;

    site.client.must(format!("yes foreign | head -c 65536 | cmp - {foreign} -n 65536"))?;
    let now = site.node.must(FOREIGN_TREE)?;
    ensure!(now == tree, "the foreign target was touched; before:\n{tree}\nnow:\n{now}");
    site.end(agent)?;
    remove_foreign_target(&site)
}

fn make_foreign_target(site: &Site) -> Result<()> {
    let script = format!(
        "set -e; modprobe -a target_core_mod iscsi_target_mod; cd /sys/kernel/config/target; mkdir -p iscsi
         mkdir -p core/rd_mcp_77/other core/user_77; cd core/rd_mcp_77/other; echo rd_pages=1024 > control; echo 1 > enable
         mkdir -p /sys/kernel/config/target/iscsi/{FOREIGN}/tpgt_1; cd /sys/kernel/config/target/iscsi/{FOREIGN}/tpgt_1
         mkdir lun/lun_0 np/{} acls/{}; ln -s /sys/kernel/config/target/core/rd_mcp_77/other lun/lun_0/
         mkdir acls/{1}/lun_0; ln -s lun/lun_0 acls/{1}/lun_0/; echo 0 > attrib/authentication; echo 1 > enable",
        site.portal(),
        site.client.initiator_name()
    );
    site.node.must(script).map(drop)
}

fn log_in_to_foreign(site: &Site) -> Result<String> {
    let record = format!("iscsiadm -m node -T {FOREIGN} -p {}", site.portal());
    site.client.must(format!("({record} -o new && {record} --login) >/dev/null"))?;
    site.client.wait_for(
        "for d in /sys/block/sd*; do grep -q RAMDISK $d/device/model && echo /dev/${d##*/}; done | grep /dev/",
        SOON,
    )
}

fn remove_foreign_target(site: &Site) -> Result<()> {
    site.node
        .must(format!(
            "set -e; cd /sys/kernel/config/target/iscsi/{FOREIGN}; echo 0 > tpgt_1/enable; rm tpgt_1/acls/*/lun_0/lun_0
             rmdir tpgt_1/acls/*/lun_0 tpgt_1/acls/*; rm tpgt_1/lun/lun_0/other; rmdir tpgt_1/lun/lun_0 tpgt_1/np/* tpgt_1; cd ..; rmdir {FOREIGN}
             cd ../core; rmdir rd_mcp_77/other rd_mcp_77 user_77"
        ))
        .map(drop)
}

/// A manifest that cannot be understood any more means what it meant before.
fn a_broken_edit_changes_nothing(site: &Site, db: &Value) -> Result<()> {
    site.apply("db.yaml", "kind: [Lun\n")?;
    let notice = patiently(SOON, || {
        let (_, notices) = site.status_and_notices()?;
        ensure!(notices.contains("db.yaml"), "status says nothing of the broken file:\n{notices}");
        Ok(notices)
    })?;
    ensure!(notice.contains("; what it said before stays in force"), "the notice is {notice:?}");
    ensure!(condition(&site.lun("db")?, "Ready")["status"] == "True", "a broken edit made the Lun unready");
    site.login(db, None)?;
    site.logout(db)
}

/// An agent that starts beside a file that is a riddle takes no export for an orphan: it might be in that file.
fn a_broken_file_keeps_orphans(site: &Site, agent: Process, db: &Value) -> Result<Process> {
    site.kill_agent(agent)?;
    let agent = site.start_agent()?;
    patiently(SOON, || site.luns())?;
    std::thread::sleep(Duration::from_secs(3));
    let exports = site.exports()?;
    ensure!(exports.contains(target(db)?), "an export was removed while a file could not be read:\n{exports}");
    Ok(agent)
}

fn an_orphan_is_removed(site: &Site, agent: Process) -> Result<Process> {
    site.kill_agent(agent)?;
    site.withdraw("db.yaml")?;
    let exports = site.exports()?;
    ensure!(!exports.is_empty(), "nothing was left to remove");
    let agent = site.start_agent()?;
    site.wait_unexported(SOON)?;
    let data = site.volumes(POOL)?;
    ensure!(data.lines().count() == 1, "the data of an orphan should stay; the pool holds {data:?}");
    Ok(agent)
}

/// The manifest comes back: the same LUN with the same data.
fn data_come_back(site: &Site, db: &Value) -> Result<()> {
    let (again, disk) = site.attach("db", "16Mi", "")?;
    ensure!(again["status"]["wwid"] == db["status"]["wwid"], "a Lun that came back has another identity");
    site.client.must(format!("yes ours | head -c 65536 | cmp - {disk} -n 65536"))?;
    site.logout(&again)?;
    site.withdraw("db.yaml")?;
    site.wait_unexported(SOON)?;
    let data = site.volumes(POOL)?;
    ensure!(data.lines().count() == 1, "Retain should keep the data; the pool holds {data:?}");
    Ok(())
}

fn data_go_if_told_to(site: &Site) -> Result<()> {
    let manifest = lun("db", "16Mi", &site.client.initiator_name(), ", reclaimPolicy: Delete");
    site.apply("db.yaml", &manifest)?;
    let before = site.wait_ready("db", true)?;
    site.withdraw("db.yaml")?;
    site.wait_emptied(POOL, SOON).context("reclaimPolicy Delete should remove the data")?;
    site.apply("db.yaml", &manifest)?;
    let after = site.wait_ready("db", true).context("a name used again")?;
    ensure!(
        after["status"]["wwid"] != before["status"]["wwid"],
        "another Lun has the identity of one that was deleted"
    );
    site.node.must(format!("rm {MANIFESTS}/db.yaml")).map(drop)
}
