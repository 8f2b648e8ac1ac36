//! The 32-byte commands: the same commands as the shorter ones, with wider fields.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, cdb32};

const READ: u8 = 0x09;
const VERIFY: u8 = 0x0a;
const WRITE: u8 = 0x0b;
const WRITE_AND_VERIFY: u8 = 0x0c;
const WRITE_SAME: u8 = 0x0d;

#[test]
fn they_do_what_their_shorter_forms_do() {
    let lun = Lun::new();
    lun.good(&cdb32(WRITE, 0x08, 2, 2), &lun.blocks(2, 5));
    assert_eq!(lun.medium(1, 4), [lun.blocks(1, 0), lun.blocks(2, 5), lun.blocks(1, 0)].concat());
    assert_eq!(lun.data_in(&cdb32(READ, 0, 2, 2), 1024), lun.blocks(2, 5));
    lun.good(&cdb32(VERIFY, 0x06, 2, 2), &lun.blocks(1, 5));
    assert_eq!(lun.check(&cdb32(VERIFY, 0x02, 2, 2), &lun.blocks(2, 6)), (0x0e, 0x1d, 0));
    lun.good(&cdb32(WRITE_AND_VERIFY, 0x02, 60, 4), &lun.blocks(4, 8));
    assert_eq!(lun.medium(60, 4), lun.blocks(4, 8));
    lun.good(&cdb32(WRITE_SAME, 0, 8, 3), &lun.blocks(1, 9));
    assert_eq!(lun.medium(8, 3), lun.blocks(3, 9));
    lun.good(&cdb32(WRITE_SAME, 0x09, 8, 2), &[]);
    assert_eq!(lun.ram.calls.borrow().last(), Some(&("unmap_zeroes", 8 * 512, 1024)));
}

#[test]
fn fua_reaches_the_medium() {
    let lun = Lun::new();
    lun.good(&cdb32(WRITE, 0x08, 0, 1), &lun.blocks(1, 1));
    lun.good(&cdb32(WRITE, 0x10, 1, 1), &lun.blocks(1, 1));
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 2), [lun.blocks(1, 1), lun.blocks(1, 0)].concat());
}

#[test]
fn tags_to_be_checked_protection_and_what_is_outside_are_refused() {
    let lun = Lun::new();
    let block = lun.blocks(1, 1);
    for action in [READ, VERIFY, WRITE, WRITE_AND_VERIFY, WRITE_SAME] {
        for (byte, value) in [(10, 0x20), (10, 0x80), (23, 1), (25, 1), (27, 1), (11, 1), (1, 4)] {
            let mut cdb = cdb32(action, 0, 0, 1);
            cdb[byte] |= value;
            assert_eq!(lun.check(&cdb, &block), INVALID_FIELD_IN_CDB, "action {action:02x} byte {byte}");
        }
        assert_eq!(lun.check(&cdb32(action, 0, 64, 1), &block), OUT_OF_RANGE, "action {action:02x}");
    }
    assert_eq!(lun.check(&cdb32(VERIFY, 0x04, 0, 1), &block), INVALID_FIELD_IN_CDB, "a reserved BYTCHK");
    assert_eq!(lun.check(&cdb32(0x11, 0, 0, 1), &block), INVALID_FIELD_IN_CDB, "an unknown service action");
    assert!(lun.ram.calls.borrow().is_empty());
}

#[test]
fn they_are_reported_with_their_service_actions() {
    let lun = Lun::new();
    let one = lun.data_in(&[0xa3, 0x0c, 2, 0x7f, 0, 0x0b, 0, 0, 1, 0, 0, 0], 256);
    assert_eq!((one.len(), &one[..4], &one[4 + 7..4 + 10]), (36, &[0, 3, 0, 32][..], &[0x18, 0, 0x0b][..]));
    assert_eq!(lun.data_in(&[0xa3, 0x0c, 2, 0x7f, 1, 0x0b, 0, 0, 1, 0, 0, 0], 256), [0, 1, 0, 0]);
}
