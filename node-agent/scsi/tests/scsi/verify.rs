//! VERIFY with each BYTCHK.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, WRONG_EXPECTED_LENGTH, cdb10, cdb12, cdb16};

fn filled() -> Lun {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 8), &lun.blocks(8, 5));
    lun
}

#[test]
fn every_form_compares_as_many_blocks_as_it_says() {
    let lun = filled();
    for cdb in [cdb10(0x2f, 2, 0, 3), cdb12(0xaf, 2, 0, 3), cdb16(0x8f, 2, 0, 3)] {
        lun.good(&cdb, &lun.blocks(3, 5));
        let mut other = lun.blocks(3, 5);
        other[1027] ^= 0xff;
        let ended = lun.run(&cdb, &other);
        let sense = ended.sense();
        assert_eq!((sense[2], sense[12], sense[13]), (0x0e, 0x1d, 0));
        assert_eq!((sense[0], &sense[3..7]), (0xf0, &1027_u32.to_be_bytes()[..]));
    }
}

#[test]
fn one_block_is_compared_with_each() {
    let lun = filled();
    for cdb in [cdb10(0x2f, 6, 0, 8), cdb12(0xaf, 6, 0, 8), cdb16(0x8f, 6, 0, 8)] {
        lun.good(&cdb, &lun.blocks(1, 5));
        assert_eq!(lun.check(&cdb, &lun.blocks(1, 6)), (0x0e, 0x1d, 0));
    }
    assert_eq!(lun.check(&cdb10(0x2f, 6, 0, 9), &lun.blocks(1, 5)), (0x0e, 0x1d, 0), "the ninth differs");
}

#[test]
fn without_comparing_the_medium_is_read() {
    let lun = filled();
    lun.good(&cdb10(0x2f, 0, 0, 64), &[]);
    assert_eq!(*lun.ram.calls.borrow().last().unwrap(), ("read", 0, 64 * 512));
    lun.ram.fail.set(Some(lunette_backend::IoErrorKind::MediumRead));
    assert_eq!(lun.check(&cdb16(0x8f, 0, 0, 1), &[]), (3, 0x11, 0));
}

#[test]
fn no_blocks_need_no_data() {
    let lun = filled();
    for check in [0, 2, 6] {
        lun.good(&cdb10(0x2f, check, 0, 0), &[]);
    }
    assert_eq!(lun.ram.count("read"), 0);
}

#[test]
fn the_reserved_check_a_wrong_range_and_short_data_are_refused() {
    let lun = filled();
    assert_eq!(lun.check(&cdb10(0x2f, 4, 0, 1), &lun.blocks(1, 5)), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&cdb10(0x2f, 0x20, 0, 1), &lun.blocks(1, 5)), INVALID_FIELD_IN_CDB, "VRPROTECT");
    assert_eq!(lun.check(&cdb16(0x8f, 2, 64, 1), &lun.blocks(1, 5)), OUT_OF_RANGE);
    assert_eq!(lun.check(&cdb10(0x2f, 2, 0, 2), &lun.blocks(1, 5)), WRONG_EXPECTED_LENGTH);
    assert_eq!(lun.check(&cdb10(0x2f, 6, 0, 2), &[5; 511]), WRONG_EXPECTED_LENGTH);
}

#[test]
fn a_difference_behind_the_first_chunk_is_found_where_it_is() {
    let lun = Lun::with(|_| (), |config| config.limits.max_transfer = 1 << 20);
    lun.ram.grow(2000 * 512);
    lun.scsi.disk().refresh_size().unwrap();
    lun.good(&cdb10(0x2f, 2, 0, 1900), &lun.blocks(1900, 0));
    let mut other = lun.blocks(1900, 0);
    other[1800 * 512 + 3] = 1;
    let ended = lun.run(&cdb10(0x2f, 2, 0, 1900), &other);
    assert_eq!(ended.outcome.sense.and_then(|sense| sense.information), Some(1800 * 512 + 3));
    lun.good(&cdb10(0x2a, 0, 1899, 1), &lun.blocks(1, 9));
    assert_eq!(lun.check(&cdb10(0x2f, 6, 0, 1900), &lun.blocks(1, 0)), (0x0e, 0x1d, 0));
}
