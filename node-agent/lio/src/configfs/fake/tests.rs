//! The fake kernel against what the real one was seen to do (tcmu.md §2, §4).

use super::*;
use crate::fixtures::{export, initiator, kernel_with, read, target, write};
use crate::name::{HbaNumber, LunNumber, TpgTag};
use crate::tree::Acl;

fn device() -> Node {
    Node::hba(HbaNumber(1)).child("disk")
}

fn kernel() -> Fake {
    let fs = Fake::new();
    fs.mkdir(&Node::hba(HbaNumber(1))).unwrap();
    fs.mkdir(&device()).unwrap();
    fs
}

fn put(fs: &Fake, node: &Node, text: &str) -> Result<(), Errno> {
    fs.write_once(node, text.as_bytes())
}

#[test]
fn a_device_is_enabled_once_and_only_by_1() {
    let fs = kernel();
    write(&fs, &device().child("control"), "nl_reply_supported=-1");
    assert_eq!(put(&fs, &device().child("enable"), "0"), Err(Errno::EINVAL));
    assert_eq!(put(&fs, &device().child("enable"), "1"), Ok(()));
    assert_eq!(put(&fs, &device().child("enable"), "1"), Err(Errno::EEXIST));
}

#[test]
fn enabling_with_netlink_replies_hangs() {
    let fs = kernel();
    assert_eq!(put(&fs, &device().child("enable"), "1"), Err(Errno::EINTR));
}

#[test]
fn the_size_of_a_living_device_changes_through_control_only() {
    let fs = kernel();
    write(&fs, &device().child("control"), "nl_reply_supported=-1,no_such_key=1");
    write(&fs, &device().child("enable"), "1");
    assert_eq!(put(&fs, &device().child("attrib/dev_size"), "8192"), Err(Errno::ESRCH));
    write(&fs, &device().child("control"), "dev_size=8192");
    assert_eq!(fs.read(&device().child("attrib/dev_size")), Ok("8192\n".to_owned()));
    assert_eq!(put(&fs, &device().child("control"), "max_data_area_mb=8"), Err(Errno::EINVAL));
}

#[test]
fn switches_want_a_living_device_and_their_own_values() {
    let fs = kernel();
    assert_eq!(put(&fs, &device().child("action/block_dev"), "1"), Err(Errno::EINVAL));
    write(&fs, &device().child("control"), "nl_reply_supported=-1");
    write(&fs, &device().child("enable"), "1");
    write(&fs, &device().child("action/block_dev"), "1");
    assert_eq!(fs.read(&device().child("action/block_dev")), Ok("blocked\n".to_owned()));
    assert_eq!(put(&fs, &device().child("action/reset_ring"), "0"), Err(Errno::EINVAL));
    assert_eq!(fs.read(&device().child("action/reset_ring")), Err(Errno::EACCES));
}

#[test]
fn what_is_exported_is_held_fast() {
    let fs = kernel_with(&export([]));
    let device = read(&fs).device();
    assert_eq!(fs.rmdir(&device), Err(Errno::EBUSY));
    assert_eq!(put(&fs, &device.child("wwn/vpd_unit_serial"), "x"), Err(Errno::EINVAL));
    assert_eq!(put(&fs, &device.child("attrib/cmd_time_out"), "1"), Err(Errno::EINVAL));
}

#[test]
fn default_directories_come_and_go_with_their_parent_only() {
    let fs = kernel();
    assert_eq!(fs.rmdir(&device().child("attrib")), Err(Errno::EPERM));
    assert_eq!(fs.mkdir(&device().child("attrib/x")), Err(Errno::EPERM));
    assert_eq!(fs.rmdir(&Node::hba(HbaNumber(1))), Err(Errno::ENOTEMPTY));
    fs.rmdir(&device()).unwrap();
    assert_eq!(fs.list(&device().child("attrib")), Err(Errno::ENOENT));
    fs.rmdir(&Node::hba(HbaNumber(1))).unwrap();
}

#[test]
fn a_lun_wants_an_enabled_device_and_a_mapped_lun_a_linked_lun_of_its_tpg() {
    let fs = kernel_with(&export([(initiator("alice"), Acl::new(None, false))]));
    let tpg = Node::tpg(&target(), TpgTag::ONLY);
    let lun = tpg.lun(LunNumber(1));
    let mapped = tpg.acl(&initiator("alice")).child("lun_1");
    for node in [Node::hba(HbaNumber(1)), device(), lun.clone(), mapped.clone()] {
        fs.mkdir(&node).unwrap();
    }
    assert_eq!(fs.symlink(&lun.child("disk"), &device()), Err(Errno::ENODEV));
    assert_eq!(fs.symlink(&mapped.child("disk"), &lun), Err(Errno::EINVAL));
    assert_eq!(fs.symlink(&mapped.child("disk"), &device()), Err(Errno::EFAULT));
    assert_eq!(fs.symlink(&tpg.child("disk"), &device()), Err(Errno::EPERM));
    assert_eq!(fs.read(&mapped.child("write_protect")), Ok(String::new()));
    assert_eq!(fs.rmdir(&tpg.lun(LunNumber(0))), Err(Errno::EBUSY), "a mapped LUN links to it");
}

#[test]
fn only_a_changed_depth_ends_the_session() {
    let alice = initiator("alice");
    let fs = kernel_with(&export([(alice.clone(), Acl::new(None, false))]));
    assert!(fs.login(&target(), &alice));
    let depth = Node::tpg(&target(), TpgTag::ONLY).acl(&alice).child("cmdsn_depth");
    write(&fs, &depth, "128");
    assert!(fs.is_logged_in(&target(), &alice));
    write(&fs, &depth, "64");
    assert!(!fs.is_logged_in(&target(), &alice));
    assert_eq!(put(&fs, &depth, "513"), Err(Errno::EINVAL));
}

#[test]
fn portals_clash_with_a_wildcard_and_are_shared_between_targets() {
    let fs = kernel_with(&export([]));
    let other = Node::tpg(&initiator("other-target"), TpgTag::ONLY);
    for node in [other.parent().unwrap(), other.clone()] {
        fs.mkdir(&node).unwrap();
    }
    assert_eq!(fs.mkdir(&other.child("np/0.0.0.0:3260")), Err(Errno::EINVAL));
    assert_eq!(fs.mkdir(&other.child("np/nonsense")), Err(Errno::EINVAL));
    assert_eq!(fs.mkdir(&other.child("np/10.0.0.1:3260")), Ok(()));
    assert_eq!(fs.mkdir(&other.child("np/10.0.0.1:3260")), Err(Errno::EEXIST));
}

#[test]
fn chap_keeps_every_byte() {
    let alice = initiator("alice");
    let fs = kernel_with(&export([(alice.clone(), Acl::new(None, false))]));
    let auth = Node::tpg(&target(), TpgTag::ONLY).acl(&alice).child("auth");
    write(&fs, &auth.child("userid"), "bob\n");
    assert_eq!(fs.read(&auth.child("userid")), Ok("bob\n\n".to_owned()));
    assert_eq!(put(&fs, &auth.child("password"), &"x".repeat(256)), Err(Errno::EINVAL));
}
