//! A ring that a dead agent left behind with commands in flight, and the thread that goes on with it.
//!
//! The dead agent is this test: it takes commands from the ring, does with storage what it says, and vanishes.

use lunette_tcmu::{Command, Entry, Journal};
use tempfile::TempDir;

use super::*;
use crate::lun::takeover::go_on;

const BUSY: u8 = 8;

/// A dead agent's ring, journal and storage.
struct Wreck {
    kernel: Kernel,
    script: Arc<Script>,
    dir: TempDir,
}

impl Wreck {
    /// The agent takes all that `queue` submits and dies after `act`.
    fn of(queue: impl FnOnce(&mut Kernel), act: impl FnOnce(&mut Ring, Vec<Command>)) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut kernel = Kernel::new(Layout::default());
        let journal = Journal::open(&dir.path().join("journal"), 1).unwrap();
        let (_device, mut ring) = kernel.claim().attach_with(journal).unwrap();
        queue(&mut kernel);
        let mut taken = Vec::new();
        while let Some(Entry::Command(command)) = ring.next().unwrap() {
            taken.push(command);
        }
        act(&mut ring, taken);
        Self { kernel, script: Script::new(), dir }
    }

    /// The next agent.
    fn resume(mut self) -> Bench {
        let (claim, storage) = (self.kernel.claim(), Arc::clone(&self.script));
        let journal = Journal::open(&self.dir.path().join("journal"), 1).unwrap();
        let lun = LunThread::spawn("bench", tracing::Span::none(), move |inbox, progress| {
            attend(unit(storage), inbox, progress, || {
                let resumed = claim.resume(journal);
                go_on(resumed.unwrap_or_else(|refused| panic!("{}", refused.doubt)))
            })
        });
        Bench { kernel: self.kernel, script: self.script, lun: lun.unwrap() }
    }
}

fn write(block: u32, byte: u8) -> Request {
    Request::writing(&cdb(0x2a, block), &[byte; BLOCK])
}

fn compare_and_write(block: u8) -> Request {
    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, block, 0, 0, 0, 1, 0, 0];
    Request::writing(&cdb, &[0; 2 * BLOCK])
}

#[test]
fn what_was_in_flight_is_finished_without_busy() {
    let mut tags = Vec::new();
    let wreck = Wreck::of(
        |kernel| tags = [write(1, 0xaa), read(2), write(3, 0xbb)].map(|request| kernel.submit(request)).into(),
        |_, taken| drop(taken),
    );
    let mut bench = wreck.resume();
    let answers: Vec<u8> = tags.into_iter().map(|tag| bench.answer(tag).status).collect();
    assert_eq!(answers, [0, 0, 0]);
    for (block, byte) in [(1, 0xaa), (3, 0xbb)] {
        let tag = bench.read(block);
        assert_eq!(bench.answer(tag).data, [byte; BLOCK], "block {block}");
    }
    assert_eq!((bench.kernel.running(), bench.kernel.blocks_in_use()), (0, 0));
}

#[test]
fn what_compares_is_given_back_and_so_is_a_write_that_ran_beside_it_over_the_same_blocks() {
    let mut tags = Vec::new();
    let wreck = Wreck::of(
        |kernel| tags = [compare_and_write(1), write(1, 1), write(2, 2)].map(|request| kernel.submit(request)).into(),
        |_, taken| drop(taken),
    );
    let mut bench = wreck.resume();
    let answers: Vec<u8> = tags.into_iter().map(|tag| bench.answer(tag).status).collect();
    assert_eq!(answers, [BUSY, BUSY, 0]);
}

#[test]
fn a_write_is_given_back_if_a_later_one_over_it_was_answered() {
    let mut tags = Vec::new();
    let wreck = Wreck::of(
        |kernel| tags = [write(1, 1), write(1, 2)].map(|request| kernel.submit(request)).into(),
        |ring, mut taken| {
            let newer = taken.pop().unwrap();
            drop(newer.data);
            ring.complete(newer.ticket, &Reply::GOOD);
        },
    );
    let mut bench = wreck.resume();
    let answers: Vec<u8> = tags.into_iter().map(|tag| bench.answer(tag).status).collect();
    assert_eq!(answers, [BUSY, 0], "the answer that was not published is");
}

#[test]
fn no_newer_write_is_overtaken_by_a_repeated_one_however_slow_storage_is() {
    let mut old = None;
    let wreck = Wreck::of(|kernel| old = Some(kernel.submit(write(1, 0x01))), |_, taken| drop(taken));
    let go = wreck.script.hold(1);
    let mut bench = wreck.resume();
    bench.script.wait_for_operations(1);
    let newer = bench.write(1, 0x02);
    let elsewhere = bench.read(2);
    bench.wait_until_asleep();
    assert_eq!(bench.kernel.wait(elsewhere, Duration::from_millis(20)), None, "nothing newer is begun");
    assert_eq!(bench.script.operations(), 1);
    go.send(()).unwrap();
    for tag in [old.unwrap(), newer, elsewhere] {
        assert_eq!(bench.answer(tag).status, 0);
    }
    let tag = bench.read(1);
    assert_eq!(bench.answer(tag).data, [0x02; BLOCK]);
}

#[test]
fn stop_waits_for_what_is_repeated() {
    let mut tag = None;
    let wreck = Wreck::of(|kernel| tag = Some(kernel.submit(write(1, 1))), |_, taken| drop(taken));
    let go = wreck.script.hold(1);
    let mut bench = wreck.resume();
    bench.script.wait_for_operations(1);
    bench.lun.order(Order::Stop);
    go.send(()).unwrap();
    assert_eq!(bench.answer(tag.unwrap()).status, 0);
    assert_eq!(bench.ended(), Ended::Stopped);
}
