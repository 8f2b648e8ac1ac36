//! Data at depth 32, on both block sizes, under fio and under file systems; and discards that give space back.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::initiator::VERIFY;
use super::manifest::pool;
use super::site::{POOL, Site};

pub fn fio_verifies_at_depth_32(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let errors = site.errors_so_far()?;
    for (name, block_size) in [("small", 512), ("large", 4096)] {
        let (lun, disk) = site.attach(name, "512Mi", &format!(", blockSize: {block_size}"))?;
        let shown = site.client.must(format!("blockdev --getss {disk}"))?;
        ensure!(shown == block_size.to_string(), "the disk shows blocks of {shown} bytes, not {block_size}");
        site.fio(&disk, &format!("--rw=randwrite --bs=4k --size=4M {VERIFY}"))?;
        site.fio(&disk, &format!("--rw=randwrite --bsrange={block_size}-256k --blockalign={block_size} --size=12M --verify_interval={block_size} {VERIFY}"))?;
        a_discard_gives_space_back(&site, &lun, &disk)?;
        file_systems_stand(&site, &lun, &disk)?;
    }
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

fn a_discard_gives_space_back(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    ensure!(used(site, lun)? > 2 << 20, "what fio wrote takes no space");
    site.client.must(format!("blkdiscard {disk}"))?;
    let left = used(site, lun)?;
    ensure!(left < 1 << 20, "{left} bytes are still in use after everything was discarded");
    let read = site.client.must(format!("cmp -n 1M {disk} /dev/zero && echo zeroes"))?;
    ensure!(read == "zeroes", "what was discarded does not read as zeroes: {read}");
    Ok(())
}

fn file_systems_stand(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    for (make, check) in [("mkfs.ext4 -q -F", "e2fsck -fn"), ("mkfs.xfs -q -f", "xfs_repair -n")] {
        site.client.must(format!(
            "set -e; {make} {disk}; mount {disk} /mnt; head -c 24M /dev/urandom > /mnt/data; sync /mnt/data; \
             sum=$(sha256sum < /mnt/data); umount /mnt; mount {disk} /mnt; [ \"$(sha256sum < /mnt/data)\" = \"$sum\" ]"
        ))?;
        let full = used(site, lun)?;
        site.client.must("rm /mnt/data && sync && fstrim /mnt && sync")?;
        let trimmed = used(site, lun)?;
        ensure!(trimmed + (20 << 20) < full, "after fstrim {trimmed} of {full} bytes are in use, with 24 MiB removed");
        site.client.must(format!("umount /mnt && {check} {disk} 2>&1"))?;
    }
    Ok(())
}

/// Bytes that the volume's data take in the pool.
fn used(site: &Site, lun: &Value) -> Result<u64> {
    let uid = lun["metadata"]["uid"].as_str().context("no UID")?;
    let blocks = site.node.must(format!("sync; stat -c %b {POOL}/{uid}/data"))?;
    Ok(blocks.parse::<u64>().with_context(|| format!("{blocks:?} is no number"))? * 512)
}
