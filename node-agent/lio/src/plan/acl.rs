//! Steps for one initiator's ACL.
//!
//! A new ACL is locked (CHAP demanded, none set) until its LUNs are mapped and write-protected as wanted: the TPG may
//! be live, and an initiator on the list must not see a half-made mapping.

use std::collections::BTreeMap;

use super::Plan;
use super::tpg::TpgChange;
use crate::name::BackstoreName;
use crate::node::Node;
use crate::secret::{Chap, Login};
use crate::step::{Step, Value};
use crate::tree::{Acl, MappedLun};

/// Takes the ACL away; the initiator's session ends with it.
pub(super) fn remove(node: &Node, old: &Acl, name: &BackstoreName, steps: &mut Vec<Step>) {
    for (number, mapped) in &old.luns {
        remove_mapped(&node.child(number), mapped, name, steps);
    }
    steps.push(Step::Rmdir(node.clone()));
}

pub(super) fn remove_mapped(node: &Node, old: &MappedLun, name: &BackstoreName, steps: &mut Vec<Step>) {
    if old.lun.is_some() {
        steps.push(Step::Unlink(node.child(name)));
    }
    steps.push(Step::Rmdir(node.clone()));
}

/// Mapped LUNs that are not wanted any more, or map another LUN than they should.
pub(super) fn withdraw(node: &Node, old: &Acl, want: &Acl, name: &BackstoreName, steps: &mut Vec<Step>) {
    for (number, mapped) in &old.luns {
        match want.luns.get(number) {
            None => remove_mapped(&node.child(number), mapped, name, steps),
            Some(wanted) if mapped.lun.is_some() && mapped.lun != wanted.lun => {
                steps.push(Step::Unlink(node.child(number).child(name)));
            }
            Some(_) => {}
        }
    }
}

/// Makes the ACL, or brings it to what is wanted.
pub(super) fn change(tpg: &TpgChange<'_>, node: &Node, old: Option<&Acl>, want: &Acl, plan: &mut Plan) {
    let locked = Acl { chap: None, authentication: Some(1), cmdsn_depth: 0, luns: BTreeMap::new() };
    if old.is_none() {
        plan.target.push(Step::Mkdir(node.clone()));
    }
    // -1: an interrupted attempt ended right after its mkdir.
    if old.is_none_or(|old| old.authentication == Some(-1)) {
        plan.target.push(lock(node));
    }
    let old = old.unwrap_or(&locked);
    depth(node, old, want, plan);
    for (number, mapped) in &want.luns {
        map(tpg, &node.child(number), old.luns.get(number), mapped, &mut plan.target);
    }
    chap(&node.child("auth"), old.chap.as_ref(), want.chap.as_ref(), &mut plan.target);
    plan.target.extend(authentication(tpg, node, old.authentication, want));
}

/// A changed depth would end the initiator's session (`core_tpg_set_initiator_node_queue_depth`).
fn depth(node: &Node, old: &Acl, want: &Acl, plan: &mut Plan) {
    if old.cmdsn_depth == want.cmdsn_depth {
        return;
    }
    if old.luns.values().any(|mapped| mapped.lun.is_some()) {
        plan.deferred.push(format!("{}/cmdsn_depth={}", node.name(), want.cmdsn_depth));
    } else {
        plan.target.push(Step::write(node.child("cmdsn_depth"), want.cmdsn_depth.to_string()));
    }
}

fn map(tpg: &TpgChange<'_>, node: &Node, old: Option<&MappedLun>, want: &MappedLun, steps: &mut Vec<Step>) {
    if old.is_none() {
        steps.push(Step::Mkdir(node.clone()));
    }
    let linked = old.is_some_and(|old| old.lun.is_some() && old.lun == want.lun);
    if let Some(lun) = want.lun.filter(|_| !linked) {
        steps.push(tpg.mapped_link(node, lun));
    }
    if !linked || old.is_some_and(|old| old.read_only != want.read_only) {
        steps.push(Step::write(node.child("write_protect"), u8::from(want.read_only).to_string()));
    }
}

fn chap(auth: &Node, old: Option<&Chap>, want: Option<&Chap>, steps: &mut Vec<Step>) {
    let old_target = old.and_then(|chap| chap.target.as_ref());
    let want_target = want.and_then(|chap| chap.target.as_ref());
    login(auth, ("userid", "password"), old.map(|chap| &chap.initiator), want.map(|chap| &chap.initiator), steps);
    login(auth, ("userid_mutual", "password_mutual"), old_target, want_target, steps);
}

/// `NULL` is how the kernel is told that there is none (`__iscsi_nacl_auth_userid_store`).
fn login(auth: &Node, files: (&str, &str), old: Option<&Login>, want: Option<&Login>, steps: &mut Vec<Step>) {
    let (user, password) = (auth.child(files.0), auth.child(files.1));
    match (old, want) {
        (None, None) => {}
        (Some(_), None) => steps.extend([Step::write(user, "NULL"), Step::write(password, "NULL")]),
        (old, Some(want)) => {
            if old.is_none_or(|old| old.user != want.user) {
                steps.push(Step::write(user, &want.user));
            }
            if old.is_none_or(|old| old.password != want.password) {
                steps.push(Step::write_secret(password, want.password.clone()));
            }
        }
    }
}

/// What an ACL's own `authentication` should say; a kernel without the file follows the TPG, which will do if both agree.
fn authentication(tpg: &TpgChange<'_>, node: &Node, old: Option<i8>, want: &Acl) -> Option<Step> {
    let want = want.authentication?;
    let agrees = tpg.demands_chap == (want != 0);
    let settled = old == Some(want) || (old.is_none() && agrees);
    let attr = node.child("attrib/authentication");
    (!settled).then(|| Step::Write { attr, value: Value::Plain(want.to_string()), optional: agrees })
}

fn lock(node: &Node) -> Step {
    Step::Write { attr: node.child("attrib/authentication"), value: Value::Plain("1".to_owned()), optional: true }
}
