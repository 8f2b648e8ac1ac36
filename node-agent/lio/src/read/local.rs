//! Reads the target behind a local disk, and where on the machine that disk is.

use serde::Serialize;

use super::{ReadError, directories, exists, links, number, text};
use crate::configfs::Configfs;
use crate::naa::Naa;
use crate::name::{BackstoreName, LunNumber, TpgTag, Uid};
use crate::node::Node;
use crate::step::Step;
use crate::tree::{LocalDisk, Lun, MappedLun, Nexus};

/// Where on this machine a disk is: its SCSI address but for the LUN, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DiskAddress {
    /// The number of the SCSI host.
    pub host: u32,
    /// The channel.
    pub channel: u32,
    /// The target.
    pub target: u32,
}

/// Where the local disk of this LUN is, if it has one; the kernel may not show it yet.
pub fn disk_address(fs: &dyn Configfs, uid: &Uid) -> Result<Option<DiskAddress>, ReadError> {
    let tpg = Node::loop_tpg(uid);
    if links(fs, &tpg.child("lun").child(LunNumber(0)))?.is_empty() {
        return Ok(None);
    }
    let node = tpg.child("address");
    let Some(text) = text(fs, &node)? else { return Ok(None) };
    let numbers: Vec<u32> = text.split(':').filter_map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [host, channel, target] => Ok(Some(DiskAddress { host, channel, target })),
        _ => Err(ReadError::Malformed { node, text }),
    }
}

/// Whose local disks there are; a target that was not finished tells nobody's name.
pub(super) fn owners(fs: &dyn Configfs) -> Result<Vec<Uid>, ReadError> {
    let mut uids = Vec::new();
    for target in our_targets(fs)? {
        uids.extend(links(fs, &lun(&target))?.iter().filter_map(|name| BackstoreName::owner(name)));
    }
    Ok(uids)
}

/// How to remove targets that an attempt of ours left without a LUN.
pub(super) fn abandoned(fs: &dyn Configfs) -> Result<Vec<Step>, ReadError> {
    let mut steps = Vec::new();
    for target in our_targets(fs)? {
        if links(fs, &lun(&target))?.is_empty() {
            steps.extend(clear_target(fs, &target)?);
        }
    }
    Ok(steps)
}

fn our_targets(fs: &dyn Configfs) -> Result<Vec<Node>, ReadError> {
    let names = directories(fs, &Node::loopback())?;
    Ok(names.iter().filter(|name| Naa::is_our_target(name)).map(|name| Node::loopback().child(name)).collect())
}

fn lun(target: &Node) -> Node {
    target.child(TpgTag::ONLY).child("lun").child(LunNumber(0))
}

/// The target and how to clear its strays; `None` if it is not there.
pub(super) fn read(fs: &dyn Configfs, uid: &Uid, device: &Node) -> Result<Option<(LocalDisk, Vec<Step>)>, ReadError> {
    let target = Node::loop_target(uid);
    if !exists(fs, &target)? {
        return Ok(None);
    }
    let tpg = Node::loop_tpg(uid);
    let mut local = LocalDisk::unmade();
    local.tpg = exists(fs, &tpg)?;
    if local.tpg {
        local.nexus = nexus(fs, &tpg, uid)?;
        local.lun = read_lun(fs, &lun(&target), uid, device)?;
        local.acl = read_acl(fs, &tpg, uid)?;
    }
    Ok(Some((local, strays(fs, &target, &tpg, uid)?)))
}

fn nexus(fs: &dyn Configfs, tpg: &Node, uid: &Uid) -> Result<Nexus, ReadError> {
    Ok(match text(fs, &tpg.child("nexus"))? {
        None => Nexus::None,
        Some(name) if name == Naa::initiator(uid).as_str() => Nexus::Ours,
        Some(_) => Nexus::Other,
    })
}

fn read_lun(fs: &dyn Configfs, node: &Node, uid: &Uid, device: &Node) -> Result<Option<Lun>, ReadError> {
    if !exists(fs, node)? {
        return Ok(None);
    }
    let ours = BackstoreName::of(uid);
    let Some(name) = links(fs, node)?.into_iter().next() else { return Ok(Some(Lun::Bare)) };
    let link = node.child(&name);
    Ok(Some(match fs.read_link(&link) {
        Ok(to) if to == *device && name == ours.as_str() => Lun::Linked,
        Ok(to) => Lun::Foreign { link, to: to.to_string() },
        Err(errno) => Lun::Foreign { link, to: format!("an unreadable place ({errno})") },
    }))
}

fn read_acl(fs: &dyn Configfs, tpg: &Node, uid: &Uid) -> Result<Option<Option<MappedLun>>, ReadError> {
    let acl = tpg.child("acls").child(Naa::initiator(uid));
    if !exists(fs, &acl)? {
        return Ok(None);
    }
    let node = acl.child(LunNumber(0));
    if !exists(fs, &node)? {
        return Ok(Some(None));
    }
    let read_only = number::<u8>(fs, &node.child("write_protect"))? != 0;
    let linked = links(fs, &node)?.iter().any(|name| name == BackstoreName::of(uid).as_str());
    Ok(Some(Some(MappedLun { lun: linked.then_some(LunNumber(0)), read_only })))
}

/// Other portal groups of our target, other LUNs and ACLs of our portal group, other LUNs of our ACL, other links to
/// our LUN.
fn strays(fs: &dyn Configfs, target: &Node, tpg: &Node, uid: &Uid) -> Result<Vec<Step>, ReadError> {
    let (initiator, zero, own) = (Naa::initiator(uid), LunNumber(0).to_string(), TpgTag::ONLY.to_string());
    let mut steps = Vec::new();
    for name in directories(fs, target)?.iter().filter(|name| name.starts_with("tpgt_") && **name != own) {
        steps.extend(clear_tpg(fs, &target.child(name))?);
    }
    for name in directories(fs, &tpg.child("acls"))?.iter().filter(|name| *name != initiator.as_str()) {
        steps.extend(clear_acl(fs, &tpg.child("acls").child(name))?);
    }
    let acl = tpg.child("acls").child(&initiator);
    for name in directories(fs, &acl)?.iter().filter(|name| name.starts_with("lun_") && **name != zero) {
        steps.extend(clear(fs, &acl.child(name))?);
    }
    let link = BackstoreName::of(uid);
    for name in links(fs, &acl.child(&zero))?.iter().filter(|name| *name != link.as_str()) {
        steps.push(Step::Unlink(acl.child(&zero).child(name)));
    }
    for name in directories(fs, &tpg.child("lun"))?.iter().filter(|name| **name != zero) {
        steps.extend(clear(fs, &tpg.child("lun").child(name))?);
    }
    Ok(steps)
}

/// A directory with links and no directories of its own that could be removed.
fn clear(fs: &dyn Configfs, directory: &Node) -> Result<Vec<Step>, ReadError> {
    let unlinks = links(fs, directory)?.into_iter().map(|name| Step::Unlink(directory.child(name)));
    Ok(unlinks.chain([Step::Rmdir(directory.clone())]).collect())
}

fn clear_acl(fs: &dyn Configfs, acl: &Node) -> Result<Vec<Step>, ReadError> {
    let mut steps = Vec::new();
    for name in directories(fs, acl)?.iter().filter(|name| name.starts_with("lun_")) {
        steps.extend(clear(fs, &acl.child(name))?);
    }
    steps.push(Step::Rmdir(acl.clone()));
    Ok(steps)
}

/// In the kernel's order, as in the plan of a removal; a session ends with its portal group, but for ACLs made by hand.
fn clear_tpg(fs: &dyn Configfs, tpg: &Node) -> Result<Vec<Step>, ReadError> {
    let mut steps = Vec::new();
    let luns: Vec<Node> = directories(fs, &tpg.child("lun"))?.iter().map(|name| tpg.child("lun").child(name)).collect();
    for lun in &luns {
        steps.extend(links(fs, lun)?.iter().map(|name| Step::Unlink(lun.child(name))));
    }
    let acls = directories(fs, &tpg.child("acls"))?;
    if !acls.is_empty() && text(fs, &tpg.child("nexus"))?.is_some() {
        steps.push(Step::write(tpg.child("nexus"), "NULL"));
    }
    for name in acls {
        steps.extend(clear_acl(fs, &tpg.child("acls").child(name))?);
    }
    steps.extend(luns.into_iter().map(Step::Rmdir));
    steps.push(Step::Rmdir(tpg.clone()));
    Ok(steps)
}

fn clear_target(fs: &dyn Configfs, target: &Node) -> Result<Vec<Step>, ReadError> {
    let mut steps = Vec::new();
    for name in directories(fs, target)?.iter().filter(|name| name.starts_with("tpgt_")) {
        steps.extend(clear_tpg(fs, &target.child(name))?);
    }
    steps.push(Step::Rmdir(target.clone()));
    Ok(steps)
}
