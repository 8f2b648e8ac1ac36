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
