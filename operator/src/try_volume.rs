//! What `helm test` runs in a pod with a volume: it writes, reads again what the Lun then holds, and looks whether the disk
//! below the mount is the Lun's own.
//!
//! It reads past the page cache, or it would only see its own memory again. What is written follows from the claim's
//! UID: an older volume's bytes are not taken for it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, Client, ResourceExt};
use lunette_api::Lun;
use sha2::{Digest, Sha256};

use crate::args::TryVolumeArgs;

/// Bytes that are written.
const LENGTH: usize = 8 << 20;
/// The file that they are written to.
const FILE: &str = "lunette-test";
const MOUNTS: &str = "/proc/self/mountinfo";
const BLOCK_DEVICES: &str = "/sys/class/block";

/// Memory that a read past the page cache may go to: aligned to any disk's blocks.
#[repr(C, align(4096))]
struct Aligned([u8; 1 << 16]);

/// Tries the volume.
///
/// # Errors
/// When the volume is not the claim's Lun, or does not keep what is written to it.
pub fn main(args: &TryVolumeArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (uid, wwid) = runtime.block_on(expected(args))?;
    let mounts = std::fs::read_to_string(MOUNTS).with_context(|| format!("cannot read {MOUNTS}"))?;
    is_the_luns(&mounts, &args.path, Path::new(BLOCK_DEVICES), &wwid)?;
    let (file, content) = (args.path.join(FILE), content(&uid));
    write(&file, &content)?;
    let found = read(&file)?;
    ensure!(found == content, "{} does not hold what was written to it", file.display());
    tracing::info!(bytes = LENGTH, wwid, "the volume is the Lun's, and keeps what is written to it");
    Ok(())
}

/// The claim's UID, and the WWID of the Lun behind it.
async fn expected(args: &TryVolumeArgs) -> anyhow::Result<(String, String)> {
    let client = Client::try_default()
        .await
        .context("no cluster to talk to: set KUBECONFIG, or run in a pod with a ServiceAccount")?;
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &args.namespace);
    let claim = claims.get(&args.claim).await.with_context(|| format!("cannot read claim {}", args.claim))?;
    let uid = claim.uid().unwrap_or_default();
    let Some(volume) = claim.spec.and_then(|spec| spec.volume_name) else {
        bail!("claim {} is bound to no volume", args.claim);
    };
    // The provisioner's names are names for Luns as they are.
    let luns = Api::<Lun>::namespaced(client, &args.namespace);
    let lun = luns.get(&volume).await.with_context(|| format!("cannot read Lun {volume}"))?;
    let wwid = lun.status.and_then(|status| status.wwid);
    Ok((uid, wwid.with_context(|| format!("Lun {volume} has no status.wwid"))?))
}

/// That what is mounted at `path` lies on the disk with this WWID.
fn is_the_luns(mounts: &str, path: &Path, devices: &Path, wwid: &str) -> anyhow::Result<()> {
    let source = source_of(mounts, path).with_context(|| format!("nothing is mounted at {}", path.display()))?;
    let Some(device) = source.strip_prefix("/dev/") else {
        bail!("{source}, and no disk, is mounted at {}", path.display());
    };
    let attribute = devices.join(device).join("device/wwid");
    let found = std::fs::read_to_string(&attribute)
        .with_context(|| format!("{source} is no SCSI disk: cannot read {}", attribute.display()))?;
    let found = found.trim();
    ensure!(
        found == wwid,
        "the wrong disk: {source} at {} has the WWID {found}, the Lun has {wwid}. Do not use this volume, and report it",
        path.display()
    );
    Ok(())
}

/// What is mounted last at `path`: the field after the hyphen and the type, proc_pid_mountinfo(5).
fn source_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let at = |line: &&str| line.split(' ').nth(4).is_some_and(|point| Path::new(point) == path);
    mounts.lines().rev().find(at)?.split_once(" - ")?.1.split(' ').nth(1)
}

/// Bytes that no file system keeps short, other ones for each UID.
fn content(uid: &str) -> Vec<u8> {
    let blocks = (0..LENGTH / 32).flat_map(|block: usize| Sha256::digest(format!("{uid} {block}")));
    blocks.collect()
}

fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut writing = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
    let written = writing.write_all(content).and_then(|()| writing.sync_all());
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let opened = File::options().read(true).custom_flags(libc::O_DIRECT).open(file);
    let mut reading = opened.with_context(|| format!("cannot open {} past the page cache", file.display()))?;
    let (mut found, mut piece) = (Vec::with_capacity(LENGTH), Box::new(Aligned([0; 1 << 16])));
    loop {
        match reading.read(&mut piece.0).with_context(|| format!("cannot read {}", file.display()))? {
            0 => return Ok(found),
            length => found.extend_from_slice(&piece.0[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTED: &str = "\
22 1 0:21 / / rw - overlay overlay rw,lowerdir=/a
40 22 8:16 /volume /data rw,relatime shared:3 - ext4 /dev/sdb rw
41 22 8:32 /volume /other rw,relatime - ext4 /dev/sdc rw
42 22 0:30 / /tmp rw - tmpfs tmpfs rw
";

    #[test]
    fn a_mount_is_found_by_its_point_alone() {
        assert_eq!(source_of(MOUNTED, Path::new("/data")), Some("/dev/sdb"));
        assert_eq!(source_of(MOUNTED, Path::new("/tmp")), Some("tmpfs"));
        assert_eq!(source_of(MOUNTED, Path::new("/dat")), None);
        assert_eq!(source_of("", Path::new("/data")), None);
        let over = format!("{MOUNTED}43 22 8:48 / /data rw - ext4 /dev/sdd rw\n");
        assert_eq!(source_of(&over, Path::new("/data")), Some("/dev/sdd"));
    }

    #[test]
    fn a_disk_of_another_wwid_is_the_wrong_one() {
        let devices = std::env::temp_dir().join(format!("try-volume-{}", std::process::id()));
        std::fs::create_dir_all(devices.join("sdb/device")).expect("a folder");
        std::fs::write(devices.join("sdb/device/wwid"), "naa.1\n").expect("a file");
        let check = |path: &str, wwid| is_the_luns(MOUNTED, Path::new(path), &devices, wwid);
        check("/data", "naa.1").expect("it is the right one");
        let said = |path, wwid| check(path, wwid).expect_err("it is not").to_string();
        assert!(said("/data", "naa.2").contains("the wrong disk: /dev/sdb at /data has the WWID naa.1"));
        assert!(said("/other", "naa.1").contains("/dev/sdc is no SCSI disk"));
        assert!(said("/tmp", "naa.1").contains("tmpfs, and no disk, is mounted at /tmp"));
        assert!(said("/none", "naa.1").contains("nothing is mounted at /none"));
        std::fs::remove_dir_all(&devices).expect("removing it");
    }

    #[test]
    fn what_was_written_is_read_again_and_nothing_else_is_taken_for_it() {
        // Beside the build: /tmp may be in memory, which cannot be read past the page cache.
        let file = std::env::current_exe().expect("a program").with_extension("try-volume");
        let mine = content("a");
        assert_eq!(mine.len(), LENGTH);
        write(&file, &mine).expect("it is writable");
        let found = read(&file).expect("it is there");
        assert!(found == mine && found != content("b"));
        std::fs::remove_file(&file).expect("removing it");
    }
}
