//! PRE-FETCH: what is read.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, cdb10, cdb16};

#[test]
fn blocks_are_read() {
    for immed in [0, 2] {
        for cdb in [cdb10(0x34, immed, 8, 16), cdb16(0x90, immed, 8, 16)] {
            let lun = Lun::new();
            lun.good(&cdb, &[]);
            assert_eq!(*lun.ram.calls.borrow(), [("read", 8 * 512, 16 * 512)]);
        }
    }
}

#[test]
fn a_length_of_zero_goes_to_the_last_block() {
    let lun = Lun::new();
    lun.good(&cdb10(0x34, 0, 60, 0), &[]);
    assert_eq!(*lun.ram.calls.borrow(), [("read", 60 * 512, 4 * 512)]);
}

#[test]
fn without_a_cache_nothing_is_read() {
    let lun = Lun::new();
    lun.ram.caches.set(false);
    lun.good(&cdb16(0x90, 0, 0, 64), &[]);
    assert!(lun.ram.calls.borrow().is_empty());
}

#[test]
fn more_than_one_command_brings_is_brought_in_part() {
    let lun = Lun::new();
    lun.ram.grow(65 << 20);
    lun.scsi.disk().refresh_size().unwrap();
    lun.good(&cdb16(0x90, 0, 0, 0), &[]);
    let read: u64 = lun.ram.calls.borrow().iter().map(|call| call.2).sum();
    assert_eq!(read, 64 << 20);
}

#[test]
fn what_is_outside_and_what_is_reserved_is_refused() {
    let lun = Lun::new();
    for (lba, blocks) in [(63, 2), (65, 0)] {
        assert_eq!(lun.check(&cdb10(0x34, 0, lba, blocks), &[]), OUT_OF_RANGE);
    }
    assert_eq!(lun.check(&cdb16(0x90, 1, 0, 1), &[]), INVALID_FIELD_IN_CDB);
}
