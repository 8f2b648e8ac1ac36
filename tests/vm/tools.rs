//! The tools that people have, and what they make of a LUN: sg3-utils and ddpt, Linux's block layer, its file systems.
//!
//! Each step looks at bytes or at what was said, not only at an exit status.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result};
use serde_json::Value;

use super::manifest::pool;
use super::site::{POOL, Site};

/// Exit status of sg3-utils for ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE (`SG_LIB_CAT_INVALID_OP`).
const INVALID_OPCODE: i32 = 9;
/// For MISCOMPARE (`SG_LIB_CAT_MISCOMPARE`).
const MISCOMPARE: i32 = 14;
/// For RESERVATION CONFLICT (`SG_LIB_CAT_RES_CONFLICT`).
const RESERVATION_CONFLICT: i32 = 24;
/// Making file systems, and filling them, under emulation.
const LONG: Duration = Duration::from_secs(120);

pub fn tools_and_file_systems_find_what_they_expect(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let (lun, disk) = site.attach("disk", "512Mi", ", reclaimPolicy: Delete")?;
    tools_read_what_the_lun_says(&site, &lun, &disk)?;
    tools_write_and_compare(&site, &disk)?;
    tools_unmap_and_sanitize(&site, &disk)?;
    tools_copy(&site, &disk)?;
    tools_reserve(&site, &disk)?;
    linux_gives_space_back(&site, &disk)?;
    for make in ["mkfs.ext4 -q -F", "mkfs.xfs -q -f", "mkfs.btrfs -q -f"] {
        a_new_file_system_discards_what_was_there(&site, &disk, make)?;
    }
    btrfs_gives_space_back(&site, &disk)?;
    site.logout(&lun)?;
    site.end(agent)
}

/// Runs a command of the client's; all that it prints has to contain these texts.
fn tells(site: &Site, command: &str, expected: &[&str]) -> Result<()> {
    let told = site.client.must(command)?;
    let missing: Vec<_> = expected.iter().filter(|text| !told.contains(**text)).collect();
    ensure!(missing.is_empty(), "{command} does not tell {missing:?}:\n{told}");
    Ok(())
}

/// Runs a command of the client's; it has to end with this status.
fn ends_with(site: &Site, command: &str, status: i32) -> Result<()> {
    let output = site.client.run(command)?;
    ensure!(output.status == status, "{command} ended with {} and not {status}:\n{}", output.status, output.printed());
    Ok(())
}

fn tools_read_what_the_lun_says(site: &Site, lun: &Value, disk: &str) -> Result<()> {
    let naa = lun["status"]["wwid"].as_str().and_then(|wwid| wwid.strip_prefix("naa.")).context("no WWID")?;
    tells(site, &format!("sg_inq {disk}"), &["Vendor identification: LUNETTE", "VIRTUAL DISK", "3PC=1", "CmdQue=1"])?;
    let pages = [
        &format!("0x{naa}"),
        "Maximum compare and write length: 32 blocks",
        "Maximum transfer length: 4096 blocks",
        "Non-rotating medium",
        "(LBPU): 1",
        "(LBPRZ): 1",
        "Threshold exponent: 11",
    ];
    tells(site, &format!("sg_vpd -a {disk}"), &pages)?;
    tells(site, &format!("sg_modes --all {disk}"), &["Read-Write error recovery", "Caching", "Control"])?;
    let commands =
        ["Compare and write", "Write atomic(16)", "Sanitize, overwrite", "Populate token", "Read buffer(16)"];
    tells(site, &format!("sg_opcodes --rctd {disk}"), &commands)?;
    tells(site, &format!("sg_readcap --long {disk}"), &["Last LBA=1048575", "lbpme=1", "lbprz=1"])?;
    // There are no zones.
    ends_with(site, &format!("sg_rep_zones {disk}"), INVALID_OPCODE)
}

/// The bytes that a disk has there are those of a file.
fn holds(site: &Site, disk: &str, kib: u32, file: &str) -> Result<()> {
    let read = format!("dd if={disk} bs=4k skip={} count=1 iflag=direct 2>/dev/null", kib / 4);
    site.client.must(format!("{read} | cmp -n 4096 - {file}")).map(drop)
}

fn tools_write_and_compare(site: &Site, disk: &str) -> Result<()> {
    let must = |line: &str| site.client.must(line.replace("DISK", disk)).map(drop);
    must("cd /tmp && head -c 4096 /dev/zero | tr '\\0' A >a && head -c 4096 /dev/zero | tr '\\0' B >b && cat a b >ab")?;
    must("dd if=/tmp/a of=DISK bs=4096 oflag=direct 2>/dev/null")?;
    let swap = format!("sg_compare_and_write --in=/tmp/ab --lba=0 --num=8 --xferlen=8192 {disk}");
    site.client.must(swap.as_str())?;
    holds(site, disk, 0, "/tmp/b")?;
    ends_with(site, &format!("{swap} --quiet"), MISCOMPARE)?;
    must("sg_verify --lba=0 --count=8 --ndo=4096 --in=/tmp/b DISK")?;
    ends_with(site, &format!("sg_verify --quiet --lba=0 --count=8 --ndo=4096 --in=/tmp/a {disk}"), MISCOMPARE)?;
    must("head -c 512 /tmp/a >/tmp/block && sg_write_same --16 --in=/tmp/block --lba=8 --num=8 DISK")?;
    holds(site, disk, 4, "/tmp/a")?;
    // sg_read_buffer 1.46 asks for no bytes, whatever --length says.
    must(
        "sg_write_buffer --mode=echo --in=/tmp/block DISK && \
         sg_raw --request=512 --outfile=/tmp/echo DISK 3c 0a 00 00 00 00 00 02 00 00 2>/dev/null && \
         cmp /tmp/echo /tmp/block",
    )
}

fn tools_unmap_and_sanitize(site: &Site, disk: &str) -> Result<()> {
    site.client.must(format!("sg_unmap --force --lba=8 --num=8 {disk}"))?;
    holds(site, disk, 4, "/dev/zero")?;
    tells(site, &format!("sg_get_lba_status --lba=8 {disk}"), &["deallocated"])?;
    tells(site, &format!("sg_logs --page=lbp {disk}"), &["Available LBA mapping", "Used LBA mapping"])?;
    site.client.must(format!("sg_sanitize --block --quick --wait {disk}"))?;
    holds(site, disk, 0, "/dev/zero")
}

/// A copy that the LUN carries out itself. By token ddpt 0.97 cannot ask for one: `--odx` writes the number of blocks a byte too
/// far to the left into POPULATE TOKEN's range, 256 times what it was told, which is beyond the LUN's end.
fn tools_copy(site: &Site, disk: &str) -> Result<()> {
    let sum = |skip: u32| format!("$(dd if={disk} bs=1M skip={skip} count=4 iflag=direct 2>/dev/null | md5sum)");
    site.client.must(format!("dd if=/dev/urandom of={disk} bs=1M count=4 oflag=direct 2>/dev/null"))?;
    site.client.must(format!("ddpt --xcopy if={disk} of={disk} bs=512 count=8192 seek=65536"))?;
    site.client.must(format!("[ \"{}\" = \"{}\" ]", sum(0), sum(32))).map(drop)
}

/// A reservation is made, told, and asked for with the wrong key; QEMU, as another initiator, feels one (see `qemu`).
fn tools_reserve(site: &Site, disk: &str) -> Result<()> {
    let out = |what: &str| format!("sg_persist --out {what} --prout-type=1 {disk}");
    site.client.must(out("--register --param-sark=abc123"))?;
    tells(site, &format!("sg_persist --in --read-keys {disk}"), &["0xabc123"])?;
    site.client.must(out("--reserve --param-rk=abc123"))?;
    let reserved = ["Key=0xabc123", "Write Exclusive"];
    tells(site, &format!("sg_persist --in --read-reservation {disk}"), &reserved)?;
    ends_with(site, &out("--release --param-rk=bad"), RESERVATION_CONFLICT)?;
    site.client.must(out("--release --param-rk=abc123"))?;
    site.client.must(out("--register --param-rk=abc123 --param-sark=0"))?;
    tells(site, &format!("sg_persist --in --read-keys {disk}"), &["NO registered reservation keys"])
}

/// KiB that the Lun's volume occupies.
fn occupied(site: &Site) -> Result<u64> {
    Ok(site.node.must(format!("sync -f {POOL}; du -sk {POOL} | cut -f1"))?.trim().parse()?)
}

fn linux_gives_space_back(site: &Site, disk: &str) -> Result<()> {
    site.client.must(format!("dd if=/dev/urandom of={disk} bs=1M count=32 oflag=direct 2>/dev/null"))?;
    let full = occupied(site)?;
    site.client.must(format!("blkdiscard {disk} && cmp -n 32M {disk} /dev/zero"))?;
    let empty = occupied(site)?;
    ensure!(full >= 32 << 10 && empty < 4 << 10, "with 32 MiB written {full} KiB were occupied, after all {empty}");
    Ok(())
}

/// At 201 MiB none of these file systems of 512 MiB has anything of its own.
fn a_new_file_system_discards_what_was_there(site: &Site, disk: &str, make: &str) -> Result<()> {
    const MIB: u32 = 201;
    let patient = |line: String| site.client.must(GuestCommand::shell(&line).patience(LONG)).map(drop);
    patient(format!("dd if=/dev/urandom of={disk} bs=1M seek={MIB} count=1 oflag=direct 2>/dev/null"))?;
    patient(format!("{make} {disk}"))?;
    holds(site, disk, MIB << 10, "/dev/zero").context(make.to_owned())?;
    tells(site, &format!("sg_get_lba_status --lba={} {disk}", MIB << 11), &["deallocated"]).context(make.to_owned())
}

/// On the file system that was made last; ext4's and XFS's fstrim are tried on every kernel (see `verify`).
fn btrfs_gives_space_back(site: &Site, disk: &str) -> Result<()> {
    let patient = |line: String| site.client.must(GuestCommand::shell(&line).patience(LONG)).map(drop);
    patient(format!("mkdir -p /mnt/fs && mount -t btrfs {disk} /mnt/fs"))?;
    patient(
        "dd if=/dev/urandom of=/mnt/fs/file bs=1M count=32 2>/dev/null && md5sum /mnt/fs/file >/tmp/sum".to_owned(),
    )?;
    patient(format!("umount /mnt/fs && mount {disk} /mnt/fs && md5sum -c --quiet /tmp/sum"))?;
    let full = occupied(site)?;
    patient("rm /mnt/fs/file && sync && fstrim /mnt/fs && umount /mnt/fs".to_owned())?;
    let empty = occupied(site)?;
    ensure!(empty + (28 << 10) < full, "a file of 32 MiB was removed, and of {full} KiB {empty} are left");
    Ok(())
}
