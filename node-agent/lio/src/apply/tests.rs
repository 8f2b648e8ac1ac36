//! Applying: what counts as done, what an error says, and what happens when the kernel does not come back.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::configfs::{Configfs, Fake};
use crate::fixtures::*;
use crate::name::{HbaNumber, TpgTag};
use crate::portal::Portal;
use crate::tree::Acl;

fn steps(fs: &Fake) -> Vec<Step> {
    plan_for(fs, Some(&export([(initiator("alice"), Acl::new(None, false))]))).all().cloned().collect()
}

#[test]
fn running_the_same_steps_again_is_harmless() {
    let fs = Fake::new();
    let steps = steps(&fs);
    apply(&fs, &steps, |_, _| {}).unwrap();
    let before = fs.dump();
    // All but the control line and the attributes that a running export forbids to write.
    let again: Vec<Step> = steps.into_iter().filter(|step| !matches!(step, Step::Write { .. })).collect();
    let mut outcomes = Vec::new();
    apply(&fs, &again, |_, result| outcomes.push(result.clone().unwrap())).unwrap();
    // The kernel takes a second `enable` of a TPG for granted, that of a device it refuses.
    let (tpg_enable, others) = outcomes.split_last().unwrap();
    assert_eq!(*tpg_enable, Applied::Done);
    assert!(others.iter().all(|outcome| *outcome == Applied::Already), "{outcomes:?}");
    assert_eq!(fs.dump(), before);
}

#[test]
fn removing_what_is_gone_is_harmless() {
    let fs = Fake::new();
    let node = Node::hba(HbaNumber(9));
    let gone = [Step::Unlink(node.child("x")), Step::Disable(node.clone()), Step::Rmdir(node)];
    apply(&fs, &gone, |_, result| assert_eq!(result, &Ok(Applied::Already))).unwrap();
}

#[test]
fn the_first_failure_ends_the_run_and_names_step_and_errno() {
    let fs = Fake::new();
    fs.fail_at(Some(2));
    let mut seen = 0;
    let error = apply(&fs, &steps(&fs), |_, _| seen += 1).unwrap_err();
    assert_eq!((seen, error.errno), (3, Errno::EIO));
    assert!(error.to_string().starts_with("cannot write "), "{error}");
}

#[test]
fn a_link_that_points_elsewhere_is_not_taken_for_ours() {
    let fs = kernel_with(&export([]));
    let found = read(&fs);
    let link = Node::tpg(&target(), TpgTag::ONLY).child("lun/lun_0").child(found.device().name());
    let elsewhere = Step::Link { link, to: Node::hba(HbaNumber(1)) };
    assert!(apply(&fs, &[elsewhere], |_, _| {}).is_err());
}

#[test]
fn a_portal_that_cannot_be_opened_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = Portal::try_from(taken.local_addr().unwrap()).unwrap();
    for (portal, reason) in
        [(portal, "the port is in use"), (Portal::parse("192.0.2.1:3260").unwrap(), "not an address of this node")]
    {
        let fs = Fake::new();
        fs.occupy(&portal.to_string());
        let mut want = export([]);
        let target = want.target.as_mut().unwrap();
        target.tpgs.get_mut(&TpgTag::ONLY).unwrap().portals = [portal].into();
        let error = attempt(&fs, Some(&want)).unwrap_err();
        assert_eq!(error.errno, Errno::EINVAL);
        assert!(error.to_string().contains(reason) && error.to_string().contains(&portal.to_string()), "{error}");
    }
}

#[test]
fn a_busy_device_says_who_holds_it() {
    let fs = kernel_with(&export([]));
    let error = apply(&fs, &[Step::Rmdir(read(&fs).device())], |_, _| {}).unwrap_err();
    assert_eq!(error.errno, Errno::EBUSY);
    assert!(error.to_string().contains("still links to it"), "{error}");
}

#[test]
fn a_bounded_run_does_and_reports_the_same() {
    let fs = Arc::new(Fake::new());
    let steps = steps(&fs);
    let mut seen = Vec::new();
    apply_bounded(fs.clone(), &steps, Duration::from_secs(60), |step, _| seen.push(step.clone())).unwrap();
    assert_eq!(seen, steps);
    fs.fail_at(Some(0));
    let error = apply_bounded(fs, &steps, Duration::from_secs(60), |_, _| {}).unwrap_err();
    assert!(matches!(error, ApplyError::Step(StepError { errno: Errno::EIO, .. })), "{error}");
}

#[test]
fn a_step_that_sleeps_in_the_kernel_is_left_behind_and_nothing_follows_it() {
    let fs = Arc::new(Fake::new());
    let steps = steps(&fs);
    fs.sleep_at(1);
    let outcome = apply_bounded(fs.clone(), &steps, Duration::from_millis(50), |_, _| {});
    let Err(ApplyError::Stuck(stuck)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(stuck.step, steps[1]);
    assert!(!stuck.is_over());
    assert!(stuck.to_string().starts_with(&format!("{} has not come back", steps[1])), "{stuck}");
    fs.wake();
    while !stuck.is_over() {
        std::thread::yield_now();
    }
    assert_eq!(fs.changes(), 2, "the thread left behind went on");
    assert!(fs.list(steps[1].node()).is_ok(), "the step itself was done when the kernel let go");
}
