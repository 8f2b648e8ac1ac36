//! Steps for the target behind a local disk: removal leaves to root, making root to leaves.
//!
//! The order is the kernel's. Linking the LUN makes the disk, and unlinking it takes the disk away. A session ends
//! with its portal group (`tcm_loop_drop_naa_tpg`); but an ACL of ours, whose removal waits for its session
//! (`core_tpg_del_initiator_node_acl`), may go only after the session was ended, and that the kernel does only when
//! it counts no disk any more (`tcm_loop_drop_nexus`). So there is such an ACL only where it is needed.

use super::{Conflict, Plan, acl};
use crate::naa::Naa;
use crate::name::{BackstoreName, LunNumber};
use crate::node::Node;
use crate::step::Step;
use crate::tree::{Found, LocalDisk, Lun, MappedLun, Nexus};

const LUN: LunNumber = LunNumber(0);

/// Takes the disk and its target away. `cut` has its commands fail from the start: whoever still uses it gets
/// errors, and the kernel's last flush does not wait for an answer.
pub(super) fn remove(have: &Found, old: &LocalDisk, cut: bool) -> Vec<Step> {
    let tpg = Node::loop_tpg(&have.uid);
    let mut steps = Vec::new();
    if cut && old.tpg {
        steps.push(Step::write(tpg.child("transport_status"), "offline"));
    }
    steps.extend(have.local_strays.iter().cloned());
    if old.tpg {
        remove_tpg(have, old, &tpg, &mut steps);
    }
    steps.push(Step::Rmdir(Node::loop_target(&have.uid)));
    steps
}

fn remove_tpg(have: &Found, old: &LocalDisk, tpg: &Node, steps: &mut Vec<Step>) {
    let name = BackstoreName::of(&have.uid);
    let lun = tpg.lun(LUN);
    match &old.lun {
        Some(Lun::Linked) => steps.push(Step::Unlink(lun.child(&name))),
        Some(Lun::Foreign { link, .. }) => steps.push(Step::Unlink(link.clone())),
        Some(Lun::Bare) | None => {}
    }
    if let Some(mapped) = &old.acl {
        let acl = acl_node(have);
        if old.nexus != Nexus::None {
            steps.push(Step::write(tpg.child("nexus"), "NULL"));
        }
        if let Some(mapped) = mapped {
            acl::remove_mapped(&acl.child(LUN), mapped, &name, steps);
        }
        steps.push(Step::Rmdir(acl));
    }
    if old.lun.is_some() {
        steps.push(Step::Rmdir(lun));
    }
    steps.push(Step::Rmdir(tpg.clone()));
}

/// Makes the target, or brings it to what is wanted. A session of somebody else's initiator cannot be changed
/// into ours: then all of it is made anew.
pub(super) fn change(have: &Found, want: &LocalDisk, plan: &mut Plan) -> Result<(), Conflict> {
    let nothing = LocalDisk::unmade();
    let old = match &have.export.local {
        Some(old) if old.nexus == Nexus::Other => {
            plan.remove_local = remove(have, old, false);
            None
        }
        old => {
            plan.local.extend(have.local_strays.iter().cloned());
            old.as_ref()
        }
    };
    if !have.loopback {
        plan.local.push(Step::Mkdir(Node::loopback()));
    }
    if old.is_none() {
        plan.local.push(Step::Mkdir(Node::loop_target(&have.uid)));
    }
    make(have, old.unwrap_or(&nothing), want, &mut plan.local)
}

fn make(have: &Found, old: &LocalDisk, want: &LocalDisk, steps: &mut Vec<Step>) -> Result<(), Conflict> {
    let tpg = Node::loop_tpg(&have.uid);
    if !old.tpg {
        steps.push(Step::Mkdir(tpg.clone()));
    }
    if old.nexus == Nexus::None {
        steps.push(Step::write(tpg.child("nexus"), Naa::initiator(&have.uid).as_str()));
    }
    link(have, old, &tpg, steps)?;
    protect(have, old, want.read_only(), steps);
    Ok(())
}

/// Our ACL takes the place of the kernel's own, with its session (`core_tpg_add_initiator_node_acl`). Once there it
/// stays, for it cannot go without the session; it may allow everything, too.
fn protect(have: &Found, old: &LocalDisk, read_only: bool, steps: &mut Vec<Step>) {
    let acl = acl_node(have);
    if old.acl.is_none() && !read_only {
        return;
    }
    if old.acl.is_none() {
        steps.push(Step::Mkdir(acl.clone()));
    }
    map(have, old.acl.flatten(), read_only, &acl.child(LUN), steps);
}

fn link(have: &Found, old: &LocalDisk, tpg: &Node, steps: &mut Vec<Step>) -> Result<(), Conflict> {
    let lun = tpg.lun(LUN);
    match &old.lun {
        Some(Lun::Linked) => return Ok(()),
        Some(Lun::Foreign { link, to }) => return Err(Conflict::LunTaken { link: link.clone(), to: to.clone() }),
        Some(Lun::Bare) => {}
        None => steps.push(Step::Mkdir(lun.clone())),
    }
    steps.push(Step::Link { link: lun.child(BackstoreName::of(&have.uid)), to: have.device() });
    Ok(())
}

fn map(have: &Found, old: Option<MappedLun>, read_only: bool, node: &Node, steps: &mut Vec<Step>) {
    if old.is_none() {
        steps.push(Step::Mkdir(node.clone()));
    }
    let linked = old.is_some_and(|old| old.lun.is_some());
    if !linked {
        let to = Node::loop_tpg(&have.uid).lun(LUN);
        steps.push(Step::Link { link: node.child(BackstoreName::of(&have.uid)), to });
    }
    if !linked || old.is_some_and(|old| old.read_only != read_only) {
        steps.push(Step::write(node.child("write_protect"), u8::from(read_only).to_string()));
    }
}

fn acl_node(have: &Found) -> Node {
    Node::loop_tpg(&have.uid).child("acls").child(Naa::initiator(&have.uid))
}
