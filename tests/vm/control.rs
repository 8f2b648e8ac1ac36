//! What a LUN tells an initiator of itself, asked with the tools that people use for that (sg3-utils).

use anyhow::ensure;
use lunette_bed::{Context, Result};

use super::manifest::pool;
use super::site::{SOON, Site};

pub fn an_initiator_is_told_of_ports_pages_and_copies(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let (db, disk) = site.attach("db", "64Mi", ", reclaimPolicy: Delete")?;
    port_group_is_the_kernels(&site, &disk)?;
    every_page_is_understood(&site, &disk)?;
    a_copy_stays_within_the_unit(&site, &disk)?;
    site.logout(&db)?;
    site.withdraw("db.yaml")?;
    site.wait_unexported(SOON)?;
    site.end(agent)
}

/// The group, its state and the port's number are those of configfs.
fn port_group_is_the_kernels(site: &Site, disk: &str) -> Result<()> {
    let group = "/sys/kernel/config/target/core/user_*/lunette-*/alua/default_tg_pt_gp";
    let id = site.node.must(format!("printf 0x%x $(cat {group}/tg_pt_gp_id)"))?;
    let port = site
        .node
        .must("printf 0x%02x $(cat /sys/kernel/config/target/iscsi/*/tpgt_1/lun/lun_0/statistics/scsi_port/indx)")?;
    // The agent tells the LUN of its ports once the target stands.
    site.client.wait_for(format!("sg_rtpg {disk}"), SOON)?;
    let told = site.client.must(format!("sg_rtpg --decode {disk}"))?;
    for expected in [
        format!("target port group id : {id} ,"),
        "access state : 0x00".to_owned(),
        "target port count : 01".to_owned(),
    ] {
        ensure!(told.contains(&expected), "no {expected:?} in\n{told}");
    }
    ensure!(told.trim_end().ends_with(&port), "the port is {port}, not as in\n{told}");
    let identity = site.client.must(format!("sg_vpd --page=di {disk}"))?;
    for expected in [format!("Relative target port: {port}").replace("0x0", "0x"), format!("Target port group: {id}")] {
        ensure!(identity.contains(&expected), "no {expected:?} in\n{identity}");
    }
    site.client.must(format!("sg_rtpg --extended {disk}"))?;
    // Its exit status is 0 whatever the LUN says.
    let offline = site.client.run(format!("sg_stpg -vv --offline --tp=$(({id})) {disk} 2>&1"))?;
    let refused = offline.printed().contains("Hardware Error");
    ensure!(refused, "an initiator took the port offline:\n{}", offline.printed());
    Ok(())
}

fn every_page_is_understood(site: &Site, disk: &str) -> Result<()> {
    for page in ["sv", "sn", "di", "ei", "mpp", "sp", "tpc", "bl", "bdc", "lbpv", "ble"] {
        site.client.must(format!("sg_vpd --page={page} {disk}"))?;
    }
    for command in ["sg_inq", "sg_modes --all", "sg_modes --six --all --page=0x3f,0xff", "sg_logs --all", "sg_opcodes"]
    {
        site.client.must(format!("{command} {disk}"))?;
    }
    let copier = site.client.must(format!("sg_copy_results --params {disk}"))?;
    ensure!(copier.contains("Maximum target descriptor count: 4"), "other operating parameters:\n{copier}");
    site.client.must(format!("sg_senddiag --test {disk} && sg_opcodes --tmf {disk}")).map(drop)
}

fn a_copy_stays_within_the_unit(site: &Site, disk: &str) -> Result<()> {
    let sum = |skip: u32| format!("dd if={disk} bs=1M skip={skip} count=2 iflag=direct 2>/dev/null | md5sum");
    site.client.must(format!("dd if=/dev/urandom of={disk} bs=1M count=2 oflag=direct 2>/dev/null"))?;
    // It looks for the name that udev would have made.
    site.client
        .must(format!("mkdir -p /dev/block && ln -s {disk} /dev/block/$(lsblk -dno MAJ:MIN {disk} | tr -d ' ')"))?;
    site.client.must(format!("sg_xcopy if={disk} of={disk} bs=512 seek=65536 count=4096 bpt=1024"))?;
    site.client.must(format!("[ \"$({})\" = \"$({})\" ]", sum(0), sum(32))).map(drop)
}
