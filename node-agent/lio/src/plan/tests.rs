//! Planning and applying against the fake kernel: each pitfall by name, then any tree to any tree.

use std::collections::BTreeMap;

use super::*;
use crate::configfs::{Configfs, Fake};
use crate::fixtures::*;
use crate::name::{HbaNumber, LunNumber, TpgTag, Uid};
use crate::portal::Portal;
use crate::secret::{Chap, Login, Secret};
use crate::tree::{Acl, Backstore, Lun, Target};

mod local;
mod property;

fn lines(plan: &Plan, phase: Phase) -> Vec<String> {
    plan.steps(phase).iter().map(ToString::to_string).collect()
}

fn alice() -> crate::Iqn {
    initiator("alice")
}

fn open() -> Acl {
    Acl::new(None, false)
}

fn guarded() -> Acl {
    Acl::new(Some(chap("alice", "a-secret-of-16-bytes")), false)
}

#[test]
fn what_was_wanted_is_there_and_a_second_plan_is_empty() {
    let want = export([(alice(), guarded())]);
    let fs = kernel_with(&want);
    let found = read(&fs);
    assert_eq!(plan(&found, Some(&want)).unwrap(), Plan::default());
    assert_eq!(found.export.target, want.target);
    let tpg = Node::tpg(&target(), TpgTag::ONLY);
    assert!(fs.login(&target(), &alice()));
    assert!(!fs.login(&target(), &initiator("mallory")));
    assert_eq!(fs.read(&tpg.child("param/AuthMethod")).unwrap(), "CHAP\n");
    assert_eq!(fs.read(&tpg.child("param/MaxRecvDataSegmentLength")).unwrap(), "262144\n");
}

#[test]
fn the_backstore_comes_before_the_target_and_enabling_comes_last() {
    let fs = Fake::new();
    let plan = plan_for(&fs, Some(&export([(alice(), open())])));
    let device = read(&fs).device();
    let backstore = lines(&plan, Phase::Backstore);
    assert_eq!(backstore[0], format!("mkdir {}", device.parent().unwrap()));
    assert_eq!(*backstore.last().unwrap(), format!("enable {device}"));
    let exposed = lines(&plan, Phase::Target);
    let enable = exposed.iter().position(|line| line.starts_with("enable")).unwrap();
    assert!(exposed[enable + 1..].iter().all(|line| line.ends_with("param/AuthMethod")), "{exposed:#?}");
    let link = exposed.iter().position(|line| line.contains("/lun/lun_0/lunette-")).unwrap();
    let acl = exposed.iter().position(|line| line.contains("/acls/")).unwrap();
    assert!(link < acl && acl < enable);
}

#[test]
fn the_control_line_never_waits_for_netlink_and_is_one_write() {
    let fs = Fake::new();
    let plan = plan_for(&fs, Some(&export([])));
    let control: Vec<_> = lines(&plan, Phase::Backstore).into_iter().filter(|line| line.contains("/control")).collect();
    assert_eq!(control.len(), 1);
    assert!(
        control[0].contains("nl_reply_supported=-1,") && control[0].contains(&format!("dev_config=lunette/{},", uid()))
    );
}

#[test]
fn removal_leaves_nothing_and_goes_leaves_to_root() {
    let fs = kernel_with(&export([(alice(), guarded())]));
    let plan = plan_for(&fs, None);
    let exposed = lines(&plan, Phase::RemoveTarget);
    let tpg = Node::tpg(&target(), TpgTag::ONLY);
    assert_eq!(exposed[0], format!("disable {tpg}"));
    assert_eq!(exposed[exposed.len() - 2..], [format!("rmdir {tpg}"), format!("rmdir {}", Node::target(&target()))]);
    attempt(&fs, None).unwrap();
    assert!(read(&fs).is_empty());
    assert!(plan_for(&fs, None).is_empty());
    assert!(!fs.dump().keys().any(|path| path.contains(uid().as_str()) || path.contains("user_")));
}

#[test]
fn a_target_alone_can_be_withdrawn() {
    let mut want = export([(alice(), open())]);
    let fs = kernel_with(&want);
    want.target = None;
    attempt(&fs, Some(&want)).unwrap();
    assert_eq!(read(&fs).export.target, None);
    assert!(read(&fs).export.backstore.is_some_and(|backstore| backstore.enabled));
}

#[test]
fn growing_writes_control_and_shrinking_is_refused() {
    let mut want = export([]);
    let fs = kernel_with(&want);
    want.backstore = Some(Backstore::new(4 << 30, 512, "serial-1"));
    let plan = plan_for(&fs, Some(&want));
    let step = format!("write \"nl_reply_supported=-1,dev_size=4294967296\" to {}/control", read(&fs).device());
    assert_eq!(plan.all().map(ToString::to_string).collect::<Vec<_>>(), [step]);
    attempt(&fs, Some(&want)).unwrap();
    want.backstore = Some(Backstore::new(2 << 30, 512, "serial-1"));
    assert!(matches!(super::plan(&read(&fs), Some(&want)), Err(Conflict::Shrink { have: 4_294_967_296, .. })));
}

#[test]
fn a_living_device_keeps_its_block_size_and_serial_number() {
    let fs = kernel_with(&export([]));
    for (backstore, what) in [
        (Backstore::new(2 << 30, 4096, "serial-1"), "the block size"),
        (Backstore::new(2 << 30, 512, "other"), "the unit serial number"),
    ] {
        let want = Export { backstore: Some(backstore), ..export([]) };
        match plan(&read(&fs), Some(&want)) {
            Err(Conflict::Immutable { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tuning_of_a_running_export_is_put_off_and_said() {
    let mut want = export([(alice(), open())]);
    let fs = kernel_with(&want);
    let backstore = want.backstore.as_mut().unwrap();
    backstore.data_area_mb = 32;
    backstore.attrib.set("cmd_time_out", "150").set("qfull_time_out", "5");
    want.target.as_mut().unwrap().tpgs.get_mut(&TpgTag::ONLY).unwrap().acls.get_mut(&alice()).unwrap().cmdsn_depth = 64;
    let plan = plan_for(&fs, Some(&want));
    assert_eq!(
        plan.deferred,
        [format!("{}/cmdsn_depth=64", alice()), "max_data_area_mb=32".to_owned(), "cmd_time_out=150".to_owned()]
    );
    attempt(&fs, Some(&want)).unwrap();
    assert_eq!(read(&fs).export.backstore.unwrap().attrib.get("qfull_time_out"), Some("5"));
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn an_impossible_size_is_refused_before_the_kernel_takes_it() {
    for (size, block_size) in [(0, 512), (513, 512), (4096, 0)] {
        let want = Export { backstore: Some(Backstore::new(size, block_size, "s")), ..Export::default() };
        assert_eq!(plan(&read(&Fake::new()), Some(&want)), Err(Conflict::Size { size, block_size }));
    }
}

#[test]
fn changing_who_may_log_in_disturbs_nobody_else() {
    let bob = initiator("bob");
    let fs = kernel_with(&export([(alice(), open()), (bob.clone(), open())]));
    assert!(fs.login(&target(), &alice()) && fs.login(&target(), &bob));
    let carol = (initiator("carol"), guarded());
    let mut want = export([(alice(), Acl::new(Some(chap("alice", "another-secret-of-ours")), true)), carol]);
    want.target
        .as_mut()
        .unwrap()
        .tpgs
        .get_mut(&TpgTag::ONLY)
        .unwrap()
        .portals
        .insert(Portal::parse("[fd00::1]:3260").unwrap());
    let plan = plan_for(&fs, Some(&want));
    assert!(plan.all().all(|step| !matches!(step, Step::Disable(_) | Step::Enable(_))), "{plan}");
    attempt(&fs, Some(&want)).unwrap();
    assert!(fs.is_logged_in(&target(), &alice()), "alice was disturbed");
    assert!(!fs.is_logged_in(&target(), &bob), "bob was taken off the list");
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn initiators_with_and_without_chap_share_a_target() {
    let bob = initiator("bob");
    let want = export([(alice(), guarded()), (bob.clone(), open())]);
    let fs = kernel_with(&want);
    let tpg = Node::tpg(&target(), TpgTag::ONLY);
    assert_eq!(fs.read(&tpg.child("attrib/authentication")).unwrap(), "1\n");
    assert_eq!(fs.read(&tpg.acl(&bob).child("attrib/authentication")).unwrap(), "0\n");
    assert_eq!(fs.read(&tpg.acl(&alice()).child("attrib/authentication")).unwrap(), "1\n");
    assert_eq!(fs.read(&tpg.child("param/AuthMethod")).unwrap(), "CHAP,None\n");
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn an_old_kernel_serves_all_with_chap_or_all_without_and_says_why_not_both() {
    for want in [export([(alice(), guarded())]), export([(alice(), open())])] {
        let fs = Fake::without_acl_authentication();
        attempt(&fs, Some(&want)).unwrap();
        assert!(plan_for(&fs, Some(&want)).is_empty());
    }
    let fs = Fake::without_acl_authentication();
    let error = attempt(&fs, Some(&export([(alice(), guarded()), (initiator("bob"), open())]))).unwrap_err();
    assert!(error.to_string().contains("give all of them a Secret, or none"), "{error}");
}

#[test]
fn a_new_initiator_is_locked_out_until_its_luns_are_write_protected() {
    let fs = kernel_with(&export([]));
    let plan = plan_for(&fs, Some(&export([(alice(), Acl::new(None, true))])));
    let steps = lines(&plan, Phase::Target);
    let at =
        |what: &str| steps.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {steps:#?}"));
    assert!(at("\"1\" to iscsi") < at("write_protect"));
    let acl = |value: &str| {
        format!("write \"{value}\" to {}/attrib/authentication", Node::tpg(&target(), TpgTag::ONLY).acl(&alice()))
    };
    assert!(at(&acl("1")) < at("/lun_0"));
    assert!(at("write_protect") < at(&acl("0")));
}

#[test]
fn chap_goes_in_without_a_newline_and_a_changed_secret_alone_is_rewritten() {
    let fs = kernel_with(&export([(alice(), guarded())]));
    let auth = Node::tpg(&target(), TpgTag::ONLY).acl(&alice()).child("auth");
    assert_eq!(fs.dump()[auth.child("password").as_str()], "a-secret-of-16-bytes");
    let want = export([(alice(), Acl::new(Some(chap("alice", "rotated-secret-16-b")), false))]);
    let plan = plan_for(&fs, Some(&want));
    assert_eq!(plan.to_string(), format!("write *** to {}\n", auth.child("password")));
    // Somebody's `echo` left a newline in it: that is another password.
    attempt(&fs, Some(&want)).unwrap();
    write(&fs, &auth.child("password"), "rotated-secret-16-b\n");
    assert_eq!(plan_for(&fs, Some(&want)).all().count(), 1);
}

#[test]
fn mutual_chap_comes_and_goes() {
    let login = |user: &str, password: &str| Login::new(user, Secret::new(password)).unwrap();
    let mutual =
        Chap::new(login("alice", "a-secret-of-16-bytes"), Some(login("target", "another-of-16-bytes"))).unwrap();
    let want = export([(alice(), Acl::new(Some(mutual), false))]);
    let fs = kernel_with(&want);
    assert!(plan_for(&fs, Some(&want)).is_empty());
    let auth = Node::tpg(&target(), TpgTag::ONLY).acl(&alice()).child("auth");
    attempt(&fs, Some(&export([(alice(), guarded())]))).unwrap();
    assert_eq!(fs.dump()[auth.child("userid_mutual").as_str()], "NULL");
    assert!(plan_for(&fs, Some(&export([(alice(), guarded())]))).is_empty());
}

#[test]
fn somebody_elses_device_of_our_name_is_a_conflict_and_is_left_alone() {
    let fs = Fake::new();
    let hba = Node::hba(HbaNumber(7));
    let device = Node::device(HbaNumber(7), &uid());
    fs.mkdir(&hba).unwrap();
    fs.mkdir(&device).unwrap();
    write(&fs, &device.child("control"), "dev_config=rbd/pool/image,dev_size=1048576");
    let before = fs.dump();
    match plan(&read(&fs), Some(&export([]))) {
        Err(conflict @ Conflict::Foreign { .. }) => {
            assert!(conflict.to_string().contains(device.as_str()), "{conflict}");
        }
        other => panic!("{other:?}"),
    }
    attempt(&fs, None).unwrap();
    assert_eq!(fs.dump(), before);
}

#[test]
fn our_device_is_found_in_any_hba_and_a_shared_hba_outlives_it() {
    let fs = Fake::new();
    let other = Uid::parse("neighbour").unwrap();
    for node in [Node::hba(HbaNumber(3)), Node::device(HbaNumber(3), &uid()), Node::device(HbaNumber(3), &other)] {
        fs.mkdir(&node).unwrap();
    }
    attempt(&fs, Some(&export([]))).unwrap();
    assert_eq!(read(&fs).hba.number, HbaNumber(3));
    attempt(&fs, None).unwrap();
    assert!(fs.list(&Node::device(HbaNumber(3), &other)).is_ok());
    assert!(fs.list(&Node::device(HbaNumber(3), &uid())).is_err());
}

#[test]
fn a_taken_hba_number_is_passed_over_and_an_empty_hba_of_our_number_is_ours() {
    let fs = Fake::new();
    let derived = HbaNumber::derived(&uid());
    fs.mkdir(&Node::hba(derived)).unwrap();
    assert!(read(&fs).hba.exists && !read(&fs).is_empty());
    fs.mkdir(&Node::device(derived, &Uid::parse("neighbour").unwrap())).unwrap();
    attempt(&fs, Some(&export([]))).unwrap();
    assert_eq!(read(&fs).hba.number, derived.next());
}

#[test]
fn a_lun_of_ours_that_links_elsewhere_is_a_conflict_but_goes_with_the_target() {
    let fs = kernel_with(&export([]));
    let other = Uid::parse("neighbour").unwrap();
    let device = Node::device(HbaNumber(3), &other);
    for node in [Node::hba(HbaNumber(3)), device.clone()] {
        fs.mkdir(&node).unwrap();
    }
    write(&fs, &device.child("control"), "nl_reply_supported=-1");
    write(&fs, &device.child("enable"), "1");
    let lun = Node::tpg(&target(), TpgTag::ONLY).lun(LunNumber(0));
    fs.unlink(&lun.child(crate::BackstoreName::of(&uid()))).unwrap();
    fs.symlink(&lun.child("0123456789"), &device).unwrap();
    assert!(matches!(plan(&read(&fs), Some(&export([]))), Err(Conflict::LunTaken { .. })));
    attempt(&fs, None).unwrap();
    assert!(fs.list(&device).is_ok() && fs.list(&Node::target(&target())).is_err());
}

#[test]
fn what_was_put_into_our_target_by_hand_is_cleared() {
    let want = export([(alice(), open())]);
    let fs = kernel_with(&want);
    let tpg = Node::tpg(&target(), TpgTag::ONLY);
    let acl = tpg.child("acls").child("IQN.2026-01.com.example:Eve");
    let second = Node::tpg(&target(), TpgTag(2));
    for node in [acl.clone(), acl.child("lun_0"), tpg.child("np/[fd00:0:0::2]:3260"), tpg.lun(LunNumber(5)), second] {
        fs.mkdir(&node).unwrap();
    }
    fs.symlink(&acl.child("lun_0").child("x"), &tpg.lun(LunNumber(0))).unwrap();
    attempt(&fs, Some(&want)).unwrap();
    assert_eq!(read(&fs).export.target, want.target);
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn another_target_name_is_refused() {
    let fs = kernel_with(&export([]));
    let other = Target::new(initiator("t"), [], BTreeMap::new());
    let want = Export { target: Some(other), ..export([]) };
    assert!(matches!(plan(&read(&fs), Some(&want)), Err(Conflict::OtherTarget { .. })));
}

#[test]
fn a_half_made_lun_is_completed() {
    let want = export([]);
    let fs = kernel_with(&want);
    let lun = Node::tpg(&target(), TpgTag::ONLY).lun(LunNumber(0));
    fs.unlink(&lun.child(crate::BackstoreName::of(&uid()))).unwrap();
    assert_eq!(read(&fs).export.target.unwrap().tpgs[&TpgTag::ONLY].luns[&LunNumber(0)], Lun::Bare);
    attempt(&fs, Some(&want)).unwrap();
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn a_target_that_was_only_disabled_comes_back_with_its_ways_to_log_in() {
    let want = export([(alice(), guarded()), (initiator("bob"), open())]);
    let fs = kernel_with(&want);
    let tpg = Node::tpg(&target(), TpgTag::ONLY);
    write(&fs, &tpg.child("enable"), "0");
    attempt(&fs, Some(&want)).unwrap();
    assert_eq!(fs.read(&tpg.child("param/AuthMethod")).unwrap(), "CHAP,None\n");
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn strays_go_with_the_target() {
    let fs = kernel_with(&export([(alice(), open())]));
    let acl = Node::tpg(&target(), TpgTag::ONLY).child("acls/IQN.2026-01.com.example:Eve");
    let lun = Node::tpg(&target(), TpgTag::ONLY).lun(LunNumber(0));
    for node in [acl.clone(), acl.child("lun_0")] {
        fs.mkdir(&node).unwrap();
    }
    fs.symlink(&acl.child("lun_0/x"), &lun).unwrap();
    attempt(&fs, None).unwrap();
    assert!(read(&fs).is_empty());
}

#[test]
fn tuning_of_a_backstore_that_is_not_exported_is_done_at_once() {
    let mut want = Export { target: None, ..export([]) };
    let fs = kernel_with(&want);
    want.backstore.as_mut().unwrap().attrib.set("cmd_time_out", "150");
    attempt(&fs, Some(&want)).unwrap();
    assert_eq!(read(&fs).export.backstore.unwrap().attrib.get("cmd_time_out"), Some("150"));
}
