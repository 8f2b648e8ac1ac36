//! WRITE SAME: patterns, zeroes, and what is refused.

use lunette_backend::Discard;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, WRONG_EXPECTED_LENGTH, cdb10, cdb16};

#[test]
fn a_pattern_is_written_to_every_block_and_to_no_other() {
    let lun = Lun::new();
    let pattern: Vec<u8> = (0..512).map(|i| u8::try_from(i % 251).unwrap()).collect();
    lun.good(&cdb10(0x41, 0, 3, 60), &pattern);
    assert_eq!(lun.ram.bytes(), [lun.blocks(3, 0), pattern.repeat(60), lun.blocks(1, 0)].concat());
    assert_eq!(lun.ram.count("write"), 1);
}

#[test]
fn a_pattern_longer_than_a_chunk_is_written_in_several() {
    let lun = Lun::with(|_| (), |config| config.limits.max_write_same = 1 << 30);
    lun.ram.grow(2000 * 512);
    lun.scsi.disk().refresh_size().unwrap();
    let pattern: Vec<u8> = (0..512).map(|i| u8::try_from(i % 253).unwrap()).collect();
    lun.good(&cdb16(0x93, 0, 1, 1900), &pattern);
    assert_eq!(lun.ram.bytes(), [lun.blocks(1, 0), pattern.repeat(1900), lun.blocks(99, 0)].concat());
    assert!(lun.ram.count("write") > 1);
}

#[test]
fn zeroes_are_left_to_the_storage_and_may_be_unmapped_only_where_asked() {
    let lun = Lun::new();
    let cases = [
        (cdb10(0x41, 0, 0, 4), lun.blocks(1, 0), "write_zeroes"),
        (cdb10(0x41, 8, 0, 4), lun.blocks(1, 0), "unmap_zeroes"),
        (cdb16(0x93, 0, 0, 4), lun.blocks(1, 0), "write_zeroes"),
        (cdb16(0x93, 1, 0, 4), vec![], "write_zeroes"),
        (cdb16(0x93, 9, 0, 4), vec![], "unmap_zeroes"),
    ];
    for (cdb, data, operation) in cases {
        lun.good(&cdb10(0x2a, 0, 0, 4), &lun.blocks(4, 1));
        lun.ram.calls.borrow_mut().clear();
        lun.good(&cdb, &data);
        assert_eq!(*lun.ram.calls.borrow(), [(operation, 0, 2048)], "{cdb:02x?}");
        assert_eq!(lun.medium(0, 4), lun.blocks(4, 0));
    }
}

#[test]
fn a_pattern_with_the_unmap_bit_is_still_written() {
    let lun = Lun::new();
    lun.good(&cdb16(0x93, 8, 0, 2), &lun.blocks(1, 7));
    assert_eq!(lun.medium(0, 2), lun.blocks(2, 7));
}

#[test]
fn too_many_blocks_anchoring_and_what_is_outside_is_refused() {
    let lun = Lun::with(|_| (), |config| config.limits.max_write_same = 8 * 512);
    let block = lun.blocks(1, 1);
    for cdb in [cdb10(0x41, 0, 0, 0), cdb10(0x41, 0, 0, 9), cdb16(0x93, 0x18, 0, 1), cdb16(0x93, 0, 55, 0)] {
        assert_eq!(lun.check(&cdb, &block), INVALID_FIELD_IN_CDB, "{cdb:02x?}");
    }
    assert_eq!(lun.check(&cdb10(0x41, 0, 60, 5), &block), OUT_OF_RANGE);
    assert_eq!(lun.check(&cdb16(0x93, 0, u64::MAX, 2), &block), OUT_OF_RANGE);
    assert!(lun.ram.calls.borrow().is_empty());
}

#[test]
fn a_length_of_zero_goes_to_the_last_block() {
    let lun = Lun::with(|_| (), |config| config.limits.max_write_same = 8 * 512);
    lun.good(&cdb16(0x93, 0, 56, 0), &lun.blocks(1, 7));
    assert_eq!(lun.ram.bytes(), [lun.blocks(56, 0), lun.blocks(8, 7)].concat());
    lun.good(&cdb10(0x41, 0, 64, 0), &lun.blocks(1, 9));
    assert_eq!(lun.medium(56, 8), lun.blocks(8, 7));
    assert_eq!(lun.check(&cdb16(0x93, 0, 65, 0), &lun.blocks(1, 9)), OUT_OF_RANGE);
}

#[test]
fn the_data_must_be_one_block_or_with_ndob_none() {
    let lun = Lun::new();
    for len in [0, 256, 511, 513, 1024] {
        assert_eq!(lun.check(&cdb10(0x41, 0, 0, 1), &vec![1; len]), WRONG_EXPECTED_LENGTH, "{len} bytes");
    }
    assert_eq!(lun.check(&cdb16(0x93, 1, 0, 1), &lun.blocks(1, 1)), WRONG_EXPECTED_LENGTH);
    assert_eq!(
        lun.check(&cdb10(0x41, 1, 0, 1), &lun.blocks(1, 1)),
        INVALID_FIELD_IN_CDB,
        "WRITE SAME (10) has no NDOB"
    );
}

#[test]
fn unmapping_where_storage_cannot_is_refused() {
    let lun = Lun::with(|g| g.discard = Discard::Unsupported, |_| ());
    assert_eq!(lun.check(&cdb16(0x93, 8, 0, 1), &lun.blocks(1, 0)), INVALID_FIELD_IN_CDB);
    lun.good(&cdb16(0x93, 0, 0, 1), &lun.blocks(1, 0));
}
