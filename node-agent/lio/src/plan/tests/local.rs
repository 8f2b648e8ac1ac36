//! The target behind a local disk: the kernel's order of making and removing it, and what is not ours in it.

use super::*;
use crate::naa::Naa;
use crate::tree::LocalDisk;

fn with_disk(read_only: bool) -> Export {
    Export { local: Some(LocalDisk::new(read_only)), ..export([(alice(), open())]) }
}

fn tpg() -> Node {
    Node::loop_tpg(&uid())
}

fn mapped() -> Node {
    tpg().child("acls").child(Naa::initiator(&uid())).child("lun_0")
}

#[test]
fn a_local_disk_stands_beside_the_target_and_a_second_plan_is_empty() {
    let want = with_disk(true);
    let fs = kernel_with(&want);
    let found = read(&fs);
    assert_eq!((&found.export.local, &found.export.target), (&want.local, &want.target));
    assert!(plan(&found, Some(&want)).unwrap().is_empty());
    assert_eq!(fs.read(&mapped().child("write_protect")).unwrap(), "1\n");
    let address = crate::disk_address(&fs, &uid()).unwrap().unwrap();
    assert_eq!((address.channel, address.target), (0, 1));
}

#[test]
fn the_lun_is_linked_once_there_is_a_session_and_only_a_reader_needs_an_acl() {
    let steps = lines(&plan_for(&Fake::new(), Some(&with_disk(false))), Phase::Local);
    assert!(!steps.iter().any(|line| line.contains("/acls/")), "{steps:#?}");
    let at = |what: &str| steps.iter().position(|line| line.contains(what)).unwrap();
    assert!(at("/nexus") < at("link loopback"), "{steps:#?}");
    let steps = lines(&plan_for(&Fake::new(), Some(&with_disk(true))), Phase::Local);
    assert!(steps.last().unwrap().ends_with(&format!("write \"1\" to {}/write_protect", mapped())), "{steps:#?}");
}

#[test]
fn a_disk_that_goes_alone_is_flushed_and_one_that_goes_with_its_lun_is_cut_off() {
    let fs = kernel_with(&with_disk(true));
    let alone = lines(&plan_for(&fs, Some(&export([(alice(), open())]))), Phase::RemoveLocal);
    assert!(alone[0].starts_with("unlink "), "{alone:#?}");
    let nexus = alone.iter().position(|line| line.contains("nexus")).unwrap();
    let acl = alone.iter().position(|line| line.contains("/acls/")).unwrap();
    assert!(nexus < acl, "removing the ACL of a session waits for its end: {alone:#?}");
    let all = lines(&plan_for(&fs, None), Phase::RemoveLocal);
    assert_eq!(all[0], format!("write \"offline\" to {}/transport_status", tpg()));
    assert_eq!(all[1..], alone);
    attempt(&fs, None).unwrap();
    assert!(read(&fs).is_empty());
    assert_eq!(crate::disk_address(&fs, &uid()), Ok(None));
}

#[test]
fn a_disk_comes_to_refuse_writes_and_to_take_them_again_without_a_pause() {
    let fs = kernel_with(&with_disk(false));
    let disk = crate::disk_address(&fs, &uid());
    for read_only in [true, false, true] {
        let plan = plan_for(&fs, Some(&with_disk(read_only)));
        assert!(plan.steps(Phase::RemoveLocal).is_empty(), "{plan}");
        attempt(&fs, Some(&with_disk(read_only))).unwrap();
        assert!(plan_for(&fs, Some(&with_disk(read_only))).is_empty());
        assert_eq!(read(&fs).export.local.unwrap().read_only(), read_only);
    }
    assert_eq!(crate::disk_address(&fs, &uid()), disk);
}

#[test]
fn a_kernel_without_tcm_loop_is_told_apart_and_iscsi_goes_on() {
    let fs = Fake::without_loopback();
    let error = attempt(&fs, Some(&with_disk(false))).unwrap_err();
    assert!(error.to_string().contains("run `modprobe tcm_loop`"), "{error}");
    assert!(fs.login(&target(), &alice()));
}

#[test]
fn a_session_by_somebodys_hand_is_replaced_by_ours() {
    let want = with_disk(false);
    let fs = kernel_with(&want);
    let ours = crate::BackstoreName::of(&uid());
    fs.unlink(&tpg().child("lun/lun_0").child(&ours)).unwrap();
    write(&fs, &tpg().child("nexus"), "NULL");
    write(&fs, &tpg().child("nexus"), "naa.5001405aabbccddf");
    attempt(&fs, Some(&want)).unwrap();
    assert_eq!(read(&fs).export.local, want.local);
    assert!(plan_for(&fs, Some(&want)).is_empty());
}

#[test]
fn what_was_put_into_our_disks_target_by_hand_is_cleared() {
    let want = with_disk(false);
    let fs = kernel_with(&want);
    let second = Node::loop_target(&uid()).child("tpgt_2");
    let acl = tpg().child("acls/naa.5001405aabbccddf");
    for node in [second.clone(), second.child("lun/lun_3"), acl.clone(), acl.child("lun_0"), tpg().child("lun/lun_5")] {
        fs.mkdir(&node).unwrap();
    }
    write(&fs, &second.child("nexus"), "naa.5001405aabbccddf");
    fs.symlink(&second.child("lun/lun_3/x"), &read(&fs).device()).unwrap();
    attempt(&fs, Some(&want)).unwrap();
    assert!(plan_for(&fs, Some(&want)).is_empty() && read(&fs).local_strays.is_empty());
    assert_eq!(read(&fs).export.local, want.local);
}

#[test]
fn a_disk_whose_lun_links_elsewhere_is_a_conflict() {
    let fs = kernel_with(&with_disk(false));
    let device = Node::device(HbaNumber(3), &Uid::parse("neighbour").unwrap());
    for node in [Node::hba(HbaNumber(3)), device.clone()] {
        fs.mkdir(&node).unwrap();
    }
    write(&fs, &device.child("control"), "nl_reply_supported=-1");
    write(&fs, &device.child("enable"), "1");
    let lun = tpg().child("lun/lun_0");
    fs.unlink(&lun.child(crate::BackstoreName::of(&uid()))).unwrap();
    fs.symlink(&lun.child("other"), &device).unwrap();
    assert!(matches!(super::plan(&read(&fs), Some(&with_disk(false))), Err(Conflict::LunTaken { .. })));
    attempt(&fs, None).unwrap();
    assert!(fs.list(&device).is_ok());
}

#[test]
fn an_orphan_is_known_by_its_disk_and_what_was_not_finished_is_swept() {
    let fs = kernel_with(&with_disk(false));
    assert!(crate::owners(&fs, &prefix()).unwrap().contains(&uid()));
    let never_finished = Uid::parse("never-finished").unwrap();
    let others = Node::loopback().child("naa.5001405aabbccdde");
    for node in [Node::loop_target(&never_finished), Node::loop_tpg(&never_finished), others.clone()] {
        fs.mkdir(&node).unwrap();
    }
    write(&fs, &Node::loop_tpg(&never_finished).child("nexus"), Naa::initiator(&never_finished).as_str());
    let steps = crate::abandoned(&fs).unwrap();
    crate::apply(&fs, &steps, |_, _| {}).unwrap();
    assert!(fs.list(&Node::loop_target(&never_finished)).is_err());
    assert!(fs.list(&others).is_ok() && plan_for(&fs, Some(&with_disk(false))).is_empty());
}
