//! GET LBA STATUS: the runs of blocks that are kept, and of those that are not.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, OUT_OF_RANGE, STALE, cdb10};
use crate::unmap;

fn status(lba: u64, allocation: u32) -> Vec<u8> {
    [&[0x9e, 0x12], &lba.to_be_bytes()[..], &allocation.to_be_bytes(), &[0, 0]].concat()
}

/// LBA, blocks and provisioning status of each descriptor.
fn runs(lun: &Lun, lba: u64, allocation: u32) -> Vec<(u64, u32, u8)> {
    let data = lun.data_in(&status(lba, allocation), usize::try_from(allocation).unwrap());
    assert_eq!(u32::from_be_bytes(data[..4].try_into().unwrap()), u32::try_from(data.len() - 4).unwrap());
    assert_eq!(data[4..8], [0; 4]);
    let run = |d: &[u8]| {
        assert_eq!(d[13..], [0; 3]);
        (u64::from_be_bytes(d[..8].try_into().unwrap()), u32::from_be_bytes(d[8..12].try_into().unwrap()), d[12])
    };
    data[8..].chunks_exact(16).map(run).collect()
}

#[test]
fn a_new_volume_is_one_run_of_nothing() {
    assert_eq!(runs(&Lun::new(), 0, 4096), [(0, 64, 1)]);
}

#[test]
fn what_is_written_is_mapped_and_what_is_unmapped_is_not() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 8, 16), &lun.blocks(16, 1));
    assert_eq!(runs(&lun, 0, 4096), [(0, 8, 1), (8, 16, 0), (24, 40, 1)]);
    lun.good(&cdb10(0x42, 0, 0, 24), &unmap::list(&[(10, 2)]));
    assert_eq!(runs(&lun, 8, 4096), [(8, 2, 0), (10, 2, 1), (12, 12, 0), (24, 40, 1)]);
}

#[test]
fn the_first_run_begins_where_it_was_asked() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 16), &lun.blocks(16, 1));
    assert_eq!(runs(&lun, 5, 24), [(5, 11, 0)]);
    assert_eq!(runs(&lun, 63, 24), [(63, 1, 1)]);
}

#[test]
fn a_reply_has_as_many_runs_as_there_is_room_for() {
    let lun = Lun::new();
    for lba in (0..64).step_by(4) {
        lun.good(&cdb10(0x2a, 0, lba, 1), &lun.blocks(1, 1));
    }
    assert_eq!(runs(&lun, 0, 8 + 3 * 16), [(0, 1, 0), (1, 3, 1), (4, 1, 0)]);
    assert_eq!(runs(&lun, 0, 8192).len(), 32);
    assert_eq!(lun.data_in(&status(0, 12), 12), [0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0], "the length of an uncut reply");
}

#[test]
fn what_is_outside_and_other_reports_are_refused() {
    let lun = Lun::new();
    for lba in [64, 65, 1 << 63, u64::MAX] {
        assert_eq!(lun.check(&status(lba, 24), &[STALE; 24]), OUT_OF_RANGE, "{lba}");
    }
    let mut mapped_only = status(0, 24);
    mapped_only[14] = 1;
    assert_eq!(lun.check(&mapped_only, &[STALE; 24]), INVALID_FIELD_IN_CDB);
}
