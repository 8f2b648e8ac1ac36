//! WRITE ATOMIC: how much, who supports it, and that nobody sees half of it.

use futures::executor::block_on;
use futures::future::join;
use lunette_iobuf::DataBuf;

use crate::lun::{INVALID_FIELD_IN_CDB, INVALID_OPCODE, Lun, OUT_OF_RANGE, STALE, WRONG_EXPECTED_LENGTH, cdb10};

fn atomic(lba: u64, boundary: u8, blocks: u8) -> Vec<u8> {
    [&[0x9c, 0], &lba.to_be_bytes()[..], &[0, boundary, 0, blocks, 0, 0]].concat()
}

#[test]
fn blocks_up_to_the_limit_are_written_durably_by_the_storage_itself() {
    let lun = Lun::new();
    lun.good(&atomic(3, 0, 8), &lun.blocks(8, 7));
    lun.good(&atomic(0, 0, 0), &[]);
    lun.ram.cut_power();
    assert_eq!(lun.medium(2, 10), [lun.blocks(1, 0), lun.blocks(8, 7), lun.blocks(1, 0)].concat());
    assert_eq!(*lun.ram.calls.borrow(), [("write_atomic", 3 * 512, 8 * 512)]);
}

#[test]
fn more_a_boundary_and_what_is_outside_are_refused() {
    let lun = Lun::new();
    assert_eq!(lun.check(&atomic(0, 0, 9), &lun.blocks(9, 1)), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&atomic(0, 4, 4), &lun.blocks(4, 1)), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&atomic(60, 0, 5), &lun.blocks(5, 1)), OUT_OF_RANGE);
    assert_eq!(lun.check(&atomic(0, 0, 2), &lun.blocks(1, 1)), WRONG_EXPECTED_LENGTH);
    assert!(lun.ram.calls.borrow().is_empty());
}

#[test]
fn storage_without_it_has_no_such_command() {
    let lun = Lun::new();
    lun.ram.atomic.set(0);
    assert_eq!(lun.check(&atomic(0, 0, 1), &lun.blocks(1, 1)), INVALID_OPCODE);
    assert_eq!(lun.data_in(&[0xa3, 0x0c, 1, 0x9c, 0, 0, 0, 0, 0, 255, 0, 0], 255), [0, 1, 0, 0]);
}

/// The storage is in the middle of the write when the read comes.
#[test]
fn a_read_waits_until_it_is_whole() {
    let lun = Lun::new();
    lun.ram.delay.set(3);
    let (write, read) = (atomic(0, 0, 8), cdb10(0x28, 0, 4, 1));
    let writing = lun.scsi.execute(&write, DataBuf::from_slice(&lun.blocks(8, 7)));
    let reading = lun.scsi.execute(&read, DataBuf::from_slice(&[STALE; 512]));
    let (written, found) = block_on(join(writing, reading));
    assert!(written.is_good() && found.is_good());
    assert_eq!(*lun.ram.calls.borrow(), [("write_atomic", 0, 8 * 512), ("read", 4 * 512, 512)]);
}
