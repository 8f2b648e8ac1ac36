//! Expected transfer lengths that differ from what the CDB says.

use lunette_scsi::Outcome;

use crate::lun::{Lun, STALE, WRONG_EXPECTED_LENGTH, cdb10};

fn written() -> Lun {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, b'a'));
    lun.good(&cdb10(0x2a, 0, 1, 1), &lun.blocks(1, b'b'));
    lun
}

#[test]
fn a_read_into_a_longer_buffer_is_short_and_leaks_nothing() {
    let ended = written().run(&cdb10(0x28, 0, 0, 1), &[STALE; 10000]);
    assert_eq!(ended.outcome, Outcome::short(512));
    assert_eq!(ended.valid(), [b'a'; 512]);
}

#[test]
fn a_read_into_a_shorter_buffer_fills_it() {
    let lun = written();
    for len in [0, 1, 200, 511, 512, 513, 1000, 1023] {
        let ended = lun.run(&cdb10(0x28, 0, 0, 2), &vec![STALE; len]);
        assert_eq!(ended.outcome, Outcome::good());
        assert_eq!(ended.data, lun.medium(0, 2)[..len], "{len} bytes");
    }
}

#[test]
fn a_read_of_no_blocks_leaves_nothing_stale() {
    let ended = written().run(&cdb10(0x28, 0, 0, 0), &[STALE; 512]);
    assert_eq!((ended.outcome, ended.data), (Outcome::short(0), vec![0; 512]));
}

#[test]
fn a_write_of_more_than_the_cdb_says_writes_what_the_cdb_says() {
    let lun = written();
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(2, b'c'));
    assert_eq!(lun.medium(0, 2), [lun.blocks(1, b'c'), lun.blocks(1, b'b')].concat());
}

#[test]
fn a_write_of_less_than_the_cdb_says_writes_nothing() {
    let lun = written();
    let before = lun.ram.bytes();
    for len in [0, 200, 512, 1023] {
        assert_eq!(lun.check(&cdb10(0x2a, 0, 0, 2), &vec![b'c'; len]), WRONG_EXPECTED_LENGTH, "{len} bytes");
    }
    assert_eq!(lun.ram.bytes(), before);
}
