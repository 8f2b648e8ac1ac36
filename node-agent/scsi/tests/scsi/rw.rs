//! READ and WRITE of every length, their ranges, limits and protection bits.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, STALE, WRITE_PROTECTED, cdb10, cdb12, cdb16};

/// WRITE and READ CDBs of every form, for two blocks at block 5.
fn pairs() -> [(Vec<u8>, Vec<u8>); 4] {
    [
        (vec![0x0a, 0, 0, 5, 2, 0], vec![0x08, 0, 0, 5, 2, 0]),
        (cdb10(0x2a, 0, 5, 2), cdb10(0x28, 0, 5, 2)),
        (cdb12(0xaa, 0, 5, 2), cdb12(0xa8, 0, 5, 2)),
        (cdb16(0x8a, 0, 5, 2), cdb16(0x88, 0, 5, 2)),
    ]
}

#[test]
fn every_form_writes_and_reads_the_same_blocks() {
    for (byte, (write, read)) in (1..).zip(pairs()) {
        let lun = Lun::new();
        lun.good(&write, &lun.blocks(2, byte));
        let expected = [lun.blocks(5, 0), lun.blocks(2, byte), lun.blocks(57, 0)].concat();
        assert_eq!(lun.ram.bytes(), expected, "{write:02x?}");
        assert_eq!(lun.data_in(&read, 1024), lun.blocks(2, byte), "{read:02x?}");
    }
}

#[test]
fn blocks_of_4096_bytes_are_addressed_as_such() {
    let lun = Lun::with(|g| g.block_size = 4096, |_| ());
    lun.good(&cdb10(0x2a, 0, 63, 1), &lun.blocks(1, 9));
    assert_eq!(lun.medium(63, 1), lun.blocks(1, 9));
    assert_eq!(lun.check(&cdb10(0x28, 0, 64, 1), &lun.blocks(1, STALE)), OUT_OF_RANGE);
}

#[test]
fn beyond_the_end_is_out_of_range_also_for_no_blocks() {
    let lun = Lun::new();
    for code in [0x28, 0x2a] {
        assert_eq!(lun.check(&cdb10(code, 0, 64, 1), &lun.blocks(1, 1)), OUT_OF_RANGE);
        assert_eq!(lun.check(&cdb10(code, 0, 63, 2), &lun.blocks(2, 1)), OUT_OF_RANGE);
        assert_eq!(lun.check(&cdb10(code, 0, 65, 0), &[]), OUT_OF_RANGE);
        assert_eq!(lun.check(&cdb10(code, 0, u32::MAX, 0), &[]), OUT_OF_RANGE);
        lun.good(&cdb10(code, 0, 64, 0), &[]);
        lun.good(&cdb10(code, 0, 0, 0), &[]);
    }
    for code in [0x88, 0x8a] {
        assert_eq!(lun.check(&cdb16(code, 0, u64::MAX, u32::MAX), &[]), OUT_OF_RANGE);
        assert_eq!(lun.check(&cdb16(code, 0, u64::MAX, 1), &lun.blocks(1, 1)), OUT_OF_RANGE);
    }
    assert!(lun.ram.calls.borrow().is_empty());
}

#[test]
fn zero_blocks_of_a_six_byte_command_are_256() {
    let lun = Lun::with(|_| (), |config| config.limits.max_transfer = 1 << 20);
    assert_eq!(lun.check(&[0x08, 0, 0, 0, 0, 0], &lun.blocks(256, 1)), OUT_OF_RANGE);
    lun.ram.grow(256 * 512);
    lun.scsi.disk().refresh_size().unwrap();
    lun.good(&[0x0a, 0, 0, 0, 0, 0], &lun.blocks(256, 1));
    assert_eq!(lun.ram.bytes(), lun.blocks(256, 1));
}

#[test]
fn more_than_the_maximum_transfer_length_is_refused_at_the_length_field() {
    let lun = Lun::with(|_| (), |config| config.limits.max_transfer = 4096);
    lun.good(&cdb10(0x2a, 0, 0, 8), &lun.blocks(8, 1));
    for (cdb, byte) in [(cdb10(0x28, 0, 0, 9), 7), (cdb12(0xaa, 0, 0, 9), 6), (cdb16(0x88, 0, 0, 9), 10)] {
        assert_eq!(lun.run(&cdb, &lun.blocks(9, 1)).sense()[12..], [0x24, 0, 0, 0xcf, 0, byte], "{cdb:02x?}");
    }
}

#[test]
fn dpo_and_fua_are_taken_and_protection_is_refused() {
    let lun = Lun::new();
    for (code, make) in [(0x28, cdb10 as fn(u8, u8, u32, u16) -> Vec<u8>), (0x2a, cdb10)] {
        lun.good(&make(code, 0x18, 0, 1), &lun.blocks(1, 1));
        for protect in 1..8 {
            assert_eq!(lun.check(&make(code, protect << 5, 0, 1), &lun.blocks(1, 1)), INVALID_FIELD_IN_CDB);
        }
    }
}

#[test]
fn a_read_only_volume_reads_and_refuses_to_write() {
    let lun = Lun::with(|g| g.read_only = true, |_| ());
    lun.good(&cdb10(0x28, 0, 0, 1), &lun.blocks(1, 1));
    for (cdb, blocks) in [
        (cdb10(0x2a, 0, 0, 1), 1),
        (cdb10(0x41, 0, 0, 1), 1),
        (cdb16(0x93, 1, 0, 1), 0),
        (cdb10(0x42, 0, 0, 0), 0),
        (crate::lun::swap(0, 1), 2),
    ] {
        assert_eq!(lun.check(&cdb, &lun.blocks(blocks, 1)), WRITE_PROTECTED, "{cdb:02x?}");
    }
}
