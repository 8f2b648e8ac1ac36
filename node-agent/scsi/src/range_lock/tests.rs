//! Who waits for whom, polled by hand.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use futures::FutureExt;

use super::*;

fn range(at: u64, len: u64) -> ByteRange {
    ByteRange { at, len }
}

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

#[test]
fn readers_wait_for_nobody_until_one_excludes_them() {
    let lock = RangeLock::new();
    let _compare = now(lock.exclude(range(0, 8)));
    let before = now(lock.read(range(0, 8)));
    assert!(before.is_some());
    let mut atomic = pin!(lock.exclude_readers(range(16, 8)));
    assert!(atomic.as_mut().now_or_never().is_none(), "a reader is still there");
    assert!(now(lock.read(range(16, 1))).is_none() && now(lock.read(range(8, 8))).is_some());
    drop(before);
    let held = atomic.now_or_never();
    assert!(held.is_some());
    assert!(now(lock.read(range(20, 1))).is_none());
    drop(held);
    assert!(now(lock.read(range(20, 1))).is_some());
}

#[test]
fn writers_share_and_an_exclusive_claim_waits_for_them() {
    let lock = RangeLock::new();
    let first = now(lock.share(range(0, 8)));
    let second = now(lock.share(range(4, 8)));
    assert!(first.is_some() && second.is_some());
    assert!(now(lock.exclude(range(11, 4))).is_none());
    assert!(now(lock.exclude(range(12, 4))).is_some());
    drop((first, second));
    assert!(now(lock.exclude(range(0, 16))).is_some());
}

#[test]
fn writers_share_also_while_an_exclusive_claim_is_held_elsewhere() {
    let lock = RangeLock::new();
    let elsewhere = now(lock.exclude(range(100, 1)));
    let (first, second) = (now(lock.share(range(0, 8))), now(lock.share(range(0, 8))));
    assert!(elsewhere.is_some() && first.is_some() && second.is_some());
}

#[test]
fn later_writers_queue_behind_a_waiting_exclusive_claim() {
    let lock = RangeLock::new();
    let writer = now(lock.share(range(0, 8))).expect("nothing is in the way");
    let mut context = Context::from_waker(Waker::noop());
    let mut swap = pin!(lock.exclude(range(0, 8)));
    assert!(swap.as_mut().poll(&mut context).is_pending());
    let mut late = pin!(lock.share(range(7, 1)));
    assert!(late.as_mut().poll(&mut context).is_pending());
    assert!(now(lock.share(range(8, 1))).is_some(), "elsewhere nobody waits");

    drop(writer);
    let Poll::Ready(held) = swap.as_mut().poll(&mut context) else { panic!("its turn has come") };
    assert!(late.as_mut().poll(&mut context).is_pending());
    drop(held);
    assert!(late.as_mut().poll(&mut context).is_ready());
}

#[test]
fn leaving_wakes_whoever_waits() {
    let lock = RangeLock::new();
    let held = now(lock.exclude(range(0, 8))).expect("nothing is in the way");
    let (count, waker) = counting_waker();
    let mut waiting = pin!(lock.share(range(0, 1)));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(held);
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_command_dropped_while_it_waits_leaves_no_claim() {
    let lock = RangeLock::new();
    let held = now(lock.share(range(0, 8)));
    assert!(now(lock.exclude(range(0, 8))).is_none());
    assert!(now(lock.share(range(0, 8))).is_some(), "the dropped claim is in nobody's way");
    drop(held);
    let state = lock.state.borrow();
    assert_eq!((state.exclusive, state.waiting), (0, 0));
    assert!(state.claims.iter().all(Option::is_none));
}

#[test]
fn slots_are_used_again() {
    let lock = RangeLock::new();
    for at in 0..1000 {
        drop(now(lock.share(range(at, 1))));
    }
    assert_eq!(lock.state.borrow().claims.len(), 1);
}

fn counting_waker() -> (Arc<AtomicUsize>, Waker) {
    struct Count(Arc<AtomicUsize>);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::<AtomicUsize>::default();
    (count.clone(), Waker::from(Arc::new(Count(count))))
}

#[test]
fn the_two_sides_of_a_copy_may_overlap_and_exclude_everybody_else() {
    let lock = RangeLock::new();
    let copy = now(lock.copy(range(0, 8), range(4, 8)));
    assert!(copy.is_some(), "it does not wait for itself");
    for at in [0, 5, 11] {
        assert!(now(lock.share(range(at, 1))).is_none());
    }
    assert!(now(lock.share(range(12, 1))).is_some());
    drop(copy);
    assert!(now(lock.share(range(0, 16))).is_some());
}

#[test]
fn copies_back_and_forth_do_not_wait_for_each_other_in_a_circle() {
    let lock = RangeLock::new();
    let writer = now(lock.share(range(0, 1)));
    let mut there = pin!(lock.copy(range(0, 8), range(8, 8)));
    let mut back = pin!(lock.copy(range(8, 8), range(0, 8)));
    assert!(there.as_mut().now_or_never().is_none());
    assert!(back.as_mut().now_or_never().is_none());
    drop(writer);
    let first = there.as_mut().now_or_never();
    assert!(first.is_some() && back.as_mut().now_or_never().is_none());
    drop(first);
    assert!(back.as_mut().now_or_never().is_some());
}

#[test]
fn a_copy_that_is_dropped_while_it_waits_leaves_nothing_claimed() {
    let lock = RangeLock::new();
    let writer = now(lock.share(range(8, 1)));
    assert!(now(lock.copy(range(0, 8), range(8, 8))).is_none());
    drop(writer);
    assert!(now(lock.exclude(range(0, 16))).is_some());
}

#[test]
fn a_watch_is_disturbed_by_writes_to_its_ranges_alone() {
    let lock = RangeLock::new();
    let watch = lock.watch(vec![range(0, 4), range(8, 4)]);
    drop(now(lock.share(range(4, 4))));
    drop(now(lock.freeze(range(0, 16))));
    drop(now(lock.copy(range(0, 4), range(12, 4))));
    assert!(!watch.is_disturbed(), "elsewhere, or only looked at");
    let write = now(lock.share(range(11, 1)));
    assert!(!watch.is_disturbed(), "not while it is under way");
    drop(write);
    assert!(watch.is_disturbed());
    for disturb in [
        |lock: &RangeLock| drop(now(lock.exclude(range(3, 1)))),
        |lock: &RangeLock| {
            drop(now(lock.copy(range(20, 4), range(0, 4))));
        },
    ] {
        let watch = lock.watch(vec![range(0, 4)]);
        disturb(&lock);
        assert!(watch.is_disturbed());
    }
}

#[test]
fn a_write_that_waited_when_the_watch_was_set_up_disturbs_it() {
    let lock = RangeLock::new();
    let frozen = now(lock.freeze(range(0, 4)));
    let mut write = pin!(lock.share(range(0, 1)));
    assert!(write.as_mut().now_or_never().is_none());
    let watch = lock.watch(vec![range(0, 4)]);
    drop(frozen);
    drop(write.as_mut().now_or_never());
    assert!(watch.is_disturbed());
}
