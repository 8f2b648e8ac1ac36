//! Being held still: what runs ends first, nothing begins meanwhile, and everything goes on afterwards.

use lunette_backend::{Changes, IoErrorKind};

use super::*;
use crate::lun::meter::Ledger;

/// Bytes; enough for every block that is written here.
const SIZE: u64 = 64 << 10;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_pause_begins_when_what_was_taken_has_ended_and_keeps_the_rest_in_the_ring() {
    let (mut bench, runtime) = (Bench::new(), runtime());
    let go = bench.script.hold(1);
    let taken = bench.write(1, 0xaa);
    bench.script.wait_for_operations(1);
    let pauser = bench.lun.pauser();
    let asked = runtime.spawn(async move { pauser.pause(PATIENCE).await });
    runtime.block_on(tokio::task::yield_now());
    bench.wait_until_asleep();
    assert!(!asked.is_finished(), "a write runs");
    go.send(()).unwrap();
    let pause = runtime.block_on(asked).unwrap().expect("it is served");
    assert_eq!(bench.answer(taken).status, 0);
    let waiting = bench.write(2, 0xbb);
    bench.wait_until_asleep();
    assert_eq!((bench.script.operations(), bench.kernel.take(waiting)), (1, None));
    assert!(pause.end(), "it held");
    assert_eq!(bench.answer(waiting).status, 0);
    let ledger = Ledger::default();
    ledger.open(bench.lun.meter());
    assert_eq!(ledger.read().pauses.count(), 1);
}

#[test]
fn a_second_pause_holds_when_the_first_is_over() {
    let (mut bench, runtime) = (Bench::new(), runtime());
    bench.wait_until_asleep();
    let pauser = bench.lun.pauser();
    let first = runtime.block_on(pauser.pause(PATIENCE)).unwrap();
    let second = runtime.block_on(pauser.pause(PATIENCE)).unwrap();
    assert!(first.end());
    let waiting = bench.read(1);
    bench.wait_until_asleep();
    assert_eq!((bench.script.operations(), bench.kernel.take(waiting)), (0, None));
    drop(second);
    assert_eq!(bench.answer(waiting).status, 0);
    let third = runtime.block_on(pauser.pause(PATIENCE)).unwrap();
    assert!(third.end());
}

#[test]
fn a_pause_that_storage_does_not_grant_in_time_is_given_up_and_the_lun_goes_on() {
    let (mut bench, runtime) = (Bench::new(), runtime());
    let go = bench.script.hold(1);
    let stuck = bench.read(1);
    bench.script.wait_for_operations(1);
    let refused = runtime.block_on(bench.lun.pauser().pause(Duration::from_millis(20)));
    assert_eq!(refused.err(), Some(NoPause::Busy));
    let other = bench.read(2);
    assert_eq!(bench.answer(other).status, 0, "nothing is kept back any more");
    go.send(()).unwrap();
    assert_eq!(bench.answer(stuck).status, 0);
}

#[test]
fn a_thread_that_ends_in_a_pause_says_that_it_did_not_hold() {
    let (mut bench, runtime) = (Bench::new(), runtime());
    bench.wait_until_asleep();
    let pauser = bench.lun.pauser();
    let pause = runtime.block_on(pauser.pause(PATIENCE)).unwrap();
    bench.lun.order(Order::Stop);
    assert_eq!(bench.ended(), Ended::Stopped);
    assert!(!pause.end());
    assert_eq!(runtime.block_on(pauser.pause(PATIENCE)).err(), Some(NoPause::NotServed));
}

#[test]
fn what_is_written_while_it_is_watched_is_noted_before_it_is_answered() {
    let (mut bench, runtime) = (Bench::new(), runtime());
    let before = bench.write(1, 0xaa);
    assert_eq!(bench.answer(before).status, 0);
    let (pauser, changes) = (bench.lun.pauser(), Arc::new(Changes::of(SIZE)));
    runtime.block_on(pauser.watch(&changes, PATIENCE)).unwrap();
    let read = bench.read(1);
    assert_eq!(bench.answer(read).status, 0);
    assert!(changes.take(SIZE).is_empty(), "nothing was written since");
    let go = bench.script.hold(2);
    let held = bench.write(2, 0xbb);
    bench.script.wait_for_operations(3);
    // That it was tried at once may be noted, too.
    let _ = changes.take(SIZE);
    go.send(()).unwrap();
    assert_eq!(bench.answer(held).status, 0);
    assert_eq!(changes.take(SIZE).len(), 1);
    bench.script.on(3, ram::Act::Fail(IoErrorKind::MediumWrite));
    let failed = bench.write(3, 0xcc);
    assert_ne!(bench.answer(failed).status, 0);
    assert_eq!(changes.take(SIZE).len(), 1, "who knows how much of it was written");
}

#[test]
fn a_thread_that_has_ended_watches_nothing() {
    let (mut bench, runtime) = (Bench::new(), runtime());
    let pauser = bench.lun.pauser();
    bench.lun.order(Order::Stop);
    assert_eq!(bench.ended(), Ended::Stopped);
    let refused = runtime.block_on(pauser.watch(&Arc::new(Changes::of(SIZE)), PATIENCE));
    assert_eq!(refused.err(), Some(NoPause::NotServed));
}
