//! SANITIZE: nothing of what was there is left, and nothing else is done meanwhile.

use futures::FutureExt;
use futures::executor::block_on;
use lunette_backend::{Discard, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::lun::{
    INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, INVALID_OPCODE, LIST_LENGTH_ERROR, Lun, STALE, WRITE_PROTECTED, cdb10,
};

const OVERWRITE: u8 = 0x01;
const BLOCK_ERASE: u8 = 0x02;
const EXIT_FAILURE_MODE: u8 = 0x1f;
const AUSE: u8 = 0x20;
const IN_PROGRESS: (u8, u8, u8) = (2, 0x04, 0x1b);
const FAILED: (u8, u8, u8) = (3, 0x31, 0x03);

fn sanitize(action: u8, len: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
    vec![0x48, action, 0, 0, 0, 0, 0, high, low, 0]
}

/// OVERWRITE's parameter list.
fn list(flags: u8, pattern: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(pattern.len()).unwrap().to_be_bytes();
    [&[flags, 0, high, low], pattern].concat()
}

fn filled() -> Lun {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 8, 32), &lun.blocks(32, 0x61));
    lun.ram.calls.borrow_mut().clear();
    lun
}

#[test]
fn block_erase_writes_zeroes_over_what_is_kept_before_it_gives_that_back() {
    let lun = filled();
    lun.good(&sanitize(BLOCK_ERASE, 0), &[]);
    let calls = lun.ram.calls.borrow().clone();
    let work: Vec<_> = calls.into_iter().filter(|call| call.0 != "extent").collect();
    let whole = 64 * 512;
    assert_eq!(work, [("write", 8 * 512, 32 * 512), ("flush", 0, 0), ("unmap_zeroes", 0, whole), ("flush", 0, 0)]);
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 64), lun.blocks(64, 0));
}

#[test]
fn overwrite_repeats_its_pattern_from_the_beginning_of_each_block() {
    let lun = filled();
    let list = list(1, b"abcde");
    lun.good(&sanitize(OVERWRITE, list.len()), &list);
    let block: Vec<u8> = b"abcde".iter().copied().cycle().take(512).collect();
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 64), block.repeat(64));
}

#[test]
fn passes_are_as_many_as_it_says_and_the_last_is_not_inverted() {
    for (flags, passes) in [(0x01, 1), (0x03, 3), (0x82, 2), (0x83, 3)] {
        let lun = filled();
        let list = list(flags, &[0x0f; 512]);
        lun.good(&sanitize(OVERWRITE, list.len()), &list);
        assert_eq!(lun.ram.count("write"), passes);
        assert_eq!(lun.ram.count("flush"), passes);
        assert_eq!(lun.medium(0, 64), lun.blocks(64, 0x0f), "{flags:02x}");
    }
}

#[test]
fn what_its_list_may_not_say_is_refused_and_nothing_touched() {
    let lun = filled();
    let check = |list: &[u8], len: usize| lun.check(&sanitize(OVERWRITE, len), list);
    for len in [0, 1, 4, 517, 600] {
        assert_eq!(check(&[1; 600], len), INVALID_FIELD_IN_CDB, "{len} bytes");
    }
    assert_eq!(check(&list(0, &[1; 4]), 8), INVALID_FIELD_IN_CDB, "no passes");
    assert_eq!(check(&list(0x21, &[1; 4]), 8), INVALID_FIELD_IN_LIST, "TEST");
    assert_eq!(check(&[1, 0, 0, 0, 1], 5), INVALID_FIELD_IN_LIST, "no pattern");
    assert_eq!(check(&[1, 0, 2, 1, 1], 5), INVALID_FIELD_IN_LIST, "a pattern longer than a block");
    assert_eq!(check(&[1, 0, 0, 2, 1], 5), LIST_LENGTH_ERROR, "a pattern that is cut off");
    for action in [0, 3, 4, 0x1e, 0x40 | BLOCK_ERASE] {
        assert_eq!(lun.check(&sanitize(action, 0), &[]), INVALID_FIELD_IN_CDB, "{action:02x}");
    }
    assert_eq!(lun.check(&sanitize(BLOCK_ERASE, 8), &[0; 8]), INVALID_FIELD_IN_CDB);
    assert!(lun.ram.calls.borrow().is_empty());
}

#[test]
fn a_protected_unit_is_not_sanitized() {
    let lun = Lun::with(|g| g.read_only = true, |_| ());
    let list = list(1, &[1; 4]);
    assert_eq!(lun.check(&sanitize(OVERWRITE, list.len()), &list), WRITE_PROTECTED);
    assert_eq!(lun.check(&sanitize(BLOCK_ERASE, 0), &[]), WRITE_PROTECTED);
}

#[test]
fn storage_that_cannot_discard_has_no_block_erase() {
    let lun = Lun::with(|g| g.discard = Discard::Unsupported, |_| ());
    assert_eq!(lun.check(&sanitize(BLOCK_ERASE, 0), &[]), INVALID_FIELD_IN_CDB);
    let supported = |action| lun.data_in(&[0xa3, 0x0c, 2, 0x48, 0, action, 0, 0, 0, 255, 0, 0], 255)[1];
    assert_eq!((supported(OVERWRITE), supported(BLOCK_ERASE)), (3, 1));
}

#[test]
fn while_it_runs_the_unit_only_tells_of_itself() {
    let lun = filled();
    lun.ram.delay.set(1);
    let cdb = sanitize(BLOCK_ERASE, 0);
    let mut erasing = Box::pin(lun.scsi.execute(&cdb, DataBuf::empty()));
    assert!(erasing.as_mut().now_or_never().is_none());
    for refused in [cdb10(0x28, 0, 0, 1), vec![0; 6], cdb10(0x2a, 0, 0, 1), cdb.clone()] {
        assert_eq!(lun.check(&refused, &lun.blocks(1, STALE)), IN_PROGRESS, "{refused:02x?}");
    }
    assert_eq!(lun.check(&[0x1b, 1, 0, 0, 0x12, 0], &[]), IN_PROGRESS, "LOEJ, which would be refused");
    assert_eq!(lun.check(&[0xff; 6], &[]), INVALID_OPCODE);
    assert_eq!(lun.check(&[0x12, 2, 0, 0, 36, 0], &[STALE; 36]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 36, 0], 36)[0], 0);
    let sense = lun.data_in(&[0x03, 0, 0, 0, 18, 0], 18);
    assert_eq!((sense[2], sense[12], sense[13], sense[15] & 0x80), (2, 0x04, 0x1b, 0x80));
    assert!(block_on(erasing).is_good());
    lun.good(&[0; 6], &[]);
}

/// Writes that were taken before are part of what is erased.
#[test]
fn it_waits_for_the_writes_that_run() {
    let lun = filled();
    lun.ram.delay.set(3);
    let (write, erase) = (cdb10(0x2a, 0, 0, 1), sanitize(BLOCK_ERASE, 0));
    let writing = lun.scsi.execute(&write, DataBuf::from_slice(&lun.blocks(1, 7)));
    let erasing = lun.scsi.execute(&erase, DataBuf::empty());
    let (written, erased) = block_on(futures::future::join(writing, erasing));
    assert!(written.is_good() && erased.is_good());
    assert_eq!(lun.medium(0, 64), lun.blocks(64, 0));
}

#[test]
fn a_failure_lasts_until_another_attempt_succeeds() {
    let lun = filled();
    lun.ram.fail.set(Some(IoErrorKind::MediumWrite));
    assert_eq!(lun.check(&sanitize(BLOCK_ERASE, 0), &[]), FAILED);
    lun.ram.fail.set(None);
    assert_eq!(lun.check(&cdb10(0x28, 0, 0, 1), &lun.blocks(1, STALE)), FAILED);
    assert_eq!(lun.check(&[0; 6], &[]), FAILED);
    assert_eq!(lun.check(&sanitize(EXIT_FAILURE_MODE, 0), &[]), INVALID_FIELD_IN_CDB, "it was restricted");
    assert_eq!(lun.check(&sanitize(BLOCK_ERASE | AUSE, 0), &[]), INVALID_FIELD_IN_CDB, "and stays so");
    lun.good(&sanitize(BLOCK_ERASE, 0), &[]);
    assert_eq!(lun.data_in(&cdb10(0x28, 0, 8, 1), 512), lun.blocks(1, 0));
}

#[test]
fn an_unrestricted_failure_may_be_left() {
    let lun = filled();
    lun.ram.fail.set(Some(IoErrorKind::MediumWrite));
    assert_eq!(lun.check(&sanitize(BLOCK_ERASE | AUSE, 0), &[]), FAILED);
    lun.ram.fail.set(None);
    lun.good(&sanitize(EXIT_FAILURE_MODE, 0), &[]);
    assert_eq!(lun.data_in(&cdb10(0x28, 0, 8, 1), 512), lun.blocks(1, 0x61));
    lun.good(&sanitize(EXIT_FAILURE_MODE, 0), &[]);
}
