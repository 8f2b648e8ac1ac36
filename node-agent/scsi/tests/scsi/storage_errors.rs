//! What an initiator sees of storage that fails.

use lunette_backend::IoErrorKind;

use crate::lun::{Ended, Lun, STALE, cdb10, cdb16, swap};
use crate::unmap;

#[test]
fn every_command_passes_the_storages_error_on() {
    let lun = Lun::new();
    let list = unmap::list(&[(0, 1)]);
    let commands = [
        (cdb10(0x28, 0, 0, 1), lun.blocks(1, 0)),
        (cdb10(0x2a, 0, 0, 1), lun.blocks(1, 0)),
        (cdb10(0x35, 0, 0, 0), vec![]),
        (cdb10(0x2f, 2, 0, 1), lun.blocks(1, 0)),
        (cdb10(0x41, 0, 0, 1), lun.blocks(1, 1)),
        (cdb16(0x93, 1, 0, 1), vec![]),
        (cdb10(0x42, 0, 0, 24), list),
        (swap(0, 1), lun.blocks(2, 0)),
        (vec![0x1b, 0, 0, 0, 0, 0], vec![]),
    ];
    for (cdb, data) in commands {
        for (kind, expected) in [
            (IoErrorKind::NoSpace, (7, 0x27, 7)),
            (IoErrorKind::Unreachable, (2, 4, 1)),
            (IoErrorKind::Fenced, (2, 4, 0x0c)),
            (IoErrorKind::Internal, (4, 0x44, 0)),
        ] {
            lun.ram.fail.set(Some(kind));
            assert_eq!(lun.check(&cdb, &data), expected, "{cdb:02x?}");
        }
        lun.ram.fail.set(Some(IoErrorKind::Busy));
        let outcome = lun.run(&cdb, &data).outcome;
        assert_eq!((outcome.status, outcome.sense, outcome.data_in), (8, None, None), "{cdb:02x?}");
    }
}

#[test]
fn a_path_checker_sees_storage_go_and_come_back() {
    let lun = Lun::new();
    let ready = [0; 6];
    lun.good(&ready, &[]);
    assert_eq!(lun.ram.count("read"), 0, "a unit in good health is not asked");
    lun.ram.fail.set(Some(IoErrorKind::Unreachable));
    lun.good(&ready, &[]);
    lun.check(&cdb10(0x28, 0, 0, 1), &lun.blocks(1, 0));
    assert_eq!(lun.check(&ready, &[]), (2, 4, 1));
    lun.ram.fail.set(None);
    lun.good(&ready, &[]);
    lun.good(&ready, &[]);
    assert_eq!(lun.ram.count("read"), 3);
}

#[test]
fn a_failed_command_holds_no_range() {
    let lun = Lun::new();
    lun.ram.fail.set(Some(IoErrorKind::MediumRead));
    lun.check(&swap(0, 1), &lun.blocks(2, 0));
    lun.ram.fail.set(None);
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 1));
}

/// READ (10) of eight blocks from block 3 on; what it comes to.
fn read_eight(lun: &Lun) -> Ended {
    lun.run(&cdb10(0x28, 0, 3, 8), &lun.blocks(8, STALE))
}

#[test]
fn a_read_names_the_first_block_that_cannot_be_read_and_brings_those_before_it() {
    for flawed in 0..8u32 {
        let lun = Lun::new();
        lun.good(&cdb10(0x2a, 0, 3, 8), &lun.blocks(8, 0x5a));
        lun.ram.flaw.set(Some((u64::from(3 + flawed) * 512, u32::MAX)));
        let ended = read_eight(&lun);
        let sense = ended.outcome.sense.expect("CHECK CONDITION");
        assert_eq!((sense.key as u8, sense.asc.0, sense.asc.1), (3, 0x11, 0));
        assert_eq!(sense.information, Some(u64::from(3 + flawed)), "its LBA");
        let bytes = flawed * 512;
        assert_eq!(ended.outcome.data_in, Some(bytes).filter(|bytes| *bytes > 0));
        assert!(ended.data[..bytes as usize].iter().all(|byte| *byte == 0x5a), "what is before block {flawed}");
        assert!(lun.ram.count("read") <= 2 + 2 * 3, "it is found by halves");
    }
}

#[test]
fn a_block_that_can_be_read_after_all_is_not_named() {
    let lun = Lun::new();
    for times in 1..4 {
        lun.ram.flaw.set(Some((3 * 512, times)));
        let sense = read_eight(&lun).outcome.sense.expect("CHECK CONDITION");
        assert_eq!((sense.asc.0, sense.information), (0x11, None), "after {times} times");
    }
}

#[test]
fn storage_that_keeps_the_buffer_leaves_the_block_unnamed() {
    let lun = Lun::new();
    lun.ram.hands_back.set(false);
    lun.ram.flaw.set(Some((3 * 512, u32::MAX)));
    let ended = read_eight(&lun);
    assert_eq!(ended.outcome.sense.map(|sense| sense.information), Some(None));
    assert_eq!((ended.outcome.data_in, lun.ram.count("read")), (None, 1));
}
