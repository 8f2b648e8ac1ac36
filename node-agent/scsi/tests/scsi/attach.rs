//! INQUIRY, READ CAPACITY, TEST UNIT READY, REQUEST SENSE, START STOP UNIT, unit attentions.

use lunette_backend::Discard;
use lunette_scsi::Outcome;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, STALE, cdb10};

const TEST_UNIT_READY: [u8; 6] = [0; 6];

#[test]
fn standard_inquiry_says_who_and_which_standards() {
    let data = Lun::new().data_in(&[0x12, 0, 0, 1, 4, 0], 260);
    assert_eq!(data.len(), 96);
    assert_eq!(data[..8], [0x00, 0x00, 0x06, 0x02, 91, 0x38, 0, 0x02], "3PC, and TPGS as the group has it");
    assert_eq!(&data[8..32], b"LUNETTE VIRTUAL DISK    ");
    assert!(data[32..36].iter().all(|b| b.is_ascii_graphic() || *b == b' '));
    assert_eq!(data[58..70], [0x00, 0xa0, 0x04, 0x60, 0x05, 0xc0, 0x04, 0xc0, 0x06, 0x00, 0x09, 0x60]);
}

#[test]
fn inquiry_is_cut_to_the_allocation_length() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 36, 0], 36).len(), 36);
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 5, 0], 36), [0, 0, 6, 2, 91]);
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 0, 0], 36), []);
}

#[test]
fn a_page_code_without_evpd_is_refused() {
    let ended = Lun::new().run(&[0x12, 0, 0x80, 0, 255, 0], &[STALE; 255]);
    let pointer = [0xc8 | 7, 0, 2];
    assert_eq!(ended.sense()[15..], pointer);
}

#[test]
fn read_capacity_names_the_last_block() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&cdb10(0x25, 0, 0, 0), 8), [0, 0, 0, 63, 0, 0, 2, 0]);
    let long = lun.data_in(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], 32);
    // 512e: eight logical blocks per physical one; provisioned, and zero when unmapped.
    let expected = [0, 0, 0, 0, 0, 0, 0, 63, 0, 0, 2, 0, 0, 3, 0xc0, 0];
    assert_eq!((&long[..16], &long[16..]), (&expected[..], &[0; 16][..]));
}

#[test]
fn read_capacity_follows_the_geometry() {
    let provisioning = |discard| {
        let lun = Lun::with(|g| (g.discard, g.block_size) = (discard, 4096), |_| ());
        lun.data_in(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], 32)[8..15].to_vec()
    };
    assert_eq!(provisioning(Discard::Zeroes), [0, 0, 16, 0, 0, 0, 0xc0]);
    assert_eq!(provisioning(Discard::Unspecified), [0, 0, 16, 0, 0, 0, 0x80]);
    assert_eq!(provisioning(Discard::Unsupported), [0, 0, 16, 0, 0, 0, 0x00]);
}

#[test]
fn an_address_in_read_capacity_10_is_refused() {
    assert_eq!(Lun::new().check(&cdb10(0x25, 0, 1, 0), &[STALE; 8]), INVALID_FIELD_IN_CDB);
}

#[test]
fn growing_is_told_once_and_shows_in_the_capacity() {
    let lun = Lun::new();
    lun.ram.grow(100 * 512);
    assert_eq!(lun.data_in(&cdb10(0x25, 0, 0, 0), 8)[3], 63, "not before it is looked up");
    assert_eq!(lun.scsi.refresh_size().unwrap(), 51200);
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 5, 0], 5).len(), 5, "INQUIRY passes");
    assert_eq!(lun.check(&TEST_UNIT_READY, &[]), (6, 0x2a, 9));
    lun.good(&TEST_UNIT_READY, &[]);
    assert_eq!(lun.data_in(&cdb10(0x25, 0, 0, 0), 8)[3], 99);
}

#[test]
fn a_size_that_stays_the_same_is_nothing_to_tell() {
    let lun = Lun::new();
    lun.scsi.refresh_size().unwrap();
    lun.good(&TEST_UNIT_READY, &[]);
}

#[test]
fn a_refused_cdb_does_not_use_the_attention_up() {
    let lun = Lun::new();
    lun.scsi.note_capacity_changed();
    assert_eq!(lun.check(&[0xc0; 10], &[]).1, 0x20);
    assert_eq!(lun.check(&TEST_UNIT_READY, &[]), (6, 0x2a, 9));
}

#[test]
fn request_sense_reports_nothing_or_the_attention_in_the_format_asked_for() {
    let lun = Lun::new();
    let fixed = lun.data_in(&[3, 0, 0, 0, 252, 0], 252);
    assert_eq!(fixed, [0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    lun.scsi.note_capacity_changed();
    assert_eq!(lun.data_in(&[3, 1, 0, 0, 252, 0], 252), [0x72, 6, 0x2a, 9, 0, 0, 0, 0]);
    lun.good(&TEST_UNIT_READY, &[]);
}

#[test]
fn a_command_without_data_leaves_nothing_stale_in_a_buffer() {
    let lun = Lun::new();
    for cdb in [&TEST_UNIT_READY[..], &[0x1b, 0, 0, 0, 1, 0], &cdb10(0x35, 0, 0, 0), &cdb10(0x2f, 0, 0, 1)] {
        assert_eq!(lun.run(cdb, &[STALE; 64]).data, [0; 64], "{cdb:02x?}");
    }
}

#[test]
fn stopping_flushes_and_goes_on_serving() {
    let lun = Lun::new();
    lun.good(&[0x1b, 0, 0, 0, 0x01, 0], &[]);
    lun.good(&[0x1b, 0, 0, 0, 0x04, 0], &[]);
    assert_eq!(lun.ram.count("flush"), 0, "neither start nor NO_FLUSH");
    lun.good(&[0x1b, 1, 0, 0, 0x00, 0], &[]);
    assert_eq!(lun.ram.count("flush"), 1);
    assert_eq!(lun.run(&TEST_UNIT_READY, &[]).outcome, Outcome::good());
}

#[test]
fn power_conditions_and_ejecting_are_refused() {
    let lun = Lun::new();
    assert_eq!(lun.check(&[0x1b, 0, 0, 0, 0x11, 0], &[]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&[0x1b, 0, 0, 0, 0x02, 0], &[]), INVALID_FIELD_IN_CDB);
}
