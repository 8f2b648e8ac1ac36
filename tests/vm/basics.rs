//! A LUN's whole life, as a client sees it.

use anyhow::ensure;
use lunette_bed::{Context, Result};

use super::manifest::{lun, pool};
use super::site::{POOL, SOON, Site};

pub fn a_lun_comes_grows_and_goes(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let (db, disk) = site.attach("db", "64Mi", ", reclaimPolicy: Delete")?;
    site.client
        .must(format!("mkfs.ext4 -q {disk} && mount {disk} /mnt && echo kept > /mnt/file && sync && umount /mnt"))?;
    grows_online(&site, &disk)?;
    site.logout(&db)?;
    site.withdraw("db.yaml")?;
    site.wait_emptied(POOL, SOON)?;
    site.wait_unexported(SOON)?;
    ensure!(site.luns()?.is_empty(), "status still shows a Lun that is gone");
    site.end(agent)
}

fn grows_online(site: &Site, disk: &str) -> Result<()> {
    let client = site.client.initiator_name();
    site.apply("db.yaml", &lun("db", "128Mi", &client, ", reclaimPolicy: Delete"))?;
    let rescan = format!("iscsiadm -m session -R >/dev/null; [ $(blockdev --getsize64 {disk}) = $((128 << 20)) ]");
    site.client.wait_for(rescan, SOON)?;
    site.client.must(format!("mount {disk} /mnt && grep -q kept /mnt/file && umount /mnt")).map(drop)
}
