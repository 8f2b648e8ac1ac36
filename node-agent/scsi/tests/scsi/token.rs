//! POPULATE TOKEN, WRITE USING TOKEN, RECEIVE ROD TOKEN INFORMATION.

use lunette_backend::IoErrorKind;

use crate::lun::{
    INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, LIST_LENGTH_ERROR, Lun, NAA, OUT_OF_RANGE, STALE, WRITE_PROTECTED,
    cdb10, numbered, numbers,
};

/// A token command of this service action, list identifier and list length.
pub fn command(action: u8, id: u32, len: usize) -> Vec<u8> {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    [&[0x83, action, 0, 0, 0, 0], &id.to_be_bytes()[..], &len, &[0, 0]].concat()
}

fn ranges(list: &[(u64, u32)]) -> Vec<u8> {
    let range = |(lba, blocks): &(u64, u32)| [&lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0; 4]].concat();
    list.iter().flat_map(range).collect()
}

/// The list of POPULATE TOKEN.
pub fn populate(timeout: u32, flags: u8, kind: u32, list: &[(u64, u32)]) -> Vec<u8> {
    let ranges = ranges(list);
    let len = u16::try_from(ranges.len()).unwrap();
    let mut p = (14 + len).to_be_bytes().to_vec();
    p.extend([flags, 0]);
    p.extend(timeout.to_be_bytes());
    p.extend(kind.to_be_bytes());
    p.extend([0; 2]);
    p.extend(len.to_be_bytes());
    [p, ranges].concat()
}

/// The list of WRITE USING TOKEN.
pub fn write(flags: u8, offset: u64, token: &[u8], list: &[(u64, u32)]) -> Vec<u8> {
    let ranges = ranges(list);
    let len = u16::try_from(ranges.len()).unwrap();
    let mut p = (534 + len).to_be_bytes().to_vec();
    p.extend([flags, 0, 0, 0, 0, 0]);
    p.extend(offset.to_be_bytes());
    p.extend(token);
    p.extend([0; 6]);
    p.extend(len.to_be_bytes());
    [p, ranges].concat()
}

fn receive(lun: &Lun, id: u32) -> Vec<u8> {
    lun.data_in(&receive_cdb(id), 1024)
}

pub fn receive_cdb(id: u32) -> Vec<u8> {
    [&[0x84, 0x07], &id.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 4, 0, 0, 0]].concat()
}

/// A token for these ranges.
fn token(lun: &Lun, list: &[(u64, u32)]) -> Vec<u8> {
    let list = populate(0, 0, 0, list);
    lun.good(&command(0x10, 1, list.len()), &list);
    let told = receive(lun, 1);
    assert_eq!(told[32..38], [0, 0, 2, 2, 0, 0], "one descriptor of 514 bytes");
    told[38..].to_vec()
}

fn good(lun: &Lun, list: &[u8]) {
    lun.good(&command(0x11, 2, list.len()), list);
    receive(lun, 2);
}

fn refused(lun: &Lun, list: &[u8]) -> (u8, u8, u8) {
    lun.check(&command(0x11, 2, list.len()), list)
}

#[test]
fn a_token_names_its_type_its_unit_and_how_much_it_stands_for() {
    let token = token(&numbered(), &[(0, 4), (6, 2)]);
    let creator = [&[0xe4, 0, 0, 0, 1, 3, 0, 16], &NAA[..], &[0, 0, 0, 0, 0, 0, 2, 0]].concat();
    assert_eq!((token.len(), &token[..8]), (512, &[0, 0x80, 0, 1, 0, 0, 0x01, 0xf8][..]));
    assert_eq!((&token[16..48], &token[62..64]), (&creator[..], &[0x0c, 0][..]));
}

#[test]
fn what_a_token_stands_for_is_written_where_it_is_wanted() {
    let lun = numbered();
    let token = token(&lun, &[(0, 4), (6, 2)]);
    good(&lun, &write(0, 0, &token, &[(20, 6)]));
    assert_eq!(numbers(&lun, 20, 7), [1, 2, 3, 4, 7, 8, 0]);
    good(&lun, &write(0, 3, &token, &[(30, 1), (40, 2)]));
    assert_eq!((numbers(&lun, 30, 2), numbers(&lun, 40, 3)), (vec![4, 0], vec![7, 8, 0]), "from an offset on");
    good(&lun, &write(2, 5, &token, &[(50, 1)]));
    assert_eq!(refused(&lun, &write(0, 0, &token, &[(20, 1)])), (5, 0x23, 4), "DEL_TKN");
}

#[test]
fn the_information_tells_how_much_was_written_in_blocks() {
    let lun = numbered();
    let list = write(0, 0, &token(&lun, &[(0, 4)]), &[(20, 1), (30, 3)]);
    lun.good(&command(0x11, 7, list.len()), &list);
    let told = receive(&lun, 7);
    let expected = [0, 0, 0, 32, 0x11, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2];
    assert_eq!((&told[..26], &told[26..]), (&expected[..], &[0; 10][..]));
    assert_eq!(lun.check(&receive_cdb(7), &[STALE; 64]), INVALID_FIELD_IN_CDB, "told once");
}

#[test]
fn a_write_to_its_data_revokes_a_token_and_another_write_does_not() {
    let lun = numbered();
    let token = token(&lun, &[(0, 4), (6, 2)]);
    lun.good(&cdb10(0x2a, 0, 4, 2), &lun.blocks(2, 9));
    good(&lun, &write(0, 0, &token, &[(20, 6)]));
    lun.good(&cdb10(0x2a, 0, 7, 1), &lun.blocks(1, 9));
    assert_eq!(refused(&lun, &write(0, 0, &token, &[(30, 6)])), (5, 0x23, 6));
    assert_eq!(numbers(&lun, 30, 6), [0; 6]);
}

#[test]
fn a_token_is_taken_only_as_it_was_given() {
    let lun = numbered();
    let token = token(&lun, &[(0, 4)]);
    let changed = |at: usize| {
        let mut token = token.clone();
        token[at] ^= 1;
        refused(&lun, &write(0, 0, &token, &[(20, 1)]))
    };
    assert_eq!(changed(0), (5, 0x23, 1), "another type");
    assert_eq!(changed(7), (5, 0x23, 0x0a), "another length");
    assert_eq!(changed(15), (5, 0x23, 4), "another number");
    assert_eq!(changed(24), (5, 0x23, 2), "another unit");
    for at in [62, 256, 287, 511] {
        assert_eq!(changed(at), (5, 0x23, 5), "byte {at}");
    }
    good(&lun, &write(0, 0, &token, &[(20, 1)]));
}

#[test]
fn the_token_of_zeroes_needs_nobody_to_make_it() {
    let lun = numbered();
    let zeroes = [&[0xff, 0xff, 0, 1, 0, 0, 0x01, 0xf8][..], &[0; 504]].concat();
    good(&lun, &write(0, 0, &zeroes, &[(1, 2), (5, 1)]));
    assert_eq!(numbers(&lun, 0, 8), [1, 0, 0, 4, 5, 0, 7, 8]);
    assert_eq!(lun.ram.count("unmap_zeroes"), 2);
}

#[test]
fn an_identifier_whose_result_nobody_asked_for_is_not_taken_again() {
    let lun = numbered();
    let list = populate(0, 0, 0, &[(0, 1)]);
    lun.good(&command(0x10, 5, list.len()), &list);
    assert_eq!(lun.check(&command(0x10, 5, list.len()), &list), (5, 0x00, 0x16), "it might be another initiator's");
    lun.good(&command(0x10, 6, list.len()), &list);
    let status = [&[0x84, 0x05, 0, 0, 0, 5][..], &[0, 0, 0, 0, 0, 0, 0, 64, 0, 0]].concat();
    assert_eq!(lun.data_in(&status, 64)[4..6], [0x10, 0x01], "its status can be seen before");
    assert_ne!(receive(&lun, 5)[38..], receive(&lun, 6)[38..]);
    lun.good(&command(0x10, 5, list.len()), &list);
}

#[test]
fn a_list_of_the_wrong_form_is_refused() {
    let lun = numbered();
    let bad = [
        ("IMMED", populate(0, 1, 0, &[(0, 1)]), INVALID_FIELD_IN_LIST),
        ("a ROD type that is not made", populate(0, 2, 0x0001_0000, &[(0, 1)]), INVALID_FIELD_IN_LIST),
        ("too long a life", populate(601, 0, 0, &[(0, 1)]), INVALID_FIELD_IN_LIST),
        ("no range", populate(0, 0, 0, &[]), INVALID_FIELD_IN_LIST),
        ("ranges that overlap", populate(0, 0, 0, &[(0, 4), (3, 2)]), INVALID_FIELD_IN_LIST),
        ("a range outside", populate(0, 0, 0, &[(0, 4), (63, 2)]), OUT_OF_RANGE),
        ("ranges that are not there", populate(0, 0, 0, &[(0, 4), (6, 1)])[..40].to_vec(), LIST_LENGTH_ERROR),
        ("too many ranges", populate(0, 0, 0, &[(0, 0); 17]), LIST_LENGTH_ERROR),
        ("half a header", populate(0, 0, 0, &[])[..15].to_vec(), LIST_LENGTH_ERROR),
    ];
    for (what, list, code) in bad {
        assert_eq!(lun.check(&command(0x10, 1, list.len()), &list), code, "{what}");
    }
    for kind in [0x0080_0001, 0x0080_ffff] {
        let list = populate(600, 2, kind, &[(0, 1)]);
        lun.good(&command(0x10, 1, list.len()), &list);
        receive(&lun, 1);
    }
    lun.good(&command(0x10, 1, 0), &[]);
    lun.good(&command(0x11, 1, 0), &[]);
}

#[test]
fn a_write_beyond_the_token_or_onto_its_data_is_refused() {
    let lun = numbered();
    let token = token(&lun, &[(0, 4)]);
    for (what, list) in [
        ("more than there is", write(0, 0, &token, &[(20, 5)])),
        ("more than is left", write(0, 2, &token, &[(20, 3)])),
        ("from beyond the end", write(0, 5, &token, &[(20, 0)])),
        ("from an offset beyond all", write(0, u64::MAX, &token, &[(20, 1)])),
        ("onto its own data", write(0, 0, &token, &[(3, 1)])),
        ("IMMED", write(1, 0, &token, &[(20, 1)])),
    ] {
        assert_eq!(refused(&lun, &list), INVALID_FIELD_IN_LIST, "{what}");
    }
    assert_eq!(refused(&lun, &write(0, 0, &token, &[(63, 2)])), OUT_OF_RANGE);
    assert_eq!(refused(&lun, &write(0, 0, &token, &[(20, 1)])[..500]), LIST_LENGTH_ERROR);
}

#[test]
fn a_failed_write_says_how_far_it_came() {
    let lun = numbered();
    let list = write(0, 0, &token(&lun, &[(0, 4)]), &[(20, 4)]);
    lun.ram.fail.set(Some(IoErrorKind::MediumRead));
    assert_eq!(refused(&lun, &list), (0xa, 0x0d, 1));
    let told = receive(&lun, 2);
    assert_eq!((told[5], told[12], told[13], told[15], told[23]), (0x02, 2, 18, 0xf1, 0));
    assert_eq!((told[34], &told[44..46]), (0xa, &[0x0d, 1][..]));
    lun.ram.fail.set(None);
    good(&lun, &list);
}

#[test]
fn a_write_protected_unit_makes_tokens_but_takes_none() {
    let lun = Lun::with(|g| g.read_only = true, |_| ());
    let token = token(&lun, &[(0, 4)]);
    assert_eq!(refused(&lun, &write(0, 0, &token, &[(20, 4)])), WRITE_PROTECTED);
}
