//! Agents that die against the mock kernel, and those that come after them.

mod crash_points;
mod doubts;

use std::path::PathBuf;

use lunette_iobuf::DataBuf;
use smallvec::smallvec;
use tempfile::TempDir;

use super::*;
use crate::mock::{Config, Kernel, Request as Sent, Tag};
use crate::{Command, Device, Entry, Reply, Resumed, Ring};

const BOOT: u128 = 7;
const WRITE: u8 = 0x2a;
const READ: u8 = 0x28;
/// Adds one: not to be done twice.
const ADD: u8 = 0x35;
const BUSY: Reply<'static> = Reply { status: 8, sense: &[], read_len: None };

/// A kernel, and the journal that outlives agents.
struct Bench {
    kernel: Kernel,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::of_ring_size(4096)
    }

    fn of_ring_size(size: u32) -> Self {
        let config = Config { ring_bytes: size + 128, blocks: 64, block_size: 4096, flags: 0xf };
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { kernel: Kernel::new(config), dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.path(), BOOT).unwrap()
    }

    /// A first agent's ring.
    fn first(&mut self) -> (Device, Ring) {
        self.kernel.claim().attach_with(self.journal()).unwrap()
    }

    /// What a next agent finds.
    fn next(&mut self) -> Result<Resumed, Doubt> {
        let journal = self.journal();
        self.kernel.claim().resume(journal).map_err(|refused| refused.doubt)
    }

    /// The same, told apart.
    fn sorted(&mut self) -> (Resumed, Sorted) {
        let mut resumed = self.next().unwrap_or_else(|doubt| panic!("{doubt}"));
        let interrupted = std::mem::take(&mut resumed.interrupted);
        let sorted = sort(interrupted, &resumed.history, effect);
        (resumed, sorted)
    }

    fn write(&mut self, cell: u8, count: u8, value: u8) -> Tag {
        self.kernel.submit(Sent::writing(&cdb(WRITE, cell, count), &vec![value; count.into()]))
    }

    fn read(&mut self, cell: u8, count: u8) -> Tag {
        self.kernel.submit(Sent::reading(&cdb(READ, cell, count), count.into()))
    }

    fn status(&mut self, tag: Tag) -> Option<u8> {
        self.kernel.harvest();
        self.kernel.take(tag).map(|completion| completion.status)
    }
}

fn cdb(operation: u8, cell: u8, count: u8) -> [u8; 10] {
    [operation, 0, cell, count, 0, 0, 0, 0, 0, 0]
}

/// As the SCSI room would say it of these three.
fn effect(cdb: &[u8], _: Option<&DataBuf>) -> Effect {
    let range = u64::from(cdb[2])..u64::from(cdb[2]) + u64::from(cdb[3]);
    match cdb[0] {
        READ => Effect::NONE,
        WRITE => Effect { repeatable: true, touches: Touches::Ranges(smallvec![range]) },
        _ => Effect { repeatable: false, touches: Touches::Ranges(smallvec![range]) },
    }
}

fn take(ring: &mut Ring) -> Command {
    match ring.next() {
        Ok(Some(Entry::Command(command))) => command,
        other => panic!("a command, not {other:?}"),
    }
}

#[test]
fn what_was_in_flight_comes_out_again_with_its_data() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    let tag = bench.write(3, 5, 0xab);
    drop(take(&mut ring));
    drop(ring);
    let (mut next, sorted) = bench.sorted();
    let [command] = <[Command; 1]>::try_from(sorted.again).unwrap();
    assert_eq!((&*command.cdb, command.data.to_vec()), (&cdb(WRITE, 3, 5)[..], vec![0xab; 5]));
    drop(command.data);
    next.ring.complete(command.ticket, &Reply::GOOD);
    assert!(next.ring.publish());
    assert_eq!(bench.status(tag), Some(0));
    assert!(matches!(next.ring.next(), Ok(None)) && !bench.kernel.is_broken());
}

#[test]
fn a_request_that_a_response_has_overwritten_comes_out_too() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    let (old, new) = (bench.write(1, 1, 1), bench.write(2, 1, 2));
    let (_old, second) = (take(&mut ring), take(&mut ring));
    ring.complete(second.ticket, &Reply::GOOD);
    assert!(ring.publish(), "its response stands in the first one's slot");
    drop(ring);
    assert_eq!(bench.status(new), Some(0));
    let (mut next, sorted) = bench.sorted();
    assert_eq!(&*sorted.again[0].cdb, &cdb(WRITE, 1, 1));
    for command in sorted.again {
        next.ring.complete(command.ticket, &Reply::GOOD);
    }
    assert!(next.ring.publish());
    assert_eq!(bench.status(old), Some(0));
    assert!(bench.kernel.ring_is_empty() && !bench.kernel.is_broken());
}

#[test]
fn answers_that_were_not_published_are_published_by_the_next() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    let tag = bench.write(1, 1, 1);
    let command = take(&mut ring);
    ring.complete(command.ticket, &Reply { status: 2, sense: &[0x70, 0, 3], read_len: None });
    drop(ring);
    assert_eq!(bench.status(tag), None);
    let mut next = bench.next().unwrap_or_else(|doubt| panic!("{doubt}"));
    assert!(next.interrupted.is_empty() && next.ring.publish());
    assert_eq!(bench.status(tag), Some(2));
}

#[test]
fn what_was_not_read_yet_is_read_by_the_next() {
    let mut bench = Bench::new();
    let (_device, ring) = bench.first();
    let tag = bench.write(1, 1, 1);
    drop(ring);
    let mut next = bench.next().unwrap_or_else(|doubt| panic!("{doubt}"));
    assert!(next.interrupted.is_empty());
    let command = take(&mut next.ring);
    next.ring.complete(command.ticket, &Reply::GOOD);
    assert!(next.ring.publish());
    assert_eq!(bench.status(tag), Some(0));
}

/// Which of the interrupted commands are carried out again: their cells.
fn again(sorted: &Sorted) -> Vec<u8> {
    sorted.again.iter().map(|command| command.cdb[2]).collect()
}

#[test]
fn a_write_is_not_repeated_over_a_later_answer_for_the_same_place() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    for (cell, count) in [(0, 4), (10, 1), (2, 4)] {
        bench.write(cell, count, 1);
    }
    let (_first, _second, later) = (take(&mut ring), take(&mut ring), take(&mut ring));
    ring.complete(later.ticket, &Reply::GOOD);
    drop(ring);
    let (_, sorted) = bench.sorted();
    assert_eq!((again(&sorted), sorted.busy.len()), (vec![10], 1));
}

#[test]
fn an_answer_from_before_the_command_was_taken_is_no_obstacle() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    bench.write(0, 4, 1);
    let earlier = take(&mut ring);
    ring.complete(earlier.ticket, &Reply::GOOD);
    bench.write(0, 4, 2);
    drop((take(&mut ring), ring));
    let (_, sorted) = bench.sorted();
    assert_eq!((again(&sorted), sorted.busy.len()), (vec![0], 0));
}

#[test]
fn writes_that_overlap_and_both_ran_are_left_to_the_initiator() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    for (cell, count) in [(0, 4), (3, 4), (8, 1)] {
        bench.write(cell, count, 1);
    }
    bench.read(0, 8);
    drop(((0..4).map(|_| take(&mut ring)).collect::<Vec<_>>(), ring));
    let (_, sorted) = bench.sorted();
    assert_eq!((again(&sorted), sorted.busy.len()), (vec![8, 0], 2), "the read harms nobody");
}

#[test]
fn what_must_not_be_done_twice_is_answered_busy() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    let tag = bench.kernel.submit(Sent::bare(&cdb(ADD, 1, 1)));
    drop((take(&mut ring), ring));
    let (mut next, sorted) = bench.sorted();
    for ticket in sorted.busy {
        next.ring.complete(ticket, &BUSY);
    }
    assert!(sorted.again.is_empty() && next.ring.publish());
    assert_eq!(bench.status(tag), Some(8));
}

#[test]
fn a_command_that_did_not_fit_its_record_is_answered_busy() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    let mut long = vec![1; 40];
    (long[0], long[7]) = (0x7f, 32);
    bench.kernel.submit(Sent::bare(&long));
    bench.kernel.submit(Sent { cdb: cdb(WRITE, 1, 1).into(), data_out: vec![1], data_in_len: 1 });
    drop((take(&mut ring), take(&mut ring), ring));
    let (_, sorted) = bench.sorted();
    assert_eq!((sorted.again.len(), sorted.busy.len()), (0, 2));
}

#[test]
fn a_write_older_than_the_log_of_answers_is_left_to_the_initiator() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    bench.write(0, 1, 1);
    bench.read(0, 1);
    let _old = (take(&mut ring), take(&mut ring));
    for n in 0..layout::LOG_LEN {
        let tag = bench.read(9, 1);
        let command = take(&mut ring);
        ring.complete(command.ticket, &Reply::GOOD);
        assert!(ring.publish());
        assert_eq!(bench.status(tag), Some(0), "round {n}");
    }
    drop(ring);
    let (_, sorted) = bench.sorted();
    assert_eq!((again(&sorted), sorted.busy.len()), (vec![0], 1), "the read is repeated");
    assert_eq!(sorted.again[0].cdb[0], READ);
}

#[test]
fn a_command_that_kills_every_agent_is_given_back() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    bench.write(0, 1, 1);
    drop((take(&mut ring), ring));
    let outcomes: Vec<(usize, usize)> = (0..5)
        .map(|_| {
            let (_, sorted) = bench.sorted();
            (sorted.again.len(), sorted.busy.len())
        })
        .collect();
    assert_eq!(outcomes, [(1, 0), (1, 0), (1, 0), (0, 1), (0, 1)]);
}

#[test]
fn task_management_and_padding_between_the_commands_are_stepped_over() {
    let mut bench = Bench::of_ring_size(1000);
    let (_device, mut ring) = bench.first();
    for round in 0..40_u8 {
        let tags = [bench.write(0, 1, round), bench.write(1, 1, round)];
        let first = take(&mut ring);
        assert!(bench.kernel.task_management(1, &[1]));
        let second = take(&mut ring);
        ring.complete(second.ticket, &Reply::GOOD);
        drop((first, ring));
        let (next, sorted) = bench.sorted();
        ring = next.ring;
        for command in sorted.again {
            ring.complete(command.ticket, &Reply::GOOD);
        }
        while ring.next().unwrap().is_some() {}
        assert!(ring.publish());
        assert_eq!(tags.map(|tag| bench.status(tag)), [Some(0), Some(0)], "round {round}");
    }
    assert!(bench.kernel.ring_is_empty());
}
