//! A LUN's whole life, as a client sees it.

use anyhow::ensure;
use lunette_bed::{Context, Result};

use super::site::{SOON, Site, lun, pool};

pub fn a_lun_comes_grows_and_goes(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let client = site.client.initiator_name();
    site.apply("pool.yaml", &pool())?;
    site.apply("db.yaml", &lun("db", "64Mi", &client, ", reclaimPolicy: Delete"))?;
    let agent = site.start_agent()?;
    let db = site.wait_ready("db", true)?;
    let disk = site.login(&db, None)?;
    site.client
        .must(format!("mkfs.ext4 -q {disk} && mount {disk} /mnt && echo kept > /mnt/file && sync && umount /mnt"))?;
    site.apply("db.yaml", &lun("db", "128Mi", &client, ", reclaimPolicy: Delete"))?;
    site.client.wait_for(
        format!("iscsiadm -m session -R >/dev/null; [ $(blockdev --getsize64 {disk}) = $((128 << 20)) ]"),
        SOON,
    )?;
    site.client.must(format!("mount {disk} /mnt && grep -q kept /mnt/file && umount /mnt"))?;
    site.logout(&db)?;
    site.withdraw("db.yaml")?;
    site.node.wait_for(format!("[ -z \"$(ls -A {})\" ]", super::site::POOL), SOON)?;
    site.nothing_is_left(true)?;
    ensure!(site.status()?["items"] == serde_json::json!([]));
    drop(agent);
    site.kernels_are_clean()
}
