//! Steps for the iSCSI target: removal leaves to root, making root to leaves, `enable` last.
//!
//! A living TPG is never disabled to change it: that would end every session. Only an initiator that is removed
//! loses its own.

use super::tpg::TpgChange;
use super::{Conflict, Plan, acl};
use crate::name::BackstoreName;
use crate::node::Node;
use crate::step::Step;
use crate::tree::{Found, Lun, Target, Tpg};

/// Takes the whole target away (tcmu.md §4.4).
pub(super) fn remove(have: &Found, old: &Target) -> Vec<Step> {
    let name = BackstoreName::of(&have.uid);
    let mut steps = Vec::new();
    for (tag, tpg) in &old.tpgs {
        if tpg.enabled {
            steps.push(Step::Disable(Node::tpg(&old.iqn, *tag)));
        }
    }
    steps.extend(have.strays.iter().cloned());
    for (tag, tpg) in &old.tpgs {
        remove_tpg(&Node::tpg(&old.iqn, *tag), tpg, &name, &mut steps);
    }
    steps.push(Step::Rmdir(Node::target(&old.iqn)));
    steps
}

fn remove_tpg(node: &Node, tpg: &Tpg, name: &BackstoreName, steps: &mut Vec<Step>) {
    for (initiator, old) in &tpg.acls {
        acl::remove(&node.acl(initiator), old, name, steps);
    }
    steps.extend(tpg.portals.iter().map(|portal| Step::Rmdir(node.portal(portal))));
    for (number, lun) in &tpg.luns {
        remove_lun(&node.lun(*number), lun, name, steps);
    }
    steps.push(Step::Rmdir(node.clone()));
}

fn remove_lun(node: &Node, lun: &Lun, name: &BackstoreName, steps: &mut Vec<Step>) {
    match lun {
        Lun::Bare => {}
        Lun::Linked => steps.push(Step::Unlink(node.child(name))),
        Lun::Foreign { link, .. } => steps.push(Step::Unlink(link.clone())),
    }
    steps.push(Step::Rmdir(node.clone()));
}

/// Makes the target, or brings it to what is wanted.
pub(super) fn change(have: &Found, want: &Target, plan: &mut Plan) -> Result<(), Conflict> {
    let old = have.export.target.as_ref();
    if let Some(old) = old.filter(|old| old.iqn != want.iqn) {
        return Err(Conflict::OtherTarget { have: old.iqn.to_string(), want: want.iqn.to_string() });
    }
    let name = BackstoreName::of(&have.uid);
    if !have.fabric {
        plan.target.push(Step::Mkdir(Node::iscsi()));
    }
    if old.is_none() {
        plan.target.push(Step::Mkdir(Node::target(&want.iqn)));
    }
    plan.target.extend(have.strays.iter().cloned());
    for (tag, tpg) in old.iter().flat_map(|old| &old.tpgs).filter(|(tag, _)| !want.tpgs.contains_key(tag)) {
        let node = Node::tpg(&want.iqn, *tag);
        plan.target.extend(tpg.enabled.then(|| Step::Disable(node.clone())));
        remove_tpg(&node, tpg, &name, &mut plan.target);
    }
    for (tag, tpg) in &want.tpgs {
        let change = TpgChange {
            node: Node::tpg(&want.iqn, *tag),
            device: have.device(),
            name: &name,
            demands_chap: tpg.demands_chap(),
        };
        change.tpg(old.and_then(|old| old.tpgs.get(tag)), tpg, plan)?;
    }
    Ok(())
}

impl TpgChange<'_> {
    fn tpg(&self, old: Option<&Tpg>, want: &Tpg, plan: &mut Plan) -> Result<(), Conflict> {
        let nothing = Tpg::unmade();
        if old.is_none() {
            plan.target.push(Step::Mkdir(self.node.clone()));
        }
        let old = old.unwrap_or(&nothing);
        self.withdraw(old, want, &mut plan.target);
        let steps = &mut plan.target;
        steps.extend(
            want.attrib
                .differing(&old.attrib)
                .map(|(name, value)| Step::write(self.node.child("attrib").child(name), value)),
        );
        steps.extend(
            want.param
                .differing(&old.param)
                .map(|(name, value)| Step::write(self.node.child("param").child(name), value)),
        );
        self.luns(old, want, steps)?;
        for (initiator, acl) in &want.acls {
            acl::change(self, &self.node.acl(initiator), old.acls.get(initiator), acl, plan);
        }
        let new_portals = want.portals.difference(&old.portals);
        plan.target.extend(new_portals.map(|portal| Step::Mkdir(self.node.portal(portal))));
        if want.enabled && !old.enabled {
            plan.target.push(Step::Enable(self.node.clone()));
        }
        plan.target.extend(self.auth_method(old, want));
        Ok(())
    }

    /// Initiators, portals and LUNs that are not wanted any more.
    fn withdraw(&self, old: &Tpg, want: &Tpg, steps: &mut Vec<Step>) {
        for (initiator, acl) in old.acls.iter().filter(|(initiator, _)| !want.acls.contains_key(initiator)) {
            acl::remove(&self.node.acl(initiator), acl, self.name, steps);
        }
        for (initiator, acl) in &want.acls {
            if let Some(old) = old.acls.get(initiator) {
                acl::withdraw(&self.node.acl(initiator), old, acl, self.name, steps);
            }
        }
        steps.extend(old.portals.difference(&want.portals).map(|portal| Step::Rmdir(self.node.portal(portal))));
        for (number, lun) in old.luns.iter().filter(|(number, _)| !want.luns.contains_key(number)) {
            remove_lun(&self.node.lun(*number), lun, self.name, steps);
        }
    }

    fn luns(&self, old: &Tpg, want: &Tpg, steps: &mut Vec<Step>) -> Result<(), Conflict> {
        for number in want.luns.keys() {
            let node = self.node.lun(*number);
            match old.luns.get(number) {
                Some(Lun::Linked) => continue,
                Some(Lun::Foreign { link, to }) => {
                    return Err(Conflict::LunTaken { link: link.clone(), to: to.clone() });
                }
                Some(Lun::Bare) => {}
                None => steps.push(Step::Mkdir(node.clone())),
            }
            steps.push(Step::Link { link: node.child(self.name), to: self.device.clone() });
        }
        Ok(())
    }

    /// The kernel rewrites `AuthMethod` when `authentication` is written and when the TPG is enabled
    /// (`iscsit_ta_authentication`, `iscsit_tpg_enable_portal_group`), so it comes after both.
    fn auth_method(&self, old: &Tpg, want: &Tpg) -> Option<Step> {
        let rewritten = !old.enabled || old.attrib.get("authentication") != want.attrib.get("authentication");
        let write = rewritten || old.auth_method != want.auth_method;
        write.then(|| Step::write(self.node.child("param/AuthMethod"), &want.auth_method))
    }
}
