//! EXTENDED COPY of both kinds, and the commands that ask what it did.

use futures::executor::block_on;
use futures::future::join3;
use lunette_backend::IoErrorKind;
use lunette_iobuf::DataBuf;

use crate::lun::{
    INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, LIST_LENGTH_ERROR, Lun, NAA, STALE, WRITE_PROTECTED, cdb10, numbered,
    numbers, swap,
};

/// EXTENDED COPY with a list of this length; `action` 0 is LID1, 1 is LID4.
pub fn copy_cdb(action: u8, len: usize) -> Vec<u8> {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    [&[0x83, action, 0, 0, 0, 0, 0, 0, 0, 0], &len[..], &[0, 0]].concat()
}

/// RECEIVE COPY RESULTS and its kin; the identifier is of one byte for LID1.
fn receive(action: u8, id: &[u8]) -> Vec<u8> {
    let mut cdb = [&[0x84, action], id].concat();
    cdb.resize(10, 0);
    [cdb.as_slice(), &[0, 0, 1, 0, 0, 0]].concat()
}

/// An identification descriptor CSCD of this unit, blocks of 512 bytes.
pub fn own() -> Vec<u8> {
    [&[0xe4, 0, 0, 0, 1, 3, 0, 16], &NAA[..], &[0, 0, 0, 0, 0, 0, 2, 0]].concat()
}

/// A segment between two CSCDs.
fn segment_of(source: u16, target: u16, blocks: u16, from: u64, to: u64) -> Vec<u8> {
    let ids = [source.to_be_bytes(), target.to_be_bytes()].concat();
    [&[0x02, 0, 0, 0x18], ids.as_slice(), &[0, 0], &blocks.to_be_bytes(), &from.to_be_bytes(), &to.to_be_bytes()]
        .concat()
}

pub fn segment(blocks: u16, from: u64, to: u64) -> Vec<u8> {
    segment_of(0, 0, blocks, from, to)
}

/// A LID1 list; `usage` is LIST ID USAGE.
pub fn list1(id: u8, usage: u8, cscds: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    let (cscds, segments) = (cscds.concat(), segments.concat());
    let mut list = vec![id, usage << 3];
    list.extend(u16::try_from(cscds.len()).unwrap().to_be_bytes());
    list.extend([0; 4]);
    list.extend(u32::try_from(segments.len()).unwrap().to_be_bytes());
    list.extend([0; 4]);
    [list, cscds, segments].concat()
}

/// A LID4 list.
pub fn list4(id: u32, usage: u8, cscds: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    let (cscds, segments) = (cscds.concat(), segments.concat());
    let mut list = vec![0x01, usage << 3, 0, 0x20];
    list.resize(16, 0);
    list.extend([0xff, 0, 0, 0]);
    list.extend(id.to_be_bytes());
    list.resize(42, 0);
    list.extend(u16::try_from(cscds.len()).unwrap().to_be_bytes());
    list.extend(u16::try_from(segments.len()).unwrap().to_be_bytes());
    list.extend([0; 2]);
    [list, cscds, segments].concat()
}

/// A list that copies within the unit, without keeping its results.
pub fn list(segments: &[(u16, u64, u64)]) -> Vec<u8> {
    let segments: Vec<_> = segments.iter().map(|&(blocks, from, to)| segment(blocks, from, to)).collect();
    list1(0, 3, &[own()], &segments)
}

fn copy(lun: &Lun, list: &[u8]) -> (u8, u8, u8) {
    lun.check(&copy_cdb(0, list.len()), list)
}

fn with(list: &[u8], byte: usize, value: u8) -> Vec<u8> {
    let mut list = list.to_vec();
    list[byte] = value;
    list
}

#[test]
fn segments_are_copied_in_order_by_either_command() {
    let segments = [segment(4, 0, 20), segment(2, 22, 30), segment(0, 0, 64)];
    let lists = [list1(1, 2, &[own()], &segments), list4(1, 2, &[own()], &segments)];
    for (action, list) in (0..).zip(lists) {
        let lun = numbered();
        lun.good(&copy_cdb(action, list.len()), &list);
        assert_eq!(numbers(&lun, 20, 5), [1, 2, 3, 4, 0]);
        assert_eq!(numbers(&lun, 30, 3), [3, 4, 0], "the second copies what the first has made");
    }
}

#[test]
fn source_and_target_may_overlap_in_either_direction() {
    let lun = numbered();
    lun.good(&copy_cdb(0, 76), &list1(0, 2, &[own()], &[segment(6, 0, 2)]));
    assert_eq!(numbers(&lun, 0, 9), [1, 2, 1, 2, 3, 4, 5, 6, 0]);
    lun.good(&copy_cdb(0, 76), &list1(0, 2, &[own()], &[segment(6, 2, 0)]));
    assert_eq!(numbers(&lun, 0, 9), [1, 2, 3, 4, 5, 6, 5, 6, 0]);
}

#[test]
fn a_copy_of_many_pieces_that_overlaps_is_right_too() {
    let lun = Lun::new();
    lun.ram.grow(4 << 20);
    lun.scsi.refresh_size().unwrap();
    lun.check(&[0; 6], &[]);
    let fill = |lba: u32| {
        for at in 0..32 {
            lun.good(&cdb10(0x2a, 0, lba + at * 64, 64), &lun.blocks(64, u8::try_from(at).unwrap() + 1));
        }
    };
    let groups = |lba: usize| -> Vec<u8> { (0..32).map(|at| lun.medium(lba + at * 64, 1)[0]).collect() };
    let expected: Vec<u8> = (1..=32).collect();
    for (from, to) in [(0_u32, 640_u32), (640, 0)] {
        fill(from);
        lun.good(&copy_cdb(0, 76), &list1(0, 2, &[own()], &[segment(2048, from.into(), to.into())]));
        assert_eq!(groups(usize::try_from(to).unwrap()), expected, "from {from} to {to}");
    }
}

#[test]
fn the_unit_is_known_by_its_uuid_and_by_the_copy_managers_own_id() {
    let uuid = *b"0123456789abcdef";
    let lun = Lun::with(|_| (), |config| config.identity.uuid = Some(uuid));
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 9));
    let by_uuid = [&[0xe4, 0, 0, 0, 1, 0x0a, 0, 18, 0x10, 0], &uuid[..], &[0, 0, 0, 0, 2, 0]].concat();
    lun.good(&copy_cdb(0, 76), &list1(0, 2, &[by_uuid], &[segment(1, 0, 5)]));
    lun.good(&copy_cdb(0, 44), &list1(0, 2, &[], &[segment_of(0xffff, 0xffff, 1, 5, 6)]));
    assert_eq!(numbers(&lun, 5, 2), [9, 9]);
}

#[test]
fn the_type_of_an_identifier_that_is_not_there_is_ignored() {
    for lu_id_type in [0x40, 0x80, 0xc0] {
        let lun = numbered();
        lun.good(&copy_cdb(0, 76), &list1(0, 2, &[with(&own(), 1, lu_id_type)], &[segment(2, 0, 20)]));
        assert_eq!(numbers(&lun, 20, 2), [1, 2]);
    }
}

#[test]
fn what_cannot_be_reached_or_is_outside_aborts_the_copy_before_it_begins() {
    let lun = numbered();
    let elsewhere = with(&own(), 8, 0x61);
    let null = with(&own(), 1, 0x20);
    let good = segment(1, 0, 40);
    for (cscds, bad, code) in [
        (vec![own()], segment_of(0, 1, 1, 0, 9), (0xa, 8, 4)),
        (vec![own()], segment_of(0xf800, 0, 1, 0, 9), (0xa, 8, 4)),
        (vec![null], segment(1, 0, 9), (0xa, 8, 4)),
        (vec![own(), elsewhere], segment_of(0, 1, 1, 0, 9), (0xa, 0xd, 2)),
        (vec![own()], segment(8, 0, 57), (0xa, 0, 0)),
        (vec![own()], segment(1, u64::MAX, 0), (0xa, 0, 0)),
    ] {
        let segments = [segment_of(0xffff, 0xffff, 1, 0, 40), bad];
        assert_eq!(copy(&lun, &list1(1, 0, &cscds, &segments)), code);
    }
    let ended = lun.run(&copy_cdb(0, 104), &list1(1, 0, &[own()], &[good, segment(1, 0, 64)]));
    assert_eq!(ended.sense()[8..12], [0, 0, 0, 1], "the second segment");
    assert_eq!(numbers(&lun, 40, 1), [0], "nothing was copied");
    assert_eq!(lun.check(&receive(0, &[1]), &[STALE; 64]), INVALID_FIELD_IN_CDB, "so there are no results");
}

#[test]
fn a_list_of_the_wrong_form_is_refused_with_the_reason() {
    let lun = Lun::new();
    let list = list1(1, 0, &[own()], &[segment(1, 0, 9)]);
    let refused = [
        ("a CSCD of another type", with(&list, 16, 0xe0), (5, 0x26, 7)),
        ("a segment of another type", with(&list, 48, 0x04), (5, 0x26, 9)),
        ("a designator that does not fit", with(&list, 23, 21), INVALID_FIELD_IN_LIST),
        ("blocks of another size", with(&list, 46, 0x10), INVALID_FIELD_IN_LIST),
        ("a segment of another length", with(&list, 51, 0x14), INVALID_FIELD_IN_LIST),
        ("a reserved use of the identifier", with(&list, 1, 0x08), INVALID_FIELD_IN_LIST),
        ("an identifier where there is none", with(&list, 1, 0x18), INVALID_FIELD_IN_LIST),
        ("half a CSCD", list1(1, 0, &[own()[..16].to_vec()], &[segment(1, 0, 9)]), LIST_LENGTH_ERROR),
        ("half a segment", list1(1, 0, &[own()], &[segment(1, 0, 9)[..20].to_vec()]), LIST_LENGTH_ERROR),
        ("inline data", [with(&list, 15, 4), vec![0; 4]].concat(), (5, 0x26, 0x0b)),
        ("a header alone", list[..15].to_vec(), LIST_LENGTH_ERROR),
    ];
    for (what, list, code) in refused {
        assert_eq!(copy(&lun, &list), code, "{what}");
    }
    for len in [47, 75] {
        assert_eq!(copy(&lun, &list[..len]), LIST_LENGTH_ERROR, "{len} bytes");
    }
    lun.good(&copy_cdb(0, 0), &[]);
    assert_eq!(lun.check(&copy_cdb(0, 1 << 20), &list), LIST_LENGTH_ERROR, "refused unread");
}

#[test]
fn a_long_list_has_a_header_of_its_own() {
    let lun = Lun::new();
    let list = list4(1, 0, &[own()], &[segment(1, 0, 9)]);
    for (byte, value) in [(0, 2), (3, 0x40), (15, 1), (15, 2), (16, 0xe4), (1, 0x08), (1, 0x18)] {
        let list = with(&list, byte, value);
        assert_eq!(lun.check(&copy_cdb(1, list.len()), &list), INVALID_FIELD_IN_LIST, "byte {byte}");
    }
    assert_eq!(lun.check(&copy_cdb(1, 47), &list[..47]), LIST_LENGTH_ERROR);
}

#[test]
fn descriptors_beyond_what_is_told_are_refused() {
    let lun = Lun::new();
    let told = lun.data_in(&receive(3, &[]), 256);
    let number = |at: usize| usize::from(u16::from_be_bytes([told[at], told[at + 1]]));
    let (cscds, segments) = (number(8), number(10));
    let many = |cscds, segments| list1(1, 0, &vec![own(); cscds], &vec![segment(1, 0, 9); segments]);
    lun.good(&copy_cdb(0, many(cscds, segments).len()), &many(cscds, segments));
    assert_eq!(copy(&lun, &many(cscds + 1, 1)), (5, 0x26, 6));
    assert_eq!(copy(&lun, &many(1, segments + 1)), (5, 0x26, 8));
    assert_eq!(copy(&lun, &many(cscds + 1, segments + 1)), LIST_LENGTH_ERROR);
    let longest = u32::from_be_bytes(told[16..20].try_into().unwrap());
    assert_eq!(longest, 65535 * 512, "no segment can say more than this allows");
    let large = Lun::with(|g| g.block_size = 4096, |_| ());
    let told = large.data_in(&receive(3, &[]), 256);
    assert_eq!(u32::from_be_bytes(told[16..20].try_into().unwrap()), 64 << 20);
    let own = with(&with(&own(), 30, 0x10), 29, 0);
    assert_eq!(copy(&large, &list1(1, 0, &[own], &[segment(16385, 0, 9)])), INVALID_FIELD_IN_LIST);
}

#[test]
fn the_operating_parameters_are_what_is_enforced() {
    let told = Lun::new().data_in(&receive(3, &[]), 256);
    let expected = [
        0, 0, 0, 42, 1, 0, 0, 0, 0, 4, 0, 16, 0, 0, 0x02, 0x40, 0x01, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 16, 16, 9, 0, 0, 0, 0, 0, 2, 0x02, 0xe4,
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_status_of_a_held_copy_is_told_once() {
    let lun = numbered();
    assert_eq!(lun.check(&receive(0, &[1]), &[STALE; 64]), INVALID_FIELD_IN_CDB, "there was none");
    lun.good(&copy_cdb(0, 104), &list1(1, 0, &[own()], &[segment(4, 0, 20), segment(1, 0, 30)]));
    assert_eq!(lun.data_in(&receive(0, &[1]), 64), [0, 0, 0, 8, 0x01, 0, 2, 0, 0, 0, 0x0a, 0]);
    assert_eq!(lun.check(&receive(0, &[1]), &[STALE; 64]), INVALID_FIELD_IN_CDB);
    for (usage, id) in [(2, 1), (3, 0)] {
        lun.good(&copy_cdb(0, 76), &list1(id, usage, &[own()], &[segment(4, 0, 20)]));
        assert_eq!(lun.check(&receive(0, &[id]), &[STALE; 64]), INVALID_FIELD_IN_CDB, "it was not to be held");
    }
}

#[test]
fn the_status_of_a_long_copy_has_its_sense_in_it() {
    let lun = numbered();
    let list = list4(0x0102_0304, 0, &[own()], &[segment(4, 0, 20)]);
    lun.good(&copy_cdb(1, list.len()), &list);
    let told = lun.data_in(&receive(5, &[1, 2, 3, 4]), 64);
    let expected = [0, 0, 0, 28, 0x01, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1];
    assert_eq!((&told[..26], &told[26..]), (&expected[..], &[0; 6][..]));
    lun.ram.fail.set(Some(IoErrorKind::MediumRead));
    assert_eq!(lun.check(&copy_cdb(1, list.len()), &list), (0xa, 0x0d, 1));
    let told = lun.data_in(&receive(5, &[1, 2, 3, 4]), 64);
    assert_eq!((&told[..6], &told[12..16]), (&[0, 0, 0, 46, 0x01, 0x02][..], &[2, 18, 18, 0][..]));
    assert_eq!((told[32], told[34], &told[44..46]), (0x70, 0xa, &[0x0d, 1][..]));
}

#[test]
fn a_failure_is_told_with_the_segment_that_it_was_in() {
    let lun = numbered();
    lun.ram.fail.set(Some(IoErrorKind::NoSpace));
    let list = list1(1, 0, &[own()], &[segment(0, 0, 0), segment(4, 0, 20)]);
    let ended = lun.run(&copy_cdb(0, list.len()), &list);
    let sense = [0x70, 0, 0xa, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0x0d, 1, 0, 0, 0, 0];
    assert_eq!(ended.sense(), sense);
    assert_eq!(lun.data_in(&receive(0, &[1]), 64), [0, 0, 0, 8, 0x02, 0, 1, 0, 0, 0, 0, 0]);
    let details = lun.data_in(&receive(4, &[1]), 256);
    assert_eq!((&details[..4], &details[56..60]), (&[0, 0, 0, 74][..], &[2, 0, 0, 18][..]));
    assert_eq!(details[60..], sense);
    assert_eq!(lun.check(&receive(4, &[1]), &[STALE; 64]), INVALID_FIELD_IN_CDB);
}

#[test]
fn storage_that_is_away_or_busy_is_said_as_ever() {
    let lun = numbered();
    let list = list1(1, 2, &[own()], &[segment(4, 0, 20)]);
    lun.ram.fail.set(Some(IoErrorKind::Unreachable));
    assert_eq!(copy(&lun, &list), (2, 4, 1));
    lun.ram.fail.set(Some(IoErrorKind::Busy));
    assert_eq!(lun.run(&copy_cdb(0, list.len()), &list).outcome.status, 8);
}

#[test]
fn a_write_protected_unit_takes_no_copy() {
    let lun = Lun::with(|g| g.read_only = true, |_| ());
    assert_eq!(copy(&lun, &list1(1, 2, &[own()], &[segment(4, 0, 20)])), WRITE_PROTECTED);
}

#[test]
fn a_copy_takes_no_half_of_what_a_compare_and_write_writes() {
    let lun = Lun::new();
    lun.ram.delay.set(2);
    let data = [lun.blocks(4, 0), lun.blocks(4, 7)].concat();
    let (swap, list) = (swap(0, 4), list1(0, 2, &[own()], &[segment(4, 0, 20)]));
    let (copy_cdb, write) = (copy_cdb(0, list.len()), cdb10(0x2a, 0, 22, 2));
    let (swapped, copied, written) = block_on(join3(
        lun.scsi.execute(&swap, DataBuf::from_slice(&data)),
        lun.scsi.execute(&copy_cdb, DataBuf::from_slice(&list)),
        lun.scsi.execute(&write, DataBuf::from_slice(&lun.blocks(2, 9))),
    ));
    assert!(swapped.is_good() && copied.is_good() && written.is_good());
    assert_eq!(numbers(&lun, 20, 4), [7, 7, 9, 9], "the copy came after the swap, the write after the copy");
}

#[test]
fn page_8f_agrees_with_what_is_done() {
    let data = Lun::new().data_in(&[0x12, 1, 0x8f, 2, 0, 0], 512);
    let expected = [
        &[0, 0x8f, 0x01, 0x74][..],
        &[
            0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 2, 0x58, 0, 0, 0, 60, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2,
            0, 0,
        ],
        &[0, 0x01, 0, 16, 13, 0x83, 4, 0x00, 0x01, 0x10, 0x11, 0x84, 5, 0x00, 0x03, 0x04, 0x05, 0x07, 0, 0],
        &[0, 0x04, 0, 28, 0, 0, 0, 0, 0, 4, 0, 16, 0, 0, 0x02, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0x08, 0, 4, 2, 0x02, 0xe4, 0],
        &[0, 0x0c, 0, 4, 0, 2, 0xff, 0xff],
        &[0x01, 0x06, 0, 92],
        &[0; 20],
        &[0, 0, 2, 0x58],
        &[0; 18],
        &[0, 48, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x04, 0, 0, 0],
        &[0; 24],
        &[0x01, 0x08, 0, 132, 0, 0, 0, 128, 0, 0x80, 0, 1, 3],
        &[0; 59],
        &[0xff, 0xff, 0, 1, 2],
        &[0; 59],
        &[0x80, 0x01, 0, 32, 0, 0, 0, 16, 0, 0, 0, 16, 0x01, 0xff, 0xfe, 0, 9],
        &[0; 19],
    ];
    assert_eq!(data, expected.concat());
}
