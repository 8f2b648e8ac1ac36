//! READ and WRITE without a future: the same as with one, and left to that wherever something is in the way.

use futures::executor::block_on;
use futures::future::join;
use lunette_backend::IoErrorKind;
use lunette_iobuf::DataBuf;
use lunette_scsi::Outcome;

use crate::lun::{Lun, STALE, cdb10};

const READ: u8 = 0x28;
const WRITE: u8 = 0x2a;
const FUA: u8 = 0x08;

/// What comes of a command at once, over a buffer of so many blocks.
fn at_once(lun: &Lun, cdb: &[u8], blocks: usize) -> Option<(Outcome, Vec<u8>)> {
    let mut data = DataBuf::from_slice(&lun.blocks(blocks, STALE));
    lun.scsi.execute_at_once(cdb, &mut data).map(|outcome| (outcome, data.to_vec()))
}

fn is_left(lun: &Lun, cdb: &[u8], blocks: usize) {
    assert!(at_once(lun, cdb, blocks).is_none(), "{cdb:02x?}");
}

#[test]
fn a_plain_write_and_a_plain_read_end_at_once() {
    let lun = Lun::new();
    let (written, _) = at_once(&lun, &cdb10(WRITE, 0, 3, 2), 2).unwrap();
    let (read, found) = at_once(&lun, &cdb10(READ, 0, 2, 4), 4).unwrap();
    assert_eq!((written, read), (Outcome::good(), Outcome::good()));
    assert_eq!(found, [lun.blocks(1, 0), lun.blocks(2, STALE), lun.blocks(1, 0)].concat());
    lun.ram.cut_power();
    assert_eq!(lun.medium(3, 2), lun.blocks(2, 0), "nobody asked for it to be durable");
    assert!(at_once(&lun, &cdb10(WRITE, FUA, 3, 2), 2).is_some());
    lun.ram.cut_power();
    assert_eq!(lun.medium(3, 2), lun.blocks(2, STALE));
}

#[test]
fn what_is_not_admitted_or_not_plain_is_left_and_touches_nothing() {
    let lun = Lun::new();
    for (cdb, blocks) in [
        (cdb10(READ, FUA, 0, 1), 1),
        (cdb10(READ, 0, 63, 2), 2),
        (cdb10(WRITE, 0, 63, 2), 2),
        (cdb10(READ, 0, 0, 2), 1),
        (cdb10(WRITE, 0, 0, 1), 2),
        (cdb10(WRITE, 0x20, 0, 1), 1),
        (cdb10(0x2e, 0, 0, 1), 1),
        (vec![0; 6], 0),
        (vec![], 0),
    ] {
        is_left(&lun, &cdb, blocks);
    }
    assert!(lun.ram.calls.borrow().is_empty());
    let read_only = Lun::with(|geometry| geometry.read_only = true, |_| ());
    is_left(&read_only, &cdb10(WRITE, 0, 0, 1), 1);
    assert!(at_once(&read_only, &cdb10(READ, 0, 0, 1), 1).is_some());
}

#[test]
fn storage_that_waits_or_fails_is_asked_by_a_future() {
    let lun = Lun::new();
    lun.ram.delay.set(1);
    is_left(&lun, &cdb10(READ, 0, 0, 1), 1);
    lun.ram.delay.set(0);
    lun.ram.fail.set(Some(IoErrorKind::NoSpace));
    is_left(&lun, &cdb10(WRITE, 0, 0, 1), 1);
}

#[test]
fn a_unit_attention_is_heard_of_first() {
    let lun = Lun::new();
    lun.scsi.note_capacity_changed();
    is_left(&lun, &cdb10(READ, 0, 0, 1), 1);
    lun.check(&cdb10(READ, 0, 0, 1), &lun.blocks(1, STALE));
    assert!(at_once(&lun, &cdb10(READ, 0, 0, 1), 1).is_some());
}

/// COMPARE AND WRITE is between its read and its write; a reader that came then would see a block as it was before.
#[test]
fn a_write_waits_for_whoever_writes_alone() {
    let lun = Lun::new();
    lun.ram.delay.set(2);
    let swap = [&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0][..]].concat();
    let data = [lun.blocks(1, 0), lun.blocks(1, 7)].concat();
    let swapping = lun.scsi.execute(&swap, DataBuf::from_slice(&data));
    let meanwhile = async {
        lun.ram.delay.set(0);
        is_left(&lun, &cdb10(WRITE, 0, 0, 1), 1);
        assert!(at_once(&lun, &cdb10(READ, 0, 0, 1), 1).is_some());
    };
    let (swapped, ()) = block_on(join(swapping, meanwhile));
    assert!(swapped.is_good());
    assert_eq!(lun.medium(0, 1), lun.blocks(1, 7));
    assert!(at_once(&lun, &cdb10(WRITE, 0, 0, 1), 1).is_some());
}

/// From the first WRITE ATOMIC on, readers claim what they read.
#[test]
fn a_read_claims_once_writes_are_atomic() {
    let lun = Lun::new();
    lun.good(&[0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], &lun.blocks(1, 7));
    is_left(&lun, &cdb10(READ, 0, 0, 1), 1);
    assert_eq!(lun.data_in(&cdb10(READ, 0, 0, 1), 512), lun.blocks(1, 7));
}
