//! REPORT TARGET PORT GROUPS and SET TARGET PORT GROUPS.

use lunette_scsi::{AccessState, TargetPort};

use crate::lun::{INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, INVALID_OPCODE, LIST_LENGTH_ERROR, Lun, STALE, access};

/// REPORT TARGET PORT GROUPS with this PARAMETER DATA FORMAT.
fn report(format: u8) -> [u8; 12] {
    [0xa3, format << 5 | 0x0a, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0]
}

/// SET TARGET PORT GROUPS with a list of this length.
fn set(len: u8) -> [u8; 12] {
    [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, len, 0, 0]
}

#[test]
fn the_group_is_reported_with_its_states_and_ports() {
    let lun = Lun::new();
    let group = [0x00, 0x05, 0, 3, 0, 0, 0, 1, 0, 0, 1, 2];
    assert_eq!(lun.data_in(&report(0), 64), [&[0, 0, 0, 12], &group[..]].concat());
    assert_eq!(lun.data_in(&report(1), 64), [&[0, 0, 0, 16, 0x10, 7, 0, 0], &group[..]].concat());
    assert_eq!(lun.check(&report(2), &[STALE; 64]), INVALID_FIELD_IN_CDB);
}

#[test]
fn what_the_fabric_tells_later_is_reported_then() {
    let lun = Lun::with(|_| (), |config| config.access = None);
    assert_eq!(lun.check(&report(0), &[STALE; 64]), INVALID_OPCODE);
    let mut access = access();
    access.group.state = AccessState::Standby;
    access.group.preferred = true;
    access.ports.push(TargetPort { relative_id: 9, name: String::new() });
    lun.scsi.set_access(access);
    assert_eq!(lun.data_in(&report(0), 64)[4..], [0x82, 0x05, 0, 3, 0, 0, 0, 2, 0, 0, 1, 2, 0, 0, 0, 9]);
}

#[test]
fn setting_the_state_that_is_there_is_done() {
    let lun = Lun::new();
    lun.good(&set(8), &[0, 0, 0, 0, 0x00, 0, 0, 3]);
    lun.good(&set(4), &[0; 4]);
    lun.good(&set(0), &[]);
}

#[test]
fn other_states_and_groups_are_refused_and_the_reason_told() {
    let lun = Lun::new();
    assert_eq!(lun.check(&set(8), &[0, 0, 0, 0, 0x02, 0, 0, 3]), (4, 0x67, 0x0a), "it can be, but not by us");
    assert_eq!(lun.check(&set(8), &[0, 0, 0, 0, 0x01, 0, 0, 3]), INVALID_FIELD_IN_LIST, "it can never be");
    assert_eq!(lun.check(&set(8), &[0, 0, 0, 0, 0x07, 0, 0, 3]), INVALID_FIELD_IN_LIST, "it is no state");
    let ended = lun.run(&set(12), &[0, 0, 0, 0, 0x00, 0, 0, 3, 0, 0, 0, 4]);
    assert_eq!(ended.sense()[12..], [0x26, 0, 0, 0x80, 0, 10], "another group");
    for len in [1, 3, 5, 7] {
        assert_eq!(lun.check(&set(len), &vec![0; usize::from(len)]), LIST_LENGTH_ERROR, "{len} bytes");
    }
}

#[test]
fn nothing_can_be_set_where_states_change_by_themselves_only() {
    let mut access = access();
    access.group.explicit = false;
    let lun = Lun::with(|_| (), |config| config.access = Some(access));
    assert_eq!(lun.check(&set(8), &[0, 0, 0, 0, 0, 0, 0, 3]), INVALID_OPCODE);
    assert_eq!(lun.data_in(&report(0), 64).len(), 16);
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 36, 0], 36)[5], 0x18);
}
