//! REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS.

use lunette_scsi::opcodes::OPCODES;

use crate::lun::{INVALID_FIELD_IN_CDB, INVALID_OPCODE, Lun, STALE, access};

fn report(option: u8, code: u8, action: u8) -> [u8; 12] {
    [0xa3, 0x0c, option, code, 0, action, 0, 0, 0xff, 0xff, 0, 0]
}

#[test]
fn all_commands_are_listed_with_their_lengths() {
    let lun = Lun::new();
    let data = lun.data_in(&report(0, 0, 0), 65535);
    assert_eq!(data.len(), 4 + 8 * OPCODES.len());
    assert_eq!(u32::from_be_bytes(data[..4].try_into().unwrap()), u32::try_from(data.len() - 4).unwrap());
    assert_eq!(data[4..12], [0, 0, 0, 0, 0, 0, 0, 6]);
    let capacity16 = [0x9e, 0, 0, 0x10, 0, 1, 0, 16];
    assert!(data[4..].chunks_exact(8).any(|descriptor| descriptor == capacity16));
}

#[test]
fn timeouts_follow_each_command_where_asked() {
    let data = Lun::new().data_in(&report(0x80, 0, 0), 65535);
    assert_eq!(data.len(), 4 + 20 * OPCODES.len());
    assert_eq!(data[4..24], [0, 0, 0, 0, 0, 2, 0, 6, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30]);
}

#[test]
fn what_is_listed_is_what_is_answered() {
    let lun = Lun::new();
    let listed = lun.data_in(&report(0, 0, 0), 65535);
    for descriptor in listed[4..].chunks_exact(8) {
        let one = lun.data_in(&report(3, descriptor[0], descriptor[3]), 64);
        assert_eq!(one[1], 0x03, "{descriptor:02x?}");
        assert_eq!(one[2..4], descriptor[6..8]);
        assert_eq!(one[4], descriptor[0]);
    }
}

#[test]
fn one_command_comes_with_its_usage_data() {
    let lun = Lun::new();
    let usage = [0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0];
    assert_eq!(lun.data_in(&report(1, 0x28, 0), 64), [&[0, 3, 0, 10], &usage[..]].concat());
    let with_timeout = lun.data_in(&report(0x81, 0x28, 0), 64);
    assert_eq!((with_timeout[1], with_timeout.len()), (0x83, 4 + 10 + 12));
    assert_eq!(lun.data_in(&report(2, 0x9e, 0x10), 64)[..6], [0, 3, 0, 16, 0x9e, 0x10]);
}

#[test]
fn what_is_not_supported_is_said_so() {
    let lun = Lun::new();
    for cdb in [report(1, 0xc0, 0), report(2, 0x9e, 0x1f), report(3, 0x28, 1), report(3, 0xc0, 0)] {
        assert_eq!(lun.data_in(&cdb, 64), [0, 1, 0, 0], "{cdb:02x?}");
    }
}

#[test]
fn asking_for_the_wrong_kind_is_refused() {
    let lun = Lun::new();
    for cdb in [report(1, 0x9e, 0), report(2, 0x28, 0), report(4, 0, 0), report(0x40, 0, 0)] {
        assert_eq!(lun.check(&cdb, &[STALE; 64]), INVALID_FIELD_IN_CDB, "{cdb:02x?}");
    }
}

#[test]
fn reservations_are_listed_where_the_core_answers_them() {
    let supported = |reservations| {
        let lun = Lun::with(|_| (), |config| config.reservations = reservations);
        (lun.data_in(&report(2, 0x5f, 0), 64)[1], lun.data_in(&report(1, 0xa0, 0), 64)[1])
    };
    assert_eq!(supported(true), (3, 3));
    assert_eq!(supported(false), (1, 3));
}

#[test]
fn commands_for_port_groups_are_listed_where_there_are_some() {
    let supported = |implicit, explicit| {
        let mut access = access();
        (access.group.implicit, access.group.explicit) = (implicit, explicit);
        let lun = Lun::with(|_| (), |config| config.access = Some(access));
        (lun.data_in(&report(2, 0xa3, 0x0a), 64)[1], lun.data_in(&report(2, 0xa4, 0x0a), 64)[1])
    };
    assert_eq!(supported(true, true), (3, 3));
    assert_eq!(supported(true, false), (3, 1));
    assert_eq!(supported(false, false), (1, 1));
}

#[test]
fn what_other_devices_have_is_refused_as_an_unknown_command() {
    let lun = Lun::new();
    // ATA PASS-THROUGH in both its forms, READ LONG (10), WRITE LONG (10).
    for code in [0x85, 0xa1, 0x3e, 0x3f] {
        assert_eq!(lun.check(&[code, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]), INVALID_OPCODE, "{code:02x}");
        assert_eq!(lun.data_in(&report(1, code, 0), 64), [0, 1, 0, 0], "{code:02x}");
    }
}

#[test]
fn task_management_is_what_the_core_carries_out() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&[0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], 64), [0x88, 0, 0, 0]);
    let extended = lun.data_in(&[0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 64, 0, 0], 64);
    assert_eq!((extended.len(), &extended[..4]), (16, &[0x88, 0, 0, 12][..]));
}
