//! WRITE AND VERIFY: durable, read back, compared where BYTCHK says so.

use lunette_backend::IoErrorKind;

use crate::lun::{
    INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, WRITE_PROTECTED, WRONG_EXPECTED_LENGTH, cdb10, cdb12, cdb16,
};

fn forms(flags: u8, lba: u32, blocks: u16) -> [Vec<u8>; 3] {
    let long = u32::from(blocks);
    [cdb10(0x2e, flags, lba, blocks), cdb12(0xae, flags, lba, long), cdb16(0x8e, flags, lba.into(), long)]
}

#[test]
fn what_it_wrote_is_durable_and_was_read_back() {
    for check in [0, 2] {
        for (seed, cdb) in (1..).zip(forms(check, 3, 4)) {
            let lun = Lun::new();
            lun.good(&cdb, &lun.blocks(4, seed));
            lun.ram.cut_power();
            assert_eq!(lun.medium(2, 6), [lun.blocks(1, 0), lun.blocks(4, seed), lun.blocks(1, 0)].concat());
            assert_eq!(*lun.ram.calls.borrow(), [("write", 3 * 512, 2048), ("read", 3 * 512, 2048)]);
        }
    }
}

#[test]
fn a_medium_that_cannot_be_read_back_is_an_error() {
    let lun = Lun::new();
    lun.ram.fail.set(Some(IoErrorKind::MediumRead));
    lun.ram.fail_after.set(1);
    assert_eq!(lun.check(&cdb10(0x2e, 0, 0, 1), &lun.blocks(1, 1)), (3, 0x11, 0));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let lun = Lun::new();
    for flags in [0x20, 0x04, 0x08, 0x01] {
        for cdb in forms(flags, 0, 1) {
            assert_eq!(lun.check(&cdb, &lun.blocks(1, 1)), INVALID_FIELD_IN_CDB, "{cdb:02x?}");
        }
    }
    for cdb in forms(0, 63, 2) {
        assert_eq!(lun.check(&cdb, &lun.blocks(2, 1)), OUT_OF_RANGE);
    }
    for cdb in forms(2, 0, 2) {
        assert_eq!(lun.check(&cdb, &lun.blocks(1, 1)), WRONG_EXPECTED_LENGTH);
    }
    assert!(lun.ram.calls.borrow().is_empty());
    let read_only = Lun::with(|g| g.read_only = true, |_| ());
    for cdb in forms(0, 0, 1) {
        assert_eq!(read_only.check(&cdb, &read_only.blocks(1, 1)), WRITE_PROTECTED);
    }
}

#[test]
fn no_blocks_are_written_and_verified_at_once() {
    let lun = Lun::new();
    for cdb in forms(2, 0, 0) {
        lun.good(&cdb, &[]);
    }
}
