//! How commands fail, as a short list: by sense key, or by status where there is no sense.

use lunette_scsi::Outcome;

/// Kinds of failure: the sense keys of SPC-5 table 57 in their order, then statuses of SAM-5 table 33.
pub const ERRORS: [&str; 20] = [
    "no_sense",
    "recovered_error",
    "not_ready",
    "medium_error",
    "hardware_error",
    "illegal_request",
    "unit_attention",
    "data_protect",
    "blank_check",
    "vendor_specific",
    "copy_aborted",
    "aborted_command",
    "reserved",
    "volume_overflow",
    "miscompare",
    "completed",
    "busy",
    "reservation_conflict",
    "task_set_full",
    "other_status",
];

/// Where in [`ERRORS`] an outcome that is not GOOD belongs.
pub fn error_of(outcome: &Outcome) -> usize {
    match (&outcome.sense, outcome.status) {
        (Some(sense), _) => usize::from(sense.key as u8 & 0xf),
        (None, 0x08) => 16,
        (None, 0x18) => 17,
        (None, 0x28) => 18,
        (None, _) => 19,
    }
}
