//! The table against the rules that it must keep whatever is added to it.

use super::*;

#[test]
fn entries_are_sorted_and_unique() {
    let keys: Vec<_> = OPCODES.iter().map(|entry| (entry.code, entry.action)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:x?}");
    assert!(OPCODES.iter().all(|entry| entry.usage[0] == entry.code));
}

/// The kernel cuts CDBs by this table of groups (`scsi_command_size_tbl`), so entries must agree.
#[test]
fn cdb_lengths_are_those_of_the_opcode_group() {
    let groups = [6, 10, 10, 12, 16, 12, 10, 10];
    for entry in OPCODES {
        assert_eq!(entry.usage.len(), groups[usize::from(entry.code >> 5)], "{}", entry.name);
    }
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
        let mut cdb = vec![0; entry.usage.len()];
        cdb[0] = entry.code;
        cdb[1] = u8::try_from(entry.action.unwrap_or(0)).unwrap();
        if entry.name.starts_with("WRITE SAME") {
            // A length of zero means something else there.
            cdb[entry.usage.len() - 3] = 1;
        }
        assert_eq!(parse(&cdb).is_err(), entry.is_answered_by_core(), "{}: {:x?}", entry.name, parse(&cdb));
    }
}

#[test]
fn every_bit_outside_a_mask_is_refused_with_a_pointer_to_it() {
    for entry in OPCODES.iter().filter(|entry| !entry.is_answered_by_core() && entry.action.is_none()) {
        for (byte, bit) in (1..entry.usage.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
            if entry.usage[byte] >> bit & 1 == 0 {
                let mut cdb = vec![0; entry.usage.len()];
                cdb[0] = entry.code;
                cdb[byte] = 1 << bit;
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
            let mut cdb: Vec<u8> = entry.usage[..len].iter().map(|b| b & 0x1f).collect();
            cdb[0] = entry.code;
            assert!(parse(&cdb).is_err(), "{} of {len} bytes", entry.name);
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
