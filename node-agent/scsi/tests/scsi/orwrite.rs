//! ORWRITE: bits that are added, and that nothing comes between.

use futures::executor::block_on;
use futures::future::join_all;
use lunette_iobuf::DataBuf;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, WRONG_EXPECTED_LENGTH, cdb10, cdb16};

#[test]
fn bits_are_added_to_those_that_are_there() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 4), &lun.blocks(4, 0x0f));
    lun.good(&cdb16(0x8b, 0, 1, 2), &lun.blocks(2, 0xa5));
    assert_eq!(lun.medium(0, 4), [lun.blocks(1, 0x0f), lun.blocks(2, 0xaf), lun.blocks(1, 0x0f)].concat());
    lun.good(&cdb16(0x8b, 0, 0, 0), &[]);
}

#[test]
fn fua_makes_it_durable() {
    let lun = Lun::new();
    lun.good(&cdb16(0x8b, 0x18, 0, 1), &lun.blocks(1, 3));
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 1), lun.blocks(1, 3));
}

/// Each of many commands sets another bit; a bit that was read before another was written would be lost.
#[test]
fn no_bit_is_lost_however_commands_interleave() {
    let lun = Lun::new();
    let set = async |bit: u8| {
        lun.ram.delay.set(u32::from(bit * 5 % 4));
        lun.scsi.execute(&cdb16(0x8b, 0, 0, 1), DataBuf::from_slice(&lun.blocks(1, 1 << bit))).await.is_good()
    };
    assert!(block_on(join_all((0..8).map(set))).into_iter().all(|good| good));
    assert_eq!(lun.medium(0, 1), lun.blocks(1, 0xff));
}

#[test]
fn protection_what_is_outside_and_short_data_are_refused() {
    let lun = Lun::new();
    assert_eq!(lun.check(&cdb16(0x8b, 0x20, 0, 1), &lun.blocks(1, 1)), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&cdb16(0x8b, 0, 64, 1), &lun.blocks(1, 1)), OUT_OF_RANGE);
    assert_eq!(lun.check(&cdb16(0x8b, 0, 0, 2), &lun.blocks(1, 1)), WRONG_EXPECTED_LENGTH);
    assert!(lun.ram.calls.borrow().is_empty());
}
