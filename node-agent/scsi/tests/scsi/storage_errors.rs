//! What an initiator sees of storage that fails.

use lunette_backend::IoErrorKind;

use crate::lun::{Lun, cdb10, cdb16, swap};
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
