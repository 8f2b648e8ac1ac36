//! A Lun as a disk of the nodes that it lists: of the one that serves it without a network, of another over iSCSI
//! with the CHAP Secret that only the Lun names.

use anyhow::{Context as _, ensure};
use lunette_bed::exec::Output;
use lunette_bed::{Context, Result};
use serde_json::json;

use super::node::Node;
use super::operator::Operator;
use super::site::{Site, lun, says};

const PASSWORD: &str = "sixteen-bytes-ok";

pub fn a_lun_is_a_disk_of_the_nodes_that_it_lists(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let (server, other) = (Node::up(&site)?, Node::named(&site, "other-node")?);
    other.vm.start_iscsid()?;
    site.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": "prod"},
        "stringData": {"username": "other", "password": PASSWORD}}))?;
    let shared = lun("shared", |spec| {
        spec["nodeName"] = "real-node".into();
        spec["size"] = "64Mi".into();
        let other = json!({"nodeName": "other-node", "chapSecret": {"name": "other"}});
        spec["initiators"] = json!([{"nodeName": "real-node"}, other]);
    });
    site.apply(&shared)?;
    site.wait_lun("shared", |lun| says(lun, "Ready", "True", "Serving"))?;
    let here = disk(&server.order("attach", "shared")?)?;
    server.vm.must(format!("echo from the server | dd of={here} bs=512 conv=sync oflag=direct status=none"))?;
    server.order("detach", "shared")?.ok()?;
    let there = disk(&other.order("attach", "shared")?)?;
    let read = other.vm.must(format!("dd if={there} bs=512 count=1 iflag=direct status=none | head -c 15"))?;
    ensure!(read == "from the server", "the other node reads {read:?}");
    ensure!(disk(&other.order("attach", "shared")?)? == there, "attaching twice came to two disks");
    no_secret_is_left(&other)?;
    grows(&site, &other, shared, &there)?;
    other.vm.must(format!("mkfs.ext4 -qF {there} && mount {there} /mnt"))?;
    let refused = other.order("detach", "shared")?;
    ensure!(!refused.success() && refused.stderr.contains("is in use"), "detach of a mounted disk: {}", refused.stderr);
    other.vm.must("umount /mnt")?;
    other.order("detach", "shared")?.ok()?;
    other.vm.must("! iscsiadm -m session && ! iscsiadm -m node && ! ls /etc/iscsi/nodes/iqn*")?;
    server.vm.dmesg_must_be_clean()?;
    other.vm.dmesg_must_be_clean()
}

/// The last word that attach prints.
fn disk(said: &Output) -> Result<String> {
    let printed = said.ok()?;
    printed.split_whitespace().last().map(str::to_owned).context("attach prints nothing")
}

fn no_secret_is_left(node: &Node<'_>) -> Result<()> {
    let found = node.vm.run(format!("grep -r {PASSWORD} /etc/iscsi /var/lib/iscsi /run/lunette /var/lib/lunette"))?;
    ensure!(!found.success(), "a secret was left on the node:\n{}", found.stdout);
    Ok(())
}

fn grows(site: &Site, node: &Node<'_>, mut shared: serde_json::Value, disk: &str) -> Result<()> {
    shared["spec"]["size"] = "96Mi".into();
    site.apply(&shared)?;
    site.wait_lun("shared", |lun| lun["status"]["capacity"] == 96 << 20)?;
    node.order("attach", "shared")?.ok()?;
    node.vm.must(format!("[ $(blockdev --getsize64 {disk}) = $((96 << 20)) ]")).map(drop)
}
