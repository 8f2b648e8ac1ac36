//! READ BUFFER and WRITE BUFFER: what an initiator tests its path with.

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, WRONG_EXPECTED_LENGTH};

fn read(mode: u8, id: u8, offset: u16, allocation: u16) -> Vec<u8> {
    let ([o1, o0], [a1, a0]) = (offset.to_be_bytes(), allocation.to_be_bytes());
    vec![0x3c, mode, id, 0, o1, o0, 0, a1, a0, 0]
}

fn write(mode: u8, id: u8, offset: u16, len: u16) -> Vec<u8> {
    let mut cdb = read(mode, id, offset, len);
    cdb[0] = 0x3b;
    cdb
}

#[test]
fn the_echo_buffer_gives_back_what_was_last_written() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&read(0x0b, 0, 0, 4), 4), [0, 0, 0x10, 0]);
    assert_eq!(lun.check(&read(0x0a, 0, 0, 252), &[0; 252]), (5, 0x2c, 0), "nothing was written yet");
    lun.good(&write(0x0a, 0, 0, 4), b"echo");
    lun.good(&write(0x0a, 0, 0, 3), b"abc");
    assert_eq!(lun.data_in(&read(0x0a, 0, 0, 252), 252), b"abc");
    assert_eq!(lun.data_in(&read(0x0a, 0, 0, 2), 252), b"ab");
}

#[test]
fn the_data_buffer_is_read_and_written_at_any_byte() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&read(0x03, 0, 0, 4), 4), [0, 0, 0x10, 0]);
    assert_eq!(lun.data_in(&read(0x02, 0, 4094, 16), 16), [0, 0]);
    lun.good(&write(0x02, 0, 4093, 3), b"end");
    assert_eq!(lun.data_in(&read(0x02, 0, 4092, 16), 16), b"\0end");
    assert_eq!(lun.data_in(&read(0x02, 0, 4096, 16), 16), b"");
    let sixteen = [0x9b, 0x02, 0, 0, 0, 0, 0, 0, 0x0f, 0xfd, 0, 0, 0, 2, 0, 0];
    assert_eq!(lun.data_in(&sixteen, 16), b"en");
}

#[test]
fn a_buffer_that_does_not_exist_is_of_no_size() {
    let lun = Lun::new();
    assert_eq!(lun.data_in(&read(0x03, 1, 0, 4), 4), [0; 4]);
    assert_eq!(lun.check(&read(0x02, 1, 0, 4), &[0; 4]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&write(0x02, 1, 0, 4), &[0; 4]), INVALID_FIELD_IN_CDB);
}

#[test]
fn what_does_not_fit_or_has_no_meaning_here_is_refused() {
    let lun = Lun::new();
    for cdb in [read(0x02, 0, 4097, 4), write(0x02, 0, 4093, 4), write(0x0a, 0, 0, 4097), write(0x03, 0, 0, 4)] {
        assert_eq!(lun.check(&cdb, &[0; 4097]), INVALID_FIELD_IN_CDB, "{cdb:02x?}");
    }
    // Combined header and data, vendor specific, microcode, error history.
    for mode in [0x00, 0x01, 0x05, 0x0f, 0x1c] {
        assert_eq!(lun.check(&read(mode, 0, 0, 4), &[0; 4]), INVALID_FIELD_IN_CDB, "{mode:02x}");
        assert_eq!(lun.check(&write(mode, 0, 0, 4), &[0; 4]), INVALID_FIELD_IN_CDB, "{mode:02x}");
    }
    assert_eq!(lun.check(&write(0x0a, 0, 0, 4), &[0; 3]), WRONG_EXPECTED_LENGTH);
}
