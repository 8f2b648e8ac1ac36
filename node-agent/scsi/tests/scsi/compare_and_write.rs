//! COMPARE AND WRITE: what it swaps, what it reports, and that nothing comes between.

use std::cell::Cell;

use futures::executor::block_on;
use futures::future::join_all;
use lunette_iobuf::DataBuf;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, WRONG_EXPECTED_LENGTH, cdb10, swap};

#[test]
fn equal_blocks_are_replaced() {
    let lun = Lun::new();
    for blocks in [1, 4] {
        let n = usize::from(blocks);
        lun.good(&cdb10(0x2a, 0, 2, 4), &lun.blocks(4, 3));
        lun.good(&swap(2, blocks), &[lun.blocks(n, 3), lun.blocks(n, 4)].concat());
        assert_eq!(lun.medium(1, n + 1), [lun.blocks(1, 0), lun.blocks(n, 4)].concat());
    }
}

#[test]
fn the_first_byte_that_differs_is_reported_and_nothing_written() {
    let lun = Lun::new();
    let mut expected = lun.blocks(2, 0);
    expected[700] = 1;
    expected[900] = 1;
    let ended = lun.run(&swap(0, 2), &[expected, lun.blocks(2, 9)].concat());
    let sense = ended.sense();
    assert_eq!((sense[0], sense[2], sense[12], sense[13]), (0xf0, 0x0e, 0x1d, 0));
    assert_eq!(sense[3..7], 700_u32.to_be_bytes());
    assert_eq!(lun.ram.count("write"), 0);
}

#[test]
fn its_limits_are_enforced() {
    let lun = Lun::new();
    lun.good(&swap(0, 0), &[]);
    assert_eq!(lun.check(&swap(0, 0), &lun.blocks(2, 0)), INVALID_FIELD_IN_CDB, "256 blocks are not zero");
    assert_eq!(lun.check(&swap(0, 5), &lun.blocks(10, 0)), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&swap(63, 2), &lun.blocks(4, 0)), OUT_OF_RANGE);
    for len in [1, 3, 4] {
        assert_eq!(lun.check(&swap(0, 1), &lun.blocks(len, 0)), WRONG_EXPECTED_LENGTH, "{len} blocks");
    }
}

/// Each of many commands adds one to a counter on the medium, as a cluster's locks do; storage is slow
/// in ways that interleave them.
#[test]
fn no_increment_is_lost_however_commands_interleave() {
    let lun = Lun::new();
    let delays = Cell::new(0_u32);
    let increment = async |_: usize| {
        loop {
            delays.set(delays.get() + 1);
            lun.ram.delay.set(delays.get() * 7 % 5);
            let before = lun.ram.bytes()[0];
            let data = [lun.blocks(1, before), lun.blocks(1, before + 1)].concat();
            if lun.scsi.execute(&swap(0, 1), DataBuf::from_slice(&data)).await.is_good() {
                return;
            }
        }
    };
    block_on(join_all((0..100).map(increment)));
    assert_eq!(lun.medium(0, 1), lun.blocks(1, 100));
}

/// A write that lands between the comparison and the write of a swap would be lost.
#[test]
fn a_plain_write_never_falls_between_comparing_and_writing() {
    for delay in 0..6 {
        let lun = Lun::new();
        lun.ram.delay.set(delay);
        let compare = swap(0, 1);
        let write = cdb10(0x2a, 0, 0, 1);
        let swapped = lun.scsi.execute(&compare, DataBuf::from_slice(&[lun.blocks(1, 0), lun.blocks(1, 1)].concat()));
        let written = lun.scsi.execute(&write, DataBuf::from_slice(&lun.blocks(1, 2)));
        let (swapped, written) = block_on(futures::future::join(swapped, written));
        assert!(swapped.is_good() && written.is_good());
        assert_eq!(lun.medium(0, 1), lun.blocks(1, 2), "the write came second");
        assert_eq!(lun.ram.calls.borrow().iter().map(|call| call.0).collect::<Vec<_>>(), ["read", "write", "write"]);
    }
}
