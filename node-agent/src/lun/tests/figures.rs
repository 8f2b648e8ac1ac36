//! What the thread counts, and how its limits hold commands back.

use std::num::NonZero;

use lunette_backend::IoErrorKind;

use super::*;
use crate::lun::meter::{ERRORS, KINDS, Kind, Ledger, Snapshot};

impl Bench {
    fn ledger(&self) -> Ledger {
        let ledger = Ledger::default();
        ledger.open(self.lun.meter());
        ledger
    }

    fn limit(&self, limits: Option<Rates>) {
        self.order_and_wait(Order::Limit(limits));
    }

    /// Gives an order and waits until it is obeyed and the thread sleeps.
    fn order_and_wait(&self, order: Order) {
        self.lun.order(order);
        while !self.lun.inbox.is_empty() {
            thread::yield_now();
        }
        self.wait_until_asleep();
    }

    fn all_good(&mut self, tags: Vec<Tag>) {
        for tag in tags {
            assert_eq!(self.answer(tag).status, 0);
        }
    }

    /// Stops the thread, so that it has counted all there is; what it counted.
    fn finish(mut self) -> Snapshot {
        let ledger = self.ledger();
        self.lun.order(Order::Stop);
        assert_eq!(self.ended(), Ended::Stopped);
        ledger.read()
    }
}

fn of(figures: &Snapshot, kind: Kind) -> u64 {
    figures.operations[kind as usize]
}

fn errors(figures: &Snapshot) -> Vec<(&'static str, u64)> {
    ERRORS.into_iter().zip(figures.errors).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn commands_are_counted_by_kind_with_their_bytes() {
    let mut bench = Bench::new();
    let tags = (0..5).map(|block| bench.write(block, 1)).chain([]).collect();
    bench.all_good(tags);
    let mut tags: Vec<Tag> = (0..3).map(|block| bench.read(block)).collect();
    // SYNCHRONIZE CACHE (10), TEST UNIT READY.
    tags.push(bench.kernel.submit(Request::writing(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[])));
    tags.push(bench.kernel.submit(Request::writing(&[0; 6], &[])));
    bench.all_good(tags);
    let figures = bench.finish();
    let kinds = [Kind::Read, Kind::Write, Kind::Discard, Kind::Flush, Kind::Verify, Kind::Other];
    assert_eq!(kinds.map(|kind| of(&figures, kind)), [3, 5, 0, 1, 0, 1]);
    assert_eq!((figures.read_bytes, figures.written_bytes), (3 * BLOCK as u64, 5 * BLOCK as u64));
    assert_eq!((errors(&figures), figures.in_flight, figures.held), (vec![], 0, 0));
    assert!((2..=10).contains(&figures.kicks), "{} kicks for two batches of answers", figures.kicks);
}

#[test]
fn only_the_bytes_that_an_initiator_got_are_counted() {
    let mut bench = Bench::new();
    // One block asked for, four expected: the rest is residual.
    let tag = bench.kernel.submit(Request::reading(&cdb(0x28, 1), 4 * BLOCK));
    assert_eq!(bench.answer(tag).status, 0);
    assert_eq!(bench.finish().read_bytes, BLOCK as u64);
}

#[test]
fn failures_are_counted_by_sense_key_and_move_no_bytes() {
    let mut bench = Bench::new();
    bench.script.on(1, ram::Act::Fail(IoErrorKind::Internal));
    // Out of range, failed by storage, and no command at all.
    let tags = [bench.read(10_000), bench.write(1, 1), bench.kernel.submit(Request::reading(&[0xff; 16], 0))];
    for tag in tags {
        assert_eq!(bench.answer(tag).status, 2);
    }
    let figures = bench.finish();
    assert_eq!(figures.errors.iter().sum::<u64>(), 3);
    assert!(errors(&figures).contains(&("illegal_request", 2)), "{:?}", errors(&figures));
    assert_eq!((figures.read_bytes, figures.written_bytes), (0, 0));
}

#[test]
fn what_runs_is_in_flight_until_it_is_answered() {
    let mut bench = Bench::new();
    let go = [bench.script.hold(1), bench.script.hold(2)];
    let tags = vec![bench.read(1), bench.read(2)];
    bench.script.wait_for_operations(2);
    bench.wait_until_asleep();
    assert_eq!(bench.ledger().read().in_flight, 2);
    go.into_iter().for_each(|go| go.send(()).unwrap());
    bench.all_good(tags);
    assert_eq!(bench.finish().in_flight, 0);
}

#[test]
fn timed_commands_stand_for_those_that_are_not() {
    let mut bench = Bench::new();
    // Of 3200 writes some 100 are timed: half of that, or twice, is five standard deviations away.
    for round in 0..800 {
        let tags = (0..16).map(|block| if round % 4 == 0 { bench.write(block, 1) } else { bench.read(block) });
        let tags = tags.collect();
        bench.all_good(tags);
    }
    let figures = bench.finish();
    let timed: Vec<u64> = figures.backend.iter().map(super::super::meter::Buckets::count).collect();
    for (kind, name) in KINDS {
        let (all, timed) = (of(&figures, kind), timed[kind as usize]);
        assert!(timed.abs_diff(all) <= all / 2, "{timed} of {all} commands that are a {name}");
    }
    assert_eq!(figures.completion.count(), timed.iter().sum::<u64>(), "each answer is handed over once");
    assert!(figures.completion.seconds() > 0.0);
}

/// So slow that it ends in no test: a command that overdraws it shuts the ring for good.
fn stingy() -> Option<Rates> {
    Some(Rates { bytes: NonZero::new(1), ..Rates::default() })
}

#[test]
fn a_lun_at_its_limit_leaves_commands_in_the_ring_and_answers_those_it_took() {
    let mut bench = Bench::new();
    bench.limit(stingy());
    let first = bench.read(1);
    assert_eq!(bench.answer(first).status, 0);
    let left = bench.read(2);
    // Whatever the order, the thread sleeps anew, and with this command in the ring.
    bench.order_and_wait(Order::Resized);
    assert_eq!((bench.kernel.handle_kick(), bench.kernel.take(left)), (false, None));
    // Taken away, and so woken.
    bench.lun.order(Order::Limit(None));
    assert_eq!(bench.answer(left).status, 0);
    assert!(bench.finish().held > 0, "the time that it was held is counted");
}

#[test]
fn a_lun_at_its_limit_stops_when_told_and_leaves_the_rest_to_the_next_agent() {
    let mut bench = Bench::new();
    bench.limit(stingy());
    let first = bench.read(1);
    assert_eq!(bench.answer(first).status, 0);
    let left = bench.read(2);
    bench.lun.order(Order::Stop);
    assert_eq!(bench.ended(), Ended::Stopped);
    bench.kernel.handle_kick();
    assert_eq!((bench.kernel.take(left), bench.kernel.running()), (None, 1));
}

#[test]
fn a_lun_at_its_limit_goes_on_with_what_it_took() {
    let mut bench = Bench::new();
    let go = bench.script.hold(1);
    let slow = bench.read(1);
    bench.script.wait_for_operations(1);
    bench.limit(stingy());
    let overdraws = bench.read(2);
    assert_eq!(bench.answer(overdraws).status, 0);
    let left = bench.read(3);
    go.send(()).unwrap();
    assert_eq!(bench.answer(slow).status, 0);
    assert_eq!(bench.kernel.take(left), None);
}

#[test]
fn a_lun_at_its_limit_notices_that_its_backstore_was_removed() {
    let mut bench = Bench::new();
    bench.limit(stingy());
    let first = bench.read(1);
    assert_eq!(bench.answer(first).status, 0);
    let _lost = bench.read(2);
    bench.wait_until_asleep();
    bench.kernel.remove();
    assert_eq!(bench.ended(), Ended::Removed);
}

#[test]
fn task_management_gets_through_a_lun_that_is_limited() {
    let mut bench = Bench::new();
    bench.limit(Some(Rates { operations: NonZero::new(200), ..Rates::default() }));
    let tags: Vec<Tag> = (0..20).map(|block| bench.read(block)).collect();
    let ids: Vec<u16> = tags.iter().filter_map(|tag| bench.kernel.cmd_id(*tag)).collect();
    // ABORT TASK SET; the kernel waits for the answers of these.
    assert!(bench.kernel.task_management(2, &ids));
    bench.all_good(tags);
    let next = bench.read(1);
    assert_eq!(bench.answer(next).status, 0);
    assert_eq!(bench.finish().task_management, 1);
}
