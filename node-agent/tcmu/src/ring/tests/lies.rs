//! A kernel that lies: every lie is an error value, and what was true before stays answerable.

use super::{TEST_UNIT_READY, next_command, of_ring_size, small, status};
use crate::abi::{command, header, mailbox, tmr};
use crate::mock::{Config, Kernel, Request};
use crate::{AttachError, Entry, Reply, Ring, RingError};

/// Queues an honest command, then one that `lie` spoils; the error of reading it. The honest one must
/// still be answerable.
fn after(lie: impl FnOnce(&mut Kernel, usize)) -> RingError {
    let (mut kernel, mut ring) = small();
    let honest = kernel.submit(Request::bare(&TEST_UNIT_READY));
    kernel.submit(Request::writing(&TEST_UNIT_READY, &[1; 5000]));
    let at = kernel.last_entry().map(|at| kernel.base(at)).unwrap();
    let good = next_command(&mut ring);
    lie(&mut kernel, at);
    let fault = ring.next().unwrap_err();
    assert_eq!(ring.next().unwrap_err(), fault, "it stays broken");
    assert!(ring.is_broken() && ring.fault() == Some(fault));
    if !matches!(fault, RingError::Reset { .. }) {
        assert_eq!(ring.outstanding(), 1, "the spoiled command was not taken");
        ring.complete(good.ticket, &Reply::GOOD);
        assert_eq!(status(&mut kernel, &mut ring, honest), Some(0));
    }
    fault
}

#[test]
fn entries_of_impossible_length() {
    // Entry of the second command: at 120, 120 bytes long, the head right after it.
    for (len, op) in [(0, 1), (0, 0), (8, 1), (104, 1), (128, 1), (128, 0), (0xffff_fff8, 1), (0xffff_fff8, 7)] {
        let fault = after(|kernel, at| kernel.poke32(at + header::LEN_OP, len | op));
        assert_eq!(fault, RingError::EntryLength { at: 120, len }, "operation {op}");
    }
}

#[test]
fn heads_outside_the_ring_or_behind_us() {
    for head in [4096, 4088 + 1, u32::MAX, 0, 64] {
        let (mut kernel, mut ring) = small();
        kernel.submit(Request::bare(&TEST_UNIT_READY));
        let _command = next_command(&mut ring);
        kernel.poke32(mailbox::CMD_HEAD, head);
        assert_eq!(ring.next().unwrap_err(), RingError::Head { head, cursor: 120, size: 4096 });
    }
}

#[test]
fn a_head_that_runs_on_over_old_entries_is_not_followed_out_of_bounds() {
    let (mut kernel, mut ring) = small();
    kernel.submit(Request::bare(&TEST_UNIT_READY));
    kernel.poke32(mailbox::CMD_HEAD, 4088);
    let _command = next_command(&mut ring);
    assert_eq!(ring.next().unwrap_err(), RingError::EntryLength { at: 120, len: 0 });
}

#[test]
fn cdbs_outside_their_entry() {
    for cdb_off in [0, 248, 248 + 40, 248 + 113, 248 + 120, 4096 + 128, u64::MAX, u64::MAX - 7] {
        let fault = after(|kernel, at| kernel.poke64(at + command::CDB_OFF, cdb_off));
        assert_eq!(fault, RingError::Cdb { at: 120, cdb_off });
    }
}

#[test]
fn cdbs_longer_than_their_entry_or_than_any_cdb() {
    for first in [[0x88, 0, 0, 0, 0, 0, 0, 0], [0x7f, 0, 0, 0, 0, 0, 0, 24], [0x7f, 0, 0, 0, 0, 0, 0, 255]] {
        let fault = after(|kernel, at| kernel.poke64(at + 112, u64::from_ne_bytes(first)));
        assert_eq!(fault, RingError::Cdb { at: 120, cdb_off: 128 + 120 + 112 });
    }
    let (mut kernel, mut ring) = small();
    let mut cdb = vec![0; 263];
    (cdb[0], cdb[7]) = (0x7f, 255);
    kernel.submit(Request::bare(&cdb));
    assert!(matches!(ring.next(), Err(RingError::Cdb { at: 0, .. })), "it fits its entry, but LIO lets 260 through");
}

#[test]
fn iovecs_outside_the_data_area() {
    let (start, end) = (4096 + 128, 4096 + 128 + 64 * 4096);
    let lies = [
        (0, 8),
        (128, 8),
        (start - 8, 8),
        (start - 8, 16),
        (end - 8, 16),
        (end, 1),
        (end + 8, 0),
        (u64::MAX, 1),
        (u64::MAX - 7, 16),
        (start, u64::MAX),
        (start, 1 << 63),
    ];
    for (base, len) in lies {
        let fault = after(|kernel, at| {
            kernel.poke64(at + command::IOV, base);
            kernel.poke64(at + command::IOV + 8, len);
        });
        assert_eq!(fault, RingError::Iovec { at: 120, base, len });
    }
}

#[test]
fn iovecs_together_larger_than_the_data_area() {
    let (base, len) = (4096 + 128, 33 * 4096);
    let fault = after(|kernel, at| {
        kernel.poke32(at + command::IOV_CNT, 2);
        for i in 0..2 {
            kernel.poke64(at + command::IOV + 16 * i, base);
            kernel.poke64(at + command::IOV + 16 * i + 8, len);
        }
    });
    assert_eq!(fault, RingError::Iovec { at: 120, base, len });
}

#[test]
fn more_iovecs_than_the_entry_holds() {
    let fill = |kernel: &mut Kernel, at: usize| {
        for i in 0..4 {
            kernel.poke64(at + command::IOV + 16 * i, 4096 + 128);
            kernel.poke64(at + command::IOV + 16 * i + 8, 8);
        }
    };
    for (count, bidi) in [(5, 0), (u32::MAX, 0), (1, u32::MAX), (4, 1), (u32::MAX, u32::MAX)] {
        let fault = after(|kernel, at| {
            fill(kernel, at);
            kernel.poke32(at + command::IOV_CNT, count);
            kernel.poke32(at + command::IOV_BIDI_CNT, bidi);
        });
        assert_eq!(fault, RingError::Count { at: 120 }, "{count} and {bidi}");
    }
}

#[test]
fn an_id_that_already_runs() {
    let fault = after(|kernel, at| {
        let first = kernel.peek32(kernel.base(0) + header::CMD_ID);
        kernel.poke32(at + header::CMD_ID, first);
    });
    assert_eq!(fault, RingError::DuplicateId { at: 120, id: 1 });
}

#[test]
fn task_management_with_more_ids_than_it_holds() {
    for count in [5, 1 << 31, u32::MAX] {
        let (mut kernel, mut ring) = small();
        assert!(kernel.task_management(1, &[1, 2, 3, 4]));
        kernel.poke32(kernel.base(0) + tmr::CMD_CNT, count);
        assert_eq!(ring.next().unwrap_err(), RingError::Count { at: 0 });
    }
}

#[test]
fn a_reset_under_us_is_noticed_and_nothing_is_written_over_it() {
    let (mut kernel, mut ring) = small();
    super::round(&mut kernel, &mut ring);
    kernel.submit(Request::bare(&TEST_UNIT_READY));
    let command = next_command(&mut ring);
    kernel.reset_ring(1);
    for _ in 0..2 {
        kernel.submit(Request::bare(&[9; 6]));
    }
    let entries = |kernel: &Kernel| (0..240).step_by(4).map(|at| kernel.peek32(128 + at)).collect::<Vec<u32>>();
    let before = entries(&kernel);
    ring.complete(command.ticket, &Reply::GOOD);
    assert!(!ring.publish());
    let fault = RingError::Reset { found: 0, ours: 120 };
    assert_eq!((ring.fault(), ring.next().unwrap_err()), (Some(fault), fault));
    assert_eq!((entries(&kernel), kernel.tail()), (before, 0));
}

#[test]
fn a_tail_is_not_published_over_a_reset() {
    let (mut kernel, mut ring) = small();
    super::round(&mut kernel, &mut ring);
    kernel.submit(Request::bare(&TEST_UNIT_READY));
    let command = next_command(&mut ring);
    ring.complete(command.ticket, &Reply::GOOD);
    kernel.reset_ring(1);
    assert!(!ring.publish());
    assert_eq!((kernel.tail(), ring.fault()), (0, Some(RingError::Reset { found: 0, ours: 120 })));
}

#[test]
fn an_entry_that_straddles_the_ring_s_end() {
    for op in [0, 1, 2, 7] {
        let (mut kernel, mut ring) = small();
        for _ in 0..34 {
            super::round(&mut kernel, &mut ring);
        }
        // Padding of 16 bytes to the end, then an entry of 120 bytes from the start.
        kernel.submit(Request::bare(&TEST_UNIT_READY));
        kernel.poke32(kernel.base(34 * 120) + header::LEN_OP, 136 | op);
        assert_eq!(ring.next().unwrap_err(), RingError::EntryLength { at: 34 * 120, len: 136 }, "operation {op}");
    }
}

#[test]
fn mailboxes_that_are_not_ours_to_serve() {
    let refused = |at: usize, value: u32| {
        let mut kernel = Kernel::new(Config::default());
        kernel.poke32(at, value);
        kernel.claim().attach().err()
    };
    let mapped = (16 << 10) + 1024 * 4096;
    let layout = |off, size| Some(AttachError::Layout { off, size, len: mapped });
    let size = (16 << 10) - 128;
    assert_eq!(refused(0, 0x000f_0001), Some(AttachError::Version { found: 1 }));
    assert_eq!(refused(0, 0x000f_0003), Some(AttachError::Version { found: 3 }));
    assert_eq!(refused(0, 0x000e_0002), Some(AttachError::InOrderOnly { flags: 0xe }));
    for off in [0, 64, 132, 1 << 31, u32::MAX, u32::MAX - 7] {
        assert_eq!(refused(mailbox::CMDR_OFF, off), layout(off, size));
    }
    for size in [0, 104, 116, u32::MAX, u32::MAX - 7] {
        assert_eq!(refused(mailbox::CMDR_SIZE, size), layout(128, size));
    }
    for tail in [size, 4, u32::MAX] {
        assert_eq!(refused(mailbox::CMD_TAIL, tail), Some(AttachError::Tail { tail, size }));
    }
}

#[test]
fn any_bytes_in_the_ring_give_values_not_faults() {
    use proptest::prelude::*;
    let word = || prop_oneof![any::<u32>(), (0u32..130).prop_map(|n| n * 8 + n % 3), Just(0u32)];
    proptest!(ProptestConfig::with_cases(400), |(words in proptest::collection::vec(word(), 128), head in 0u32..64)| {
        let (mut kernel, mut ring) = of_ring_size(512);
        for (i, word) in words.iter().enumerate() {
            kernel.poke32(128 + 4 * i, *word);
        }
        kernel.poke32(mailbox::CMD_HEAD, head * 8);
        drain_whatever(&mut ring);
        prop_assert_eq!(ring.outstanding(), 0);
    });
}

fn drain_whatever(ring: &mut Ring) {
    while let Ok(Some(entry)) = ring.next() {
        if let Entry::Command(command) = entry {
            assert!(command.cdb.len() <= crate::MAX_CDB);
            assert!(command.data.len() <= 64 * 4096);
            if command.ticket.id() % 2 == 0 {
                ring.complete(command.ticket, &Reply::GOOD);
            }
        }
    }
    ring.abandon(&Reply::GOOD);
    let _ = ring.publish();
}
