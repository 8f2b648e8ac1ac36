//! The node's half on real kernels: a volume is brought to pods of the node that serves it by loop, and of another by
//! iSCSI, with the agent killed in between; every call is made twice; and nothing is left in the end.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use nix::sys::signal::Signal;

use super::super::operator::Operator;
use super::super::site::Site;
use super::Driver;
use super::place::{Kubelet, Seen, Volume, csi_socket};

const MIB: i64 = 1 << 20;

pub fn a_volume_is_brought_to_pods_of_two_nodes(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let (mut server, mut other) = (Kubelet::of(&site, "real-node")?, Kubelet::of(&site, "other-node")?);
    other.node.vm.start_iscsid()?;
    finds_the_kubelet(&server)?;
    let driver = Driver::start(&site)?;
    // mkfs.xfs makes nothing below 300 MiB.
    for (seen, size) in [(Seen::As("ext4"), 32 * MIB), (Seen::As("xfs"), 320 * MIB), (Seen::Device, 32 * MIB)] {
        lives(&driver, &mut server, &mut other, seen, size)
            .with_context(|| format!("a volume that is seen as {seen:?}"))?;
    }
    server.node.vm.dmesg_must_be_clean()?;
    other.node.vm.dmesg_must_be_clean()
}

fn finds_the_kubelet(kubelet: &Kubelet) -> Result<()> {
    let info = kubelet.registration()?;
    ensure!(info.r#type == "CSIPlugin" && info.name == "csi.lunette.io", "{info:?}");
    ensure!(info.endpoint == csi_socket() && info.supported_versions == ["1.0.0"], "{info:?}");
    Ok(())
}

fn lives(driver: &Driver, server: &mut Kubelet, other: &mut Kubelet, seen: Seen, size: i64) -> Result<()> {
    let name = match seen {
        Seen::As(file_system) => format!("pvc-{file_system}"),
        Seen::Device => "pvc-device".to_owned(),
    };
    let volume = Volume::create(driver, &name, seen, size, server.node.name)?;
    is_used(driver, server, &volume, |kubelet| write(kubelet, &volume, "the server"))?;
    is_used(driver, other, &volume, |kubelet| {
        must_read(kubelet, &volume, "the server")?;
        write(kubelet, &volume, "the other")?;
        grows_while_it_is_used(driver, kubelet, &volume, 2 * size)
    })?;
    is_used(driver, server, &volume, |kubelet| must_read(kubelet, &volume, "the other"))?;
    volume.delete(driver)
}

/// From attached to detached, each call twice, the agent killed between them.
fn is_used(
    driver: &Driver,
    kubelet: &mut Kubelet,
    volume: &Volume,
    using: impl FnOnce(&Kubelet) -> Result<()>,
) -> Result<()> {
    let context = volume.attach(driver, kubelet.node.name)?;
    kubelet.stage(volume, &context)??;
    dies(kubelet)?;
    kubelet.stage(volume, &context)??;
    for _ in 0..2 {
        kubelet.publish(volume, "a", false)??;
    }
    using(kubelet)?;
    ensure!(kubelet.health(volume)?.is_empty(), "it is not well: {:?}", kubelet.health(volume)?);
    ensure!(kubelet.unstage(volume)?.is_err(), "unstaged while a pod uses it");
    for _ in 0..2 {
        kubelet.unpublish(volume, "a")??;
    }
    dies(kubelet)?;
    for _ in 0..2 {
        kubelet.unstage(volume)??;
    }
    kubelet.is_clean_of(volume)?;
    volume.detach(driver, kubelet.node.name)
}

fn dies(kubelet: &mut Kubelet) -> Result<()> {
    kubelet.node.end_agent(Signal::SIGKILL)?;
    kubelet.node.start_agent()?;
    kubelet.wait_ready()
}

fn write(kubelet: &Kubelet, volume: &Volume, text: &str) -> Result<()> {
    let target = volume.target("a");
    let write = match volume.seen {
        Seen::As(_) => format!("echo {text} >{target}/file && sync {target}/file"),
        Seen::Device => format!("echo {text} | dd of={target} bs=512 conv=sync oflag=direct status=none"),
    };
    kubelet.node.vm.must(write).map(drop)
}

fn must_read(kubelet: &Kubelet, volume: &Volume, text: &str) -> Result<()> {
    let target = volume.target("a");
    let read = match volume.seen {
        Seen::As(_) => format!("cat {target}/file"),
        Seen::Device => format!("dd if={target} bs=512 count=1 iflag=direct status=none | tr -d '\\0'"),
    };
    let found = kubelet.node.vm.must(read)?;
    ensure!(found == text, "the pod reads {found:?}, not {text:?}");
    Ok(())
}

fn grows_while_it_is_used(driver: &Driver, kubelet: &Kubelet, volume: &Volume, size: i64) -> Result<()> {
    volume.grow(driver, size)?;
    let grown = kubelet.expand(volume, "a", size)?;
    ensure!(grown == size, "it has {grown} bytes, not {size}");
    let target = volume.target("a");
    let shown = match volume.seen {
        Seen::As(_) => format!("df --output=size -B1 {target} | tail -1"),
        Seen::Device => format!("blockdev --getsize64 {target}"),
    };
    let shown: i64 = kubelet.node.vm.must(shown)?.trim().parse()?;
    // A file system keeps a part for itself.
    ensure!(shown > size * 3 / 4, "the pod sees {shown} bytes");
    Ok(())
}
