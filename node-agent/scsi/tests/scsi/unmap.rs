//! UNMAP: what its list may say, and what it leaves.

use lunette_backend::Discard;

use crate::lun::{
    INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, INVALID_OPCODE, LIST_LENGTH_ERROR, Lun, OUT_OF_RANGE,
    WRONG_EXPECTED_LENGTH, cdb10,
};

/// A parameter list of these descriptors.
pub fn list(ranges: &[(u64, u32)]) -> Vec<u8> {
    let len = u16::try_from(16 * ranges.len()).unwrap();
    let mut list = [&(len + 6).to_be_bytes()[..], &len.to_be_bytes(), &[0; 4]].concat();
    for (lba, blocks) in ranges {
        list.extend([&lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0; 4]].concat());
    }
    list
}

fn unmap(len: usize) -> Vec<u8> {
    cdb10(0x42, 0, 0, u16::try_from(len).unwrap())
}

fn filled() -> Lun {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 64), &lun.blocks(64, 1));
    lun
}

#[test]
fn every_run_of_the_list_is_given_back() {
    let lun = filled();
    let list = list(&[(0, 8), (63, 1), (20, 0)]);
    lun.good(&unmap(list.len()), &list);
    let expected = [lun.blocks(8, 0), lun.blocks(55, 1), lun.blocks(1, 0)].concat();
    assert_eq!(lun.ram.bytes(), expected);
}

#[test]
fn nothing_is_unmapped_unless_all_of_the_list_is_right() {
    let lun = filled();
    let refused = [
        (list(&[(0, 8), (64, 1)]), OUT_OF_RANGE),
        (list(&[(0, 8), (u64::MAX, u32::MAX)]), INVALID_FIELD_IN_LIST),
        (list(&[(0, 8), (u64::MAX, 1)]), OUT_OF_RANGE),
        (list(&[(0, 25), (25, 24)]), INVALID_FIELD_IN_LIST),
        (list(&[(0, 1); 5]), INVALID_FIELD_IN_LIST),
    ];
    for (list, expected) in refused {
        assert_eq!(lun.check(&unmap(list.len()), &list), expected);
    }
    assert_eq!(lun.ram.count("discard"), 0);
}

#[test]
fn a_list_without_a_header_is_a_length_error_and_without_anything_is_nothing() {
    let lun = filled();
    lun.good(&unmap(0), &[]);
    lun.good(&unmap(8), &[0; 8]);
    assert_eq!(lun.check(&unmap(7), &[0; 7]), LIST_LENGTH_ERROR);
    assert_eq!(lun.check(&unmap(24), &[0; 23]), WRONG_EXPECTED_LENGTH);
    assert_eq!(lun.ram.count("discard"), 0);
}

#[test]
fn a_descriptor_that_is_cut_off_is_ignored() {
    let lun = filled();
    let list = list(&[(0, 1), (1, 1)]);
    lun.good(&unmap(list.len() - 1), &list);
    assert_eq!(lun.medium(0, 2), [lun.blocks(1, 0), lun.blocks(1, 1)].concat());
}

#[test]
fn anchoring_is_refused() {
    assert_eq!(Lun::new().check(&cdb10(0x42, 1, 0, 24), &list(&[(0, 1)])), INVALID_FIELD_IN_CDB);
}

#[test]
fn storage_that_cannot_discard_has_no_unmap() {
    let lun = Lun::with(|g| g.discard = Discard::Unsupported, |_| ());
    assert_eq!(lun.check(&unmap(24), &list(&[(0, 1)])), INVALID_OPCODE);
    assert_eq!(lun.data_in(&[0xa3, 0x0c, 1, 0x42, 0, 0, 0, 0, 0, 255, 0, 0], 255), [0, 1, 0, 0]);
}
