//! What is not as it should be ends in a refusal, and nothing is written: foreign data, another disk where the volume
//! was, a second disk that says it is the volume's, another volume's publish context, a node that was let in once.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use lunette_bed::{Context, GuestCommand, Result};
use tonic::{Code, Status};

use super::super::operator::Operator;
use super::super::site::{Site, patiently};
use super::Driver;
use super::foreign::{LIO, backstore, is_untouched};
use super::place::{Kubelet, Seen, Volume};

const SIZE: i64 = 16 << 20;

pub fn a_volume_that_is_not_what_it_should_be_is_refused(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let kubelet = Kubelet::of(&site, "real-node")?;
    let driver = Driver::start(&site)?;
    let make = |name: &str, seen| Volume::create(&driver, name, seen, SIZE, "real-node");
    let (files, device) = (make("pvc-files", Seen::As("ext4"))?, make("pvc-device", Seen::Device)?);
    let (of_files, of_device) = (files.attach(&driver, "real-node")?, device.attach(&driver, "real-node")?);
    foreign_data_are_kept(&kubelet, &files, &of_files)?;
    another_volumes_context_is_refused(&kubelet, &files, &of_device)?;
    another_disk_in_its_place_is_refused(&kubelet, (&files, &of_files), (&device, &of_device))?;
    a_disk_of_the_same_identity_is_not_taken_for_it(&kubelet, &files, &of_files)?;
    a_node_that_was_let_in_once_is_refused(&driver, &kubelet, &files, &of_files)?;
    kubelet.node.vm.dmesg_must_be_clean()
}

/// That the call was refused so, with these words.
pub fn refused(outcome: Result<(), Status>, code: Code, words: &str) -> Result<()> {
    match outcome {
        Err(status) if status.code() == code && status.message().contains(words) => Ok(()),
        other => anyhow::bail!("not refused with {code:?} and {words:?}: {other:?}"),
    }
}

/// Data without a signature, at the far end of the disk, and a signature that is none of ours.
fn foreign_data_are_kept(kubelet: &Kubelet, volume: &Volume, context: &HashMap<String, String>) -> Result<()> {
    let vm = &kubelet.node.vm;
    let last = SIZE / 4096 - 1;
    for (script, found) in [
        (format!("head -c 4096 /dev/urandom | dd of=DISK bs=4096 seek={last} status=none"), "data without a signature"),
        ("mkswap DISK >/dev/null".to_owned(), "swap"),
        ("printf 'LUKS\\272\\276\\000\\001' | dd of=DISK status=none".to_owned(), "crypto_LUKS"),
    ] {
        let disk = kubelet.order("attach", volume)?;
        vm.must(format!("head -c {SIZE} /dev/zero >{disk}; {}", script.replace("DISK", &disk)))?;
        let before = vm.must(format!("sync; sha256sum <{disk}"))?;
        kubelet.order("detach", volume)?;
        refused(kubelet.stage(volume, context)?, Code::FailedPrecondition, found)?;
        kubelet.is_clean_of(volume)?;
        let disk = kubelet.order("attach", volume)?;
        ensure!(vm.must(format!("sha256sum <{disk}"))? == before, "something was written over {found}");
        vm.must(format!("head -c {SIZE} /dev/zero >{disk} && sync"))?;
        kubelet.order("detach", volume)?;
    }
    Ok(())
}

fn another_volumes_context_is_refused(
    kubelet: &Kubelet,
    volume: &Volume,
    others: &HashMap<String, String>,
) -> Result<()> {
    refused(kubelet.stage(volume, others)?, Code::InvalidArgument, "the volume's UID is")?;
    let mut forged = others.clone();
    forged.insert("wwid".to_owned(), format!("naa.{}", "6".repeat(32)));
    refused(kubelet.stage(volume, &forged)?, Code::InvalidArgument, "the volume's identity is")
}

/// The other volume's device is mounted where this one's file system was.
fn another_disk_in_its_place_is_refused(
    kubelet: &Kubelet,
    (files, of_files): (&Volume, &HashMap<String, String>),
    (device, of_device): (&Volume, &HashMap<String, String>),
) -> Result<()> {
    kubelet.stage(files, of_files)??;
    kubelet.stage(device, of_device)??;
    let (place, other) = (format!("{}/volume", files.staging()), format!("{}/volume", device.staging()));
    kubelet.node.vm.must(format!("mkfs.ext4 -q -F {other} && umount {place} && mount {other} {place}"))?;
    refused(kubelet.publish(files, "a", false)?, Code::FailedPrecondition, "is not the volume")?;
    refused(kubelet.stage(files, of_files)?, Code::FailedPrecondition, "is not the volume")?;
    ensure!(kubelet.health(files)? == ["AnotherDisk"], "its health is {:?}", kubelet.health(files)?);
    kubelet.node.vm.must(format!("umount {place}"))?;
    for volume in [files, device] {
        kubelet.unstage(volume)??;
        kubelet.is_clean_of(volume)?;
    }
    Ok(())
}

/// A disk of LIO's own on the same machine, that says of itself what the volume's says: equal serial numbers happen.
const TWIN: &str = "\
modprobe tcm_loop && tpg=$LIO/loopback/naa.5001405000000077/tpgt_1 && mkdir -p $tpg/lun/lun_0 && \
echo naa.5001405000000078 >$tpg/nexus && ln -s $LIO/core/fileio_77/twin $tpg/lun/lun_0/it";
const NO_TWIN: &str = "\
cd $LIO/loopback/naa.5001405000000077/tpgt_1 && rm lun/lun_0/it && rmdir lun/lun_0 && cd .. && rmdir tpgt_1 && \
cd $LIO && rmdir loopback/naa.5001405000000077 core/fileio_77/twin core/fileio_77";

/// The volume is found where it was attached, the other disk keeps every byte, and nobody is told that the volume's disk
/// is gone while the kernel shows one that says it is.
fn a_disk_of_the_same_identity_is_not_taken_for_it(
    kubelet: &Kubelet,
    volume: &Volume,
    context: &HashMap<String, String>,
) -> Result<()> {
    let vm = &kubelet.node.vm;
    vm.must(format!("truncate -s {SIZE} /run/twin"))?;
    backstore(vm, "twin", &context["wwid"])?;
    vm.must(GuestCommand::shell(TWIN).env("LIO", LIO))?;
    kubelet.stage(volume, context)??;
    kubelet.publish(volume, "a", false)??;
    vm.must(format!("echo mine >{}/file && sync", volume.target("a")))?;
    is_untouched(vm, "twin")?;
    kubelet.unpublish(volume, "a")??;
    // A call whose time is up before it comes to that says something else.
    patiently(|| {
        let unstaged = kubelet.unstage_within(volume, Duration::from_secs(10))?;
        refused(unstaged, Code::Unavailable, "the kernel still shows the disk of Lun")
    })?;
    is_untouched(vm, "twin")?;
    vm.must(GuestCommand::shell(NO_TWIN).env("LIO", LIO))?;
    kubelet.unstage(volume)??;
    kubelet.is_clean_of(volume)
}

fn a_node_that_was_let_in_once_is_refused(
    driver: &Driver,
    kubelet: &Kubelet,
    volume: &Volume,
    context: &HashMap<String, String>,
) -> Result<()> {
    volume.detach(driver, "real-node")?;
    is_out(kubelet, volume, context)
}

/// That what a node was told when it was let in stages nothing any more.
pub fn is_out(kubelet: &Kubelet, volume: &Volume, context: &HashMap<String, String>) -> Result<()> {
    // A call whose time is up while it asks the API server says only that.
    patiently(|| {
        let replayed = kubelet.stage_within(volume, context, Duration::from_secs(3))?;
        refused(replayed, Code::Unavailable, "does not list this node")
    })?;
    patiently(|| Ok(kubelet.unstage(volume)??))?;
    kubelet.is_clean_of(volume)
}
