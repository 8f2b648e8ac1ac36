//! The table against the rules that it must keep whatever is added to it.

use super::*;

#[test]
fn entries_are_sorted_and_unique() {
    let keys: Vec<_> = OPCODES.iter().map(|entry| (entry.code, entry.action)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:x?}");
    assert!(OPCODES.iter().all(|entry| entry.usage[0] == entry.code));
}

/// The kernel cuts CDBs by this table of groups (`scsi_command_size_tbl`), and those of variable length by
/// what they say of themselves, so entries must agree.
#[test]
fn cdb_lengths_are_those_of_the_opcode_group() {
    let groups = [6, 10, 10, 12, 16, 12, 10, 10];
    for entry in OPCODES {
        let len = match entry.code {
            VARIABLE_LENGTH => 8 + usize::from(entry.usage[ADDITIONAL_LENGTH]),
            code => groups[usize::from(code >> 5)],
        };
        assert_eq!(entry.usage.len(), len, "{}", entry.name);
    }
}

/// A CDB of zeroes but for what makes it this entry's.
fn plain(entry: &Opcode) -> Vec<u8> {
    let mut cdb = vec![0; entry.usage.len()];
    cdb[0] = entry.code;
    if entry.code == VARIABLE_LENGTH {
        cdb[7..10].copy_from_slice(&entry.usage[7..10]);
    } else if entry.name.contains(" BUFFER") {
        // MODE, of which zero is none: data.
        cdb[1] = 2;
    } else {
        cdb[1] = u8::try_from(entry.action.unwrap_or(0)).unwrap();
    }
    cdb
}

#[test]
fn an_operation_code_has_service_actions_or_has_none() {
    for entry in OPCODES {
        let siblings = entries(entry.code).filter(|other| other.action.is_none()).count();
        assert_eq!(siblings, usize::from(entry.action.is_none()), "{}", entry.name);
    }
}

#[test]
fn every_entry_of_ours_parses_and_every_one_of_the_core_does_not() {
    for entry in OPCODES {
        let cdb = plain(entry);
        assert_eq!(parse(&cdb).is_err(), entry.is_answered_by_core(), "{}: {:x?}", entry.name, parse(&cdb));
    }
}

#[test]
fn every_bit_outside_a_mask_is_refused_with_a_pointer_to_it() {
    for entry in OPCODES.iter().filter(|entry| !entry.is_answered_by_core()) {
        let action = if entry.code == VARIABLE_LENGTH { 8..10 } else { 1..2 };
        let selects = |byte| entry.action.is_some() && action.contains(&byte);
        for (byte, bit) in (1..entry.usage.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            let length = entry.code == VARIABLE_LENGTH && byte == ADDITIONAL_LENGTH;
            if entry.usage[byte] >> bit & 1 == 0 && !selects(byte) && !length {
                let mut cdb = plain(entry);
                cdb[byte] |= 1 << bit;
                let expected = Cdb::invalid(u16::try_from(byte).unwrap(), bit);
                assert_eq!(parse(&cdb), Err(expected), "{} byte {byte} bit {bit}", entry.name);
            }
        }
    }
}

#[test]
fn a_cdb_cut_short_is_refused() {
    for entry in OPCODES.iter().filter(|entry| !entry.is_answered_by_core()) {
        for len in 1..entry.usage.len() {
            assert!(parse(&plain(entry)[..len]).is_err(), "{} of {len} bytes", entry.name);
        }
    }
    assert_eq!(parse(&[]).map_err(|s| s.asc), Err(asc::INVALID_FIELD_IN_CDB));
}

#[test]
fn an_unknown_operation_code_and_an_unknown_service_action_differ() {
    let mut cdb = [0; 16];
    for code in (0..=u8::MAX).filter(|code| entries(*code).next().is_none()) {
        cdb[0] = code;
        assert_eq!(parse(&cdb), Err(Sense::illegal(asc::INVALID_OPERATION_CODE)), "{code:02x}");
    }
    cdb[..2].copy_from_slice(&[0x9e, 0x1f]);
    assert_eq!(parse(&cdb).map_err(|s| s.asc), Err(asc::INVALID_FIELD_IN_CDB));
}

#[test]
fn a_cdb_of_variable_length_must_have_the_length_of_its_service_action() {
    let entry = entries(VARIABLE_LENGTH).next().unwrap();
    for len in [0, 0x10, 0x17, 0x19, 0x1c, 0xff] {
        let mut cdb = plain(entry);
        cdb[ADDITIONAL_LENGTH] = len;
        assert_eq!(parse(&cdb), Err(Cdb::invalid(7, 7)), "{len:02x}");
    }
    let mut cdb = plain(entry);
    cdb[8..10].copy_from_slice(&[0x01, 0x09]);
    assert_eq!(parse(&cdb), Err(Cdb::invalid(8, 7)), "service actions have sixteen bits");
}
