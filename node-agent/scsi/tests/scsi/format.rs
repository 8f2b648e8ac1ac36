//! FORMAT UNIT: zeroes, and what its list may not ask for.

use lunette_backend::Discard;

use crate::lun::{INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, Lun, WRITE_PROTECTED, cdb10};

const FMTDATA: u8 = 0x10;
const LONGLIST: u8 = 0x20;

fn format(flags: u8) -> [u8; 6] {
    [0x04, flags, 0, 0, 0, 0]
}

#[test]
fn every_block_reads_as_zeroes_and_is_given_back() {
    let cases =
        [(0, vec![]), (FMTDATA, vec![0, 0x02, 0, 0]), (FMTDATA | LONGLIST | 8, vec![0, 0xa2, 0, 0, 0, 0, 0, 0])];
    for (flags, list) in cases {
        let lun = Lun::new();
        lun.good(&cdb10(0x2a, 0, 0, 64), &lun.blocks(64, 1));
        lun.good(&format(flags), &list);
        assert_eq!(lun.ram.count("unmap_zeroes"), 1);
        lun.ram.cut_power();
        assert_eq!(lun.medium(0, 64), lun.blocks(64, 0));
        lun.good(&[0; 6], &[]);
    }
}

#[test]
fn storage_that_cannot_discard_is_zeroed() {
    let lun = Lun::with(|g| g.discard = Discard::Unsupported, |_| ());
    lun.good(&format(0), &[]);
    assert_eq!(lun.ram.count("write_zeroes"), 1);
}

#[test]
fn protection_patterns_and_defects_cannot_be_had() {
    let lun = Lun::new();
    for flags in [0x40, 0x80, LONGLIST, 0x08, 0x07, FMTDATA | 6] {
        assert_eq!(lun.check(&format(flags), &[0; 8]), INVALID_FIELD_IN_CDB, "{flags:02x}");
    }
    let lists = [[1, 0, 0, 0], [0, 0x88, 0, 0], [0, 0x20, 0, 0], [0, 0, 0, 4], [0, 0x84, 0, 0]];
    for list in lists {
        assert_eq!(lun.check(&format(FMTDATA), &list), INVALID_FIELD_IN_LIST, "{list:02x?}");
    }
    let interval = [0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(lun.check(&format(FMTDATA | LONGLIST), &interval), INVALID_FIELD_IN_LIST);
    assert!(lun.ram.calls.borrow().is_empty());
    let read_only = Lun::with(|g| g.read_only = true, |_| ());
    assert_eq!(read_only.check(&format(0), &[]), WRITE_PROTECTED);
}

#[test]
fn a_failed_format_leaves_a_unit_that_serves() {
    let lun = Lun::new();
    lun.ram.fail.set(Some(lunette_backend::IoErrorKind::MediumWrite));
    assert_eq!(lun.check(&format(0), &[]), (3, 0x0c, 0));
    lun.ram.fail.set(None);
    lun.good(&[0; 6], &[]);
}
