//! SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS.

use lunette_backend::IoErrorKind;

use crate::lun::{INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, LIST_LENGTH_ERROR, Lun, STALE};

const SELF_TEST: [u8; 6] = [0x1d, 0x04, 0, 0, 0, 0];

#[test]
fn a_self_test_reads_both_ends_and_flushes() {
    let lun = Lun::new();
    for cdb in [SELF_TEST, [0x1d, 0xa0, 0, 0, 0, 0]] {
        lun.ram.calls.borrow_mut().clear();
        lun.good(&cdb, &[]);
        assert_eq!(*lun.ram.calls.borrow(), [("read", 0, 512), ("read", 63 * 512, 512), ("flush", 0, 0)]);
    }
}

#[test]
fn a_self_test_tells_a_failed_unit_from_one_out_of_reach() {
    let lun = Lun::new();
    for (kind, expected) in [
        (IoErrorKind::MediumRead, (4, 0x3e, 3)),
        (IoErrorKind::MediumWrite, (4, 0x3e, 3)),
        (IoErrorKind::Internal, (4, 0x3e, 3)),
        (IoErrorKind::Unreachable, (2, 4, 1)),
        (IoErrorKind::Fenced, (2, 4, 0x0c)),
    ] {
        lun.ram.fail.set(Some(kind));
        assert_eq!(lun.check(&SELF_TEST, &[]), expected);
    }
}

#[test]
fn self_tests_that_are_not_done_are_refused() {
    let lun = Lun::new();
    for (flags, len) in [(0x20, 0), (0x40, 0), (0x80, 0), (0xc0, 0), (0x24, 0), (0x04, 4), (0xa0, 4)] {
        let cdb = [0x1d, flags, 0, 0, len, 0];
        assert_eq!(lun.check(&cdb, &[0; 4]), INVALID_FIELD_IN_CDB, "{cdb:02x?}");
    }
    assert_eq!(lun.ram.calls.borrow().len(), 0);
}

#[test]
fn the_one_diagnostic_page_lists_itself() {
    let lun = Lun::new();
    lun.good(&[0x1d, 0x10, 0, 0, 4, 0], &[0; 4]);
    lun.good(&[0x1d, 0, 0, 0, 0, 0], &[]);
    for flags in [0, 1] {
        assert_eq!(lun.data_in(&[0x1c, flags, 0, 0, 255, 0], 255), [0, 0, 0, 1, 0]);
    }
    assert_eq!(lun.check(&[0x1c, 1, 0x40, 0, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB);
}

#[test]
fn other_diagnostic_pages_are_refused() {
    let lun = Lun::new();
    let send = |len: u8, list: &[u8]| lun.check(&[0x1d, 0x10, 0, 0, len, 0], list);
    assert_eq!(send(4, &[0x40, 0, 0, 0]), INVALID_FIELD_IN_LIST);
    assert_eq!(send(5, &[0, 0, 0, 1, 0]), INVALID_FIELD_IN_LIST);
    assert_eq!(send(3, &[0, 0, 0]), LIST_LENGTH_ERROR);
    assert_eq!(lun.check(&[0x1d, 0, 0, 0, 4, 0], &[0; 4]), INVALID_FIELD_IN_CDB, "without PF");
}
