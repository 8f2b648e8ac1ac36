//! LOG SENSE and LOG SELECT.

use lunette_backend::Discard;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, STALE, cdb10};

/// LOG SENSE of current cumulative values.
fn sense(page: u8, subpage: u8, pointer: u8) -> [u8; 10] {
    [0x4d, 0, 0x40 | page, subpage, 0, 0, pointer, 0, 255, 0]
}

/// Commands and blocks read, commands and blocks written.
fn counters(page: &[u8]) -> [u64; 4] {
    let counter = |i: usize| u64::from_be_bytes(page[8 + 8 * i..16 + 8 * i].try_into().unwrap());
    [counter(0), counter(3), counter(1), counter(2)]
}

#[test]
fn page_00_lists_the_pages_that_answer() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&sense(0, 0, 0), 255), [0, 0, 0, 2, 0x00, 0x19]);
    assert_eq!(lun.data_in(&sense(0, 0xff, 0), 255), [0x40, 0xff, 0, 6, 0, 0, 0, 0xff, 0x19, 0]);
    for page in 0..0x3f {
        let answers = lun.run(&sense(page, 0, 0), &[STALE; 255]).outcome.is_good();
        assert_eq!(answers, [0x00, 0x19].contains(&page), "page {page:02x}");
    }
    for (page, subpage) in [(0, 1), (0x19, 1), (0x19, 0xff)] {
        assert_eq!(lun.check(&sense(page, subpage, 0), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    }
}

#[test]
fn page_0c_counts_space_in_mebibytes_where_storage_can_tell() {
    let lun = Lun::new();
    assert_eq!(lun.check(&sense(0x0c, 0, 0), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    lun.ram.available.set(Some((5 << 20) - 1));
    assert_eq!(lun.data_in(&sense(0, 0, 0), 255), [0, 0, 0, 3, 0x00, 0x0c, 0x19]);
    assert_eq!(lun.data_in(&sense(0, 0xff, 0), 255), [0x40, 0xff, 0, 8, 0, 0, 0, 0xff, 0x0c, 0, 0x19, 0]);
    let available = [0, 1, 0x23, 8, 0, 0, 0, 4, 2, 0, 0, 0];
    let used = |sets| [0, 2, 0x23, 8, 0, 0, 0, sets, 1, 0, 0, 0];
    assert_eq!(lun.data_in(&sense(0x0c, 0, 0), 255), [&[0x8c, 0, 0, 24][..], &available, &used(0)].concat());
    lun.good(&cdb10(0x2a, 0, 0, 3), &lun.blocks(3, 1));
    assert_eq!(lun.data_in(&sense(0x0c, 0, 2), 255), [&[0x8c, 0, 0, 12][..], &used(1)].concat());
    assert_eq!(lun.check(&sense(0x0c, 0, 3), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&sense(0x0c, 1, 0), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    lun.good(&[0x4c, 2, 0x0c, 0, 0, 0, 0, 0, 0, 0], &[]);
    lun.ram.available.set(Some(u64::MAX));
    assert_eq!(lun.data_in(&sense(0x0c, 0, 0), 255)[8..12], [0xff; 4], "more than can be said");
}

#[test]
fn a_unit_that_is_not_provisioned_on_demand_has_no_page_0c() {
    let thick = Lun::with(|g| g.thin = false, |_| ());
    let fixed = Lun::with(|g| g.discard = Discard::Unsupported, |_| ());
    for lun in [thick, fixed] {
        lun.ram.available.set(Some(1 << 30));
        assert_eq!(lun.check(&sense(0x0c, 0, 0), &[STALE; 255]), INVALID_FIELD_IN_CDB);
        assert_eq!(lun.data_in(&sense(0, 0, 0), 255), [0, 0, 0, 2, 0x00, 0x19]);
    }
}

#[test]
fn page_19_counts_commands_and_blocks() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 3), &lun.blocks(3, 1));
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 1));
    lun.good(&cdb10(0x28, 0, 0, 5), &lun.blocks(5, STALE));
    lun.check(&cdb10(0x28, 0, 64, 1), &lun.blocks(1, STALE));
    let page = lun.data_in(&sense(0x19, 0, 0), 255);
    assert_eq!((page.len(), &page[..8]), (84, &[0x99, 0, 0, 80, 0, 1, 0x22, 64][..]));
    assert_eq!(counters(&page), [2, 5, 2, 4], "a failed command has moved nothing");
    assert_eq!(page[40..72], [0; 32], "times are not measured:");
    assert_eq!(page[72..], [0, 3, 0x23, 8, 0, 0, 0, 0, 0, 0, 0, 0], "every interval is of no length");
}

#[test]
fn the_parameter_pointer_says_where_to_begin() {
    let lun = Lun::new();
    for pointer in [2, 3] {
        assert_eq!(lun.data_in(&sense(0x19, 0, pointer), 255)[..8], [0x99, 0, 0, 12, 0, 3, 0x23, 8]);
    }
    assert_eq!(lun.check(&sense(0x19, 0, 4), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&sense(0, 0, 1), &[STALE; 255]), INVALID_FIELD_IN_CDB);
}

#[test]
fn default_values_are_zero_and_thresholds_do_not_exist() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 3), &lun.blocks(3, 1));
    let with_control = |control: u8| [0x4d, 0, control << 6 | 0x19, 0, 0, 0, 0, 0, 255, 0];
    assert_eq!(counters(&lun.data_in(&with_control(3), 255)), [0; 4]);
    assert_eq!(lun.check(&with_control(0), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&with_control(2), &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&[0x4d, 1, 0x59, 0, 0, 0, 0, 0, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB, "SP");
}

#[test]
fn counters_begin_at_zero_when_told() {
    for page in [0x00, 0x19] {
        let lun = Lun::new();
        lun.good(&cdb10(0x2a, 0, 0, 3), &lun.blocks(3, 1));
        lun.good(&[0x4c, 0, page, 0, 0, 0, 0, 0, 0, 0], &[]);
        assert_eq!(counters(&lun.data_in(&sense(0x19, 0, 0), 255)), [0, 0, 1, 3], "without PCR nothing is reset");
        lun.good(&[0x4c, 2, page, 0, 0, 0, 0, 0, 0, 0], &[]);
        assert_eq!(counters(&lun.data_in(&sense(0x19, 0, 0), 255)), [0; 4]);
    }
}

#[test]
fn nothing_else_of_a_log_can_be_set() {
    let lun = Lun::new();
    for cdb in [
        [0x4c, 2, 0, 0, 0, 0, 0, 0, 4, 0],
        [0x4c, 2, 0x0d, 0, 0, 0, 0, 0, 0, 0],
        [0x4c, 2, 0x19, 1, 0, 0, 0, 0, 0, 0],
        [0x4c, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(lun.check(&cdb, &[0; 4]), INVALID_FIELD_IN_CDB, "{cdb:02x?}");
    }
}
