//! The ring against the mock kernel: what comes out, what goes back, whatever the order.

mod hostile;
mod lies;
mod model;
mod threads;

use crate::mock::{Config, Kernel, Request, Tag};
use crate::{Command, Entry, MAX_CDB, Reply, Ring, SENSE_SIZE, Ticket, TmrKind};

const TEST_UNIT_READY: [u8; 6] = [0; 6];
const BUSY: Reply<'static> = Reply { status: 8, sense: &[], read_len: None };

fn small() -> (Kernel, Ring) {
    of_ring_size(4096)
}

/// A kernel whose ring proper (without the mailbox) has `size` bytes.
fn of_ring_size(size: u32) -> (Kernel, Ring) {
    let mut kernel = Kernel::new(Config { ring_bytes: size + 128, blocks: 64, block_size: 4096, flags: 0xf });
    let (_device, ring) = kernel.device();
    (kernel, ring)
}

fn next_command(ring: &mut Ring) -> Command {
    match ring.next() {
        Ok(Some(Entry::Command(command))) => command,
        other => panic!("a command, not {other:?}"),
    }
}

fn assert_nothing(ring: &mut Ring) {
    let next = ring.next();
    assert!(matches!(next, Ok(None)), "nothing, not {next:?}");
}

/// Publishes and has the kernel look; the answer to `tag`.
fn status(kernel: &mut Kernel, ring: &mut Ring, tag: Tag) -> Option<u8> {
    let _ = ring.publish();
    kernel.harvest();
    kernel.take(tag).map(|completion| completion.status)
}

/// Goes once through submit, read, complete with GOOD.
fn round(kernel: &mut Kernel, ring: &mut Ring) {
    let tag = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let command = next_command(ring);
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(kernel, ring, tag), Some(0));
}

#[test]
fn a_command_comes_out_and_its_answer_goes_back() {
    let (mut kernel, mut ring) = small();
    assert_nothing(&mut ring);
    let write = [0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0];
    let tag = kernel.submit(Request::writing(&write, &[0xab; 512]));
    assert!(ring.has_entries());
    let command = next_command(&mut ring);
    assert_eq!(*command.cdb, write);
    assert_eq!(command.data.to_vec(), [0xab; 512]);
    assert!(command.bidi.is_none());
    assert_eq!((ring.outstanding(), Some(command.ticket.id())), (1, kernel.cmd_id(tag)));
    ring.complete(command.ticket, &Reply { status: 2, sense: &[0x70, 0, 5], read_len: None });
    assert_eq!(ring.outstanding(), 0);
    assert!(ring.publish() && !ring.publish());
    kernel.harvest();
    let completion = kernel.take(tag).unwrap();
    assert_eq!((completion.status, &completion.sense[..3]), (2, &[0x70, 0, 5][..]));
    assert!(completion.sense[3..].iter().all(|byte| *byte == 0));
}

#[test]
fn nothing_is_visible_before_publish() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let command = next_command(&mut ring);
    ring.complete(command.ticket, &Reply::GOOD);
    kernel.harvest();
    assert_eq!((kernel.take(tag), kernel.tail()), (None, 0));
    assert_eq!(status(&mut kernel, &mut ring, tag), Some(0));
}

#[test]
fn data_in_reaches_the_initiator() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::reading(&[0x28, 0, 0, 0, 0, 0, 0, 0, 20, 0], 10_000));
    let mut command = next_command(&mut ring);
    let bytes: Vec<u8> = (0..10_000u32).map(|i| i.to_le_bytes()[0]).collect();
    assert_eq!(command.data.len(), bytes.len());
    command.data.copy_in(0, &bytes);
    ring.complete(command.ticket, &Reply::GOOD);
    let _ = ring.publish();
    kernel.harvest();
    assert_eq!(kernel.take(tag).unwrap().data, bytes);
}

#[test]
fn a_bidirectional_command_has_both_buffers() {
    let (mut kernel, mut ring) = small();
    let request = Request { cdb: vec![0x53; 10], data_out: vec![1; 5000], data_in_len: 4097 };
    let tag = kernel.submit(request);
    let command = next_command(&mut ring);
    assert_eq!(command.data.to_vec(), [1; 5000]);
    let mut bidi = command.bidi.unwrap();
    assert_eq!(bidi.len(), 4097);
    bidi.fill(0, 4097, 9);
    ring.complete(command.ticket, &Reply::GOOD);
    let _ = ring.publish();
    kernel.harvest();
    assert_eq!(kernel.take(tag).unwrap().data, [9; 4097]);
}

#[test]
fn a_fragmented_data_area_gives_one_segment_per_run() {
    let (mut kernel, mut ring) = small();
    let tags: Vec<Tag> = (0..16).map(|_| kernel.submit(Request::writing(&TEST_UNIT_READY, &[1; 4096]))).collect();
    let commands: Vec<Command> = tags.iter().map(|_| next_command(&mut ring)).collect();
    for command in commands.into_iter().step_by(2) {
        ring.complete(command.ticket, &Reply::GOOD);
    }
    let _ = ring.publish();
    kernel.harvest();
    let bytes: Vec<u8> = (0..9 * 4096 - 100u32).map(|i| i.to_le_bytes()[1]).collect();
    let _tag = kernel.submit(Request::writing(&TEST_UNIT_READY, &bytes));
    let command = next_command(&mut ring);
    assert_eq!(command.data.iovecs().len(), 9);
    assert_eq!(command.data.to_vec(), bytes);
}

#[test]
fn every_cdb_length_is_read_whole() {
    let (mut kernel, mut ring) = of_ring_size(64 << 10);
    let fixed = (0..=255u8).filter(|op| *op != 0x7f).map(|op| cdb(op, crate::abi::cdb_len([op; 8])));
    let variable = (0..=252u8).map(|additional| {
        let mut cdb = cdb(0x7f, usize::from(additional) + 8);
        cdb[7] = additional;
        cdb
    });
    for cdb in fixed.chain(variable) {
        assert!(cdb.len() <= MAX_CDB);
        let tag = kernel.submit(Request::bare(&cdb));
        let command = next_command(&mut ring);
        assert_eq!(*command.cdb, cdb);
        ring.complete(command.ticket, &Reply::GOOD);
        assert_eq!(status(&mut kernel, &mut ring, tag), Some(0));
    }
}

fn cdb(opcode: u8, len: usize) -> Vec<u8> {
    let mut cdb: Vec<u8> = (0..len).map(|i| i.to_le_bytes()[0] ^ 0x5a).collect();
    cdb[0] = opcode;
    cdb
}

#[test]
fn a_response_may_go_into_the_slot_of_a_command_that_still_runs() {
    let (mut kernel, mut ring) = small();
    let tags: Vec<Tag> = (0..3).map(|i| kernel.submit(Request::writing(&[i, 0, 0, 0, 0, 0], &[i; 700]))).collect();
    let [first, second, third] = [(); 3].map(|()| next_command(&mut ring));
    ring.complete(third.ticket, &BUSY);
    assert_eq!(status(&mut kernel, &mut ring, tags[2]), Some(8));
    assert_eq!((first.cdb[0], second.cdb[0]), (0, 1));
    assert_eq!((first.data.to_vec(), second.data.to_vec()), (vec![0; 700], vec![1; 700]));
    ring.complete(second.ticket, &Reply::GOOD);
    ring.complete(first.ticket, &BUSY);
    assert_eq!(status(&mut kernel, &mut ring, tags[0]), Some(8));
    assert_eq!(kernel.take(tags[1]).unwrap().status, 0);
    assert!(kernel.ring_is_empty() && !kernel.is_broken());
}

#[test]
fn stale_bytes_of_a_slot_never_become_part_of_a_response() {
    let (mut kernel, mut ring) = small();
    let ones = [0xff; SENSE_SIZE];
    let first = kernel.submit(Request::reading(&TEST_UNIT_READY, 100));
    let second = kernel.submit(Request::reading(&TEST_UNIT_READY, 100));
    let [a, b] = [(); 2].map(|()| next_command(&mut ring));
    ring.complete(b.ticket, &Reply { status: 2, sense: &ones, read_len: Some(40) });
    ring.complete(a.ticket, &Reply { status: 2, sense: &[0x72], read_len: None });
    let _ = ring.publish();
    kernel.harvest();
    let (first, second) = (kernel.take(first).unwrap(), kernel.take(second).unwrap());
    assert_eq!((second.sense, second.data.len()), (ones, 40));
    assert_eq!((first.sense[0], first.data.len()), (0x72, 0));
    assert!(first.sense[1..].iter().all(|byte| *byte == 0));
}

#[test]
fn flags_that_stand_in_a_slot_are_not_kept() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::reading(&TEST_UNIT_READY, 100));
    let command = next_command(&mut ring);
    let flags_and_id = u32::from_ne_bytes([command.ticket.id().to_ne_bytes()[0], 0, 0, 0xff]);
    kernel.poke32(kernel.base(0) + 4, flags_and_id);
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(&mut kernel, &mut ring, tag), Some(0));
}

#[test]
fn a_short_read_says_how_short_where_the_kernel_can_hear_it() {
    for (flags, expected) in [(0xf, 36), (0x1, 96)] {
        let mut kernel = Kernel::new(Config { flags, ..Config::default() });
        let (_device, mut ring) = kernel.device();
        assert_eq!(ring.features().read_len, flags & 2 != 0);
        let tag = kernel.submit(Request::reading(&[0x12, 0, 0, 0, 96, 0], 96));
        let command = next_command(&mut ring);
        ring.complete(command.ticket, &Reply { read_len: Some(36), ..Reply::GOOD });
        let _ = ring.publish();
        kernel.harvest();
        assert_eq!(kernel.take(tag).unwrap().data.len(), expected);
    }
}

#[test]
fn padding_of_eight_bytes_is_stepped_over() {
    // A six-byte CDB makes an entry of 120 bytes: after 34 of them, 8 bytes are left.
    let (mut kernel, mut ring) = of_ring_size(34 * 120 + 8);
    for _ in 0..100 {
        round(&mut kernel, &mut ring);
    }
    assert_eq!(kernel.tail(), 32 * 120);
}

#[test]
fn an_entry_may_end_exactly_at_the_ring_s_end() {
    let (mut kernel, mut ring) = of_ring_size(20 * 120);
    for _ in 0..40 {
        round(&mut kernel, &mut ring);
    }
    assert_eq!((kernel.tail(), kernel.head()), (0, 0));
}

#[test]
fn task_management_is_told_and_needs_no_answer() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let command = next_command(&mut ring);
    assert!(kernel.task_management(5, &[command.ticket.id(), 900]));
    let Ok(Some(Entry::TaskManagement { kind, cmd_ids })) = ring.next() else { panic!("task management") };
    assert_eq!((kind, &cmd_ids[..]), (TmrKind::LunReset, &[command.ticket.id(), 900][..]));
    assert!(!ring.publish(), "the command before it is not answered");
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(&mut kernel, &mut ring, tag), Some(0));
    assert!(kernel.ring_is_empty());
}

#[test]
fn a_command_given_up_leaves_its_slot_and_keeps_its_id_and_buffers() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::writing(&[0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0], &[1; 512]));
    let command = next_command(&mut ring);
    let id = command.ticket.id();
    let aborted = Reply { status: 0x40, ..Reply::GOOD };
    assert!(ring.give_up(id, &aborted) && !ring.give_up(id, &aborted));
    assert_eq!(status(&mut kernel, &mut ring, tag), Some(0x40));
    assert!(kernel.ring_is_empty() && kernel.kept() == 1);
    for _ in 0..100 {
        round(&mut kernel, &mut ring);
    }
    assert_eq!(kernel.blocks_in_use(), 1);
    assert_eq!(ring.complete(command.ticket, &Reply::GOOD), Some(id), "to be freed, not to be answered");
    assert!(!ring.publish() && kernel.free_kept_buf(id));
    assert_eq!(kernel.blocks_in_use(), 0);
}

#[test]
fn task_management_alone_gives_its_room_back() {
    let (mut kernel, mut ring) = small();
    for ids in 0..200u16 {
        assert!(kernel.task_management(128, &vec![1; usize::from(ids % 30)]), "room for number {ids}");
        let Ok(Some(Entry::TaskManagement { kind, cmd_ids })) = ring.next() else { panic!("task management") };
        assert_eq!((kind, cmd_ids.len()), (TmrKind::PreemptAndAbort, usize::from(ids % 30)));
        assert_nothing(&mut ring);
        assert!(ring.publish(), "the kernel hears of the room");
        kernel.harvest();
    }
}

#[test]
fn an_unknown_operation_is_marked_and_stepped_over() {
    let (mut kernel, mut ring) = small();
    let before = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let unknown = kernel.submit(Request::bare(&TEST_UNIT_READY));
    kernel.make_last_unknown();
    let after = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let [a, b] = [(); 2].map(|()| next_command(&mut ring));
    assert_nothing(&mut ring);
    ring.complete(b.ticket, &Reply::GOOD);
    ring.complete(a.ticket, &BUSY);
    assert_eq!(status(&mut kernel, &mut ring, before), Some(8));
    assert_eq!(kernel.take(after).unwrap().status, 0);
    let completion = kernel.take(unknown).unwrap();
    assert_eq!((completion.status, completion.sense[2], completion.sense[12]), (2, 2, 8));
    assert!(!kernel.is_broken());
}

#[test]
fn one_publish_and_one_kick_serve_a_whole_batch() {
    let mut kernel = Kernel::new(Config::default());
    let (device, mut ring) = kernel.device();
    let tags: Vec<Tag> = (0..20).map(|_| kernel.submit(Request::bare(&TEST_UNIT_READY))).collect();
    assert_eq!(device.consume().unwrap(), Some(20));
    while let Some(Entry::Command(command)) = ring.next().unwrap() {
        ring.complete(command.ticket, &Reply::GOOD);
    }
    assert!(ring.publish());
    device.kick().unwrap();
    assert!(kernel.handle_kick());
    assert_eq!(kernel.kicks(), 1);
    assert!(tags.into_iter().all(|tag| kernel.take(tag).is_some_and(|c| c.status == 0)));
}

#[test]
fn a_full_ring_holds_commands_back_until_a_kick() {
    let (mut kernel, mut ring) = of_ring_size(1200);
    let tags: Vec<Tag> = (0..25).map(|_| kernel.submit(Request::bare(&TEST_UNIT_READY))).collect();
    assert_eq!((kernel.running(), kernel.waiting()), (9, 16));
    while kernel.running() > 0 {
        while let Some(Entry::Command(command)) = ring.next().unwrap() {
            ring.complete(command.ticket, &Reply::GOOD);
        }
        assert!(ring.publish());
        kernel.harvest();
    }
    assert!(tags.into_iter().all(|tag| kernel.take(tag).is_some_and(|c| c.status == 0)));
}

#[test]
fn an_expired_command_is_completed_like_any_other() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::writing(&TEST_UNIT_READY, &[1; 9000]));
    let command = next_command(&mut ring);
    kernel.expire(tag);
    assert_eq!(kernel.take(tag).unwrap().sense[12], 8);
    assert_eq!(kernel.blocks_in_use(), 3);
    drop(command.data);
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(&mut kernel, &mut ring, tag), None);
    assert_eq!((kernel.blocks_in_use(), kernel.running()), (0, 0));
}

#[test]
fn abandoned_commands_are_answered_once_and_their_tickets_are_void() {
    let (mut kernel, mut ring) = small();
    let tags: Vec<Tag> = (0..9).map(|_| kernel.submit(Request::bare(&TEST_UNIT_READY))).collect();
    let tickets: Vec<Ticket> = tags.iter().map(|_| next_command(&mut ring).ticket).collect();
    assert_eq!(ring.abandon(&BUSY), 9);
    assert_eq!(status(&mut kernel, &mut ring, tags[0]), Some(8));
    assert!(tags[1..].iter().all(|tag| kernel.take(*tag).is_some_and(|c| c.status == 8)));
    let reused = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let command = next_command(&mut ring);
    for ticket in tickets {
        ring.complete(ticket, &BUSY);
    }
    assert_eq!(ring.outstanding(), 1);
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(&mut kernel, &mut ring, reused), Some(0));
    assert!(!kernel.is_broken());
}

#[test]
fn commands_whose_tickets_died_in_a_panic_can_be_abandoned() {
    let (mut kernel, mut ring) = small();
    let tag = kernel.submit(Request::bare(&TEST_UNIT_READY));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _command = next_command(&mut ring);
        std::panic::resume_unwind(Box::new("a bug in a backend"));
    }));
    assert!(panicked.is_err());
    assert_eq!((ring.outstanding(), ring.abandon(&BUSY)), (1, 1));
    assert_eq!(status(&mut kernel, &mut ring, tag), Some(8));
}

#[test]
fn a_ticket_of_another_ring_answers_nothing() {
    let (mut kernel, mut ring) = small();
    let (mut other_kernel, mut other_ring) = small();
    let tag = kernel.submit(Request::bare(&TEST_UNIT_READY));
    other_kernel.submit(Request::bare(&TEST_UNIT_READY));
    let (ours, theirs) = (next_command(&mut ring), next_command(&mut other_ring));
    assert_eq!(ours.ticket.id(), theirs.ticket.id());
    ring.complete(theirs.ticket, &BUSY);
    assert_eq!((ring.outstanding(), status(&mut kernel, &mut ring, tag)), (1, None));
}

#[test]
fn a_successor_goes_on_where_a_drained_agent_stopped() {
    let mut kernel = Kernel::new(Config::default());
    let (_device, mut ring) = kernel.device();
    let first = kernel.submit(Request::bare(&[1, 0, 0, 0, 0, 0]));
    let command = next_command(&mut ring);
    let second = kernel.submit(Request::bare(&[2, 0, 0, 0, 0, 0]));
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(&mut kernel, &mut ring, first), Some(0));
    drop(ring);
    let (_device, mut ring) = kernel.device();
    let command = next_command(&mut ring);
    assert_eq!(command.cdb[0], 2);
    ring.complete(command.ticket, &Reply::GOOD);
    assert_eq!(status(&mut kernel, &mut ring, second), Some(0));
}

#[test]
fn a_crash_is_mended_by_a_reset_between_claim_and_attach() {
    let mut kernel = Kernel::new(Config::default());
    let (_device, mut ring) = kernel.device();
    let lost = kernel.submit(Request::writing(&TEST_UNIT_READY, &[1; 5000]));
    let _lost_command = next_command(&mut ring);
    let claim = kernel.claim();
    kernel.reset_ring(1);
    assert_eq!((kernel.take(lost).unwrap().status, kernel.blocks_in_use()), (8, 0));
    let (_device, mut ring) = claim.attach().unwrap();
    round(&mut kernel, &mut ring);
}

#[test]
fn a_buffer_outlives_its_ring() {
    let (mut kernel, mut ring) = small();
    kernel.submit(Request::writing(&TEST_UNIT_READY, &[7; 3000]));
    let command = next_command(&mut ring);
    drop(ring);
    drop(kernel);
    assert_eq!(command.data.to_vec(), [7; 3000]);
}
