//! The table itself, in order of operation code and service action.
//!
//! Masks are of SBC-4 clause 5 and SPC-5 clause 6. Not evaluated, and so refused where set: the
//! protection fields (RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT, the expected tags of the 32-byte commands:
//! the medium has no protection information) and NACA (NORMACA is zero). DPO and the group number are taken
//! and of no effect, as SBC-4 allows: they only ask for what would be nice.

use super::Need::{Atomic, Core, CoreReservations, Discard, ExplicitPortGroups, PortGroups};
use super::{Need, Opcode, VARIABLE_LENGTH, known_bits, parse_report_opcodes, parse_report_tmfs};
use crate::attach::mode::{parse_mode_select6, parse_mode_select10, parse_mode_sense6, parse_mode_sense10};
use crate::attach::{
    parse_inquiry, parse_prevent_allow, parse_read_capacity10, parse_read_capacity16, parse_request_sense,
    parse_start_stop, parse_test_unit_ready,
};
use crate::attach::{
    parse_log_select, parse_log_sense, parse_read_buffer10, parse_read_buffer16, parse_receive_diagnostic,
    parse_report_port_groups, parse_send_diagnostic, parse_set_port_groups, parse_write_buffer,
};
use crate::cdb::Cdb;
use crate::copy::token::{parse_populate_token, parse_receive_token, parse_write_using_token};
use crate::copy::{
    parse_copy_status_lid1, parse_copy_status_lid4, parse_extended_copy_lid1, parse_extended_copy_lid4,
    parse_failed_segment_details, parse_operating_parameters,
};
use crate::data::{
    parse_compare_and_write, parse_get_lba_status, parse_orwrite16, parse_prefetch10, parse_prefetch16,
    parse_read_defect_data10, parse_read_defect_data12, parse_read6, parse_read10, parse_read12, parse_read16,
    parse_read32, parse_sync10, parse_sync16, parse_unmap, parse_verify10, parse_verify12, parse_verify16,
    parse_verify32, parse_write_and_verify10, parse_write_and_verify12, parse_write_and_verify16,
    parse_write_and_verify32, parse_write_atomic16, parse_write_same10, parse_write_same16, parse_write_same32,
    parse_write6, parse_write10, parse_write12, parse_write16, parse_write32,
};
use crate::rewrite::{
    parse_format_unit, parse_sanitize_block_erase, parse_sanitize_exit_failure_mode, parse_sanitize_overwrite,
};
use crate::{Op, Sense, asc};

/// Seconds: an initiator's usual time limit.
const USUAL: u32 = 30;
/// Seconds: for commands that wait for the storage to become durable or touch a great deal of it.
const LONG: u32 = 60;
/// Seconds: for commands that write the whole medium.
const HOURS: u32 = 24 * 3600;
/// Seconds: for copies, which read and write as much as they are told to.
const COPY: u32 = 300;

type Parse = fn(Cdb<'_>) -> Result<Op, Sense>;

const fn op(name: &'static str, usage: &'static [u8], timeout: u32, parse: Parse) -> Opcode {
    Opcode { code: usage[0], action: None, name, usage, need: Need::Nothing, timeout, known: known_bits(usage), parse }
}

impl Opcode {
    /// An entry of an operation code with service actions; the action stands in the usage data, where that
    /// operation code has it.
    const fn action(mut self) -> Self {
        self.action = Some(match self.code {
            VARIABLE_LENGTH => u16::from_be_bytes([self.usage[8], self.usage[9]]),
            _ => (self.usage[1] & 0x1f) as u16,
        });
        self
    }

    const fn needs(mut self, need: Need) -> Self {
        self.need = need;
        self
    }
}

/// A command that LIO's core answers: listed, so that the report is whole, but never parsed here.
const fn core(name: &'static str, usage: &'static [u8], need: Need) -> Opcode {
    op(name, usage, USUAL, refuse_core).needs(need)
}

fn refuse_core(_: Cdb<'_>) -> Result<Op, Sense> {
    Err(Sense::illegal(asc::INVALID_OPERATION_CODE))
}

/// Every command, in order.
#[rustfmt::skip]
pub static OPCODES: &[Opcode] = &[
    op("TEST UNIT READY", &[0x00, 0, 0, 0, 0, 0], USUAL, parse_test_unit_ready),
    op("REQUEST SENSE", &[0x03, 0x01, 0, 0, 0xff, 0], USUAL, parse_request_sense),
    op("FORMAT UNIT", &[0x04, 0x3f, 0, 0, 0, 0], HOURS, parse_format_unit),
    op("READ (6)", &[0x08, 0x1f, 0xff, 0xff, 0xff, 0], USUAL, parse_read6),
    op("WRITE (6)", &[0x0a, 0x1f, 0xff, 0xff, 0xff, 0], USUAL, parse_write6),
    op("INQUIRY", &[0x12, 0x01, 0xff, 0xff, 0xff, 0], USUAL, parse_inquiry),
    op("MODE SELECT (6)", &[0x15, 0x11, 0, 0, 0xff, 0], LONG, parse_mode_select6),
    core("RESERVE (6)", &[0x16, 0, 0, 0, 0, 0], CoreReservations),
    core("RELEASE (6)", &[0x17, 0, 0, 0, 0, 0], CoreReservations),
    op("MODE SENSE (6)", &[0x1a, 0x08, 0xff, 0xff, 0xff, 0], USUAL, parse_mode_sense6),
    op("START STOP UNIT", &[0x1b, 0x01, 0, 0x0f, 0xf7, 0], LONG, parse_start_stop),
    op("RECEIVE DIAGNOSTIC RESULTS", &[0x1c, 0x01, 0xff, 0xff, 0xff, 0], USUAL, parse_receive_diagnostic),
    op("SEND DIAGNOSTIC", &[0x1d, 0xf7, 0, 0xff, 0xff, 0], LONG, parse_send_diagnostic),
    op("PREVENT ALLOW MEDIUM REMOVAL", &[0x1e, 0, 0, 0, 0x03, 0], USUAL, parse_prevent_allow),
    op("READ CAPACITY (10)", &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], USUAL, parse_read_capacity10),
    op("READ (10)", &[0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], USUAL, parse_read10),
    op("WRITE (10)", &[0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], USUAL, parse_write10),
    op("WRITE AND VERIFY (10)", &[0x2e, 0x12, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], LONG, parse_write_and_verify10),
    op("VERIFY (10)", &[0x2f, 0x16, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], USUAL, parse_verify10),
    op("PRE-FETCH (10)", &[0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], LONG, parse_prefetch10),
    op("SYNCHRONIZE CACHE (10)", &[0x35, 0x02, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], LONG, parse_sync10),
    op("READ DEFECT DATA (10)", &[0x37, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0], USUAL, parse_read_defect_data10),
    op("WRITE BUFFER", &[0x3b, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], USUAL, parse_write_buffer),
    op("READ BUFFER (10)", &[0x3c, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], USUAL, parse_read_buffer10),
    op("WRITE SAME (10)", &[0x41, 0x18, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0], LONG, parse_write_same10),
    op("UNMAP", &[0x42, 0x01, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0], LONG, parse_unmap).needs(Discard),
    op("SANITIZE, OVERWRITE", &[0x48, 0xa1, 0, 0, 0, 0, 0, 0xff, 0xff, 0], HOURS, parse_sanitize_overwrite).action(),
    op("SANITIZE, BLOCK ERASE", &[0x48, 0xa2, 0, 0, 0, 0, 0, 0, 0, 0], HOURS, parse_sanitize_block_erase).action().needs(Discard),
    op("SANITIZE, EXIT FAILURE MODE", &[0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0], USUAL, parse_sanitize_exit_failure_mode).action(),
    op("LOG SELECT", &[0x4c, 0x02, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0], USUAL, parse_log_select),
    op("LOG SENSE", &[0x4d, 0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0], USUAL, parse_log_sense),
    op("MODE SELECT (10)", &[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0], LONG, parse_mode_select10),
    core("RESERVE (10)", &[0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], CoreReservations),
    core("RELEASE (10)", &[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0], CoreReservations),
    op("MODE SENSE (10)", &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0], USUAL, parse_mode_sense10),
    core("PERSISTENT RESERVE IN, READ KEYS", &[0x5e, 0x00, 0, 0, 0, 0, 0, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE IN, READ RESERVATION", &[0x5e, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE IN, REPORT CAPABILITIES", &[0x5e, 0x02, 0, 0, 0, 0, 0, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE IN, READ FULL STATUS", &[0x5e, 0x03, 0, 0, 0, 0, 0, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, REGISTER", &[0x5f, 0x00, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, RESERVE", &[0x5f, 0x01, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, RELEASE", &[0x5f, 0x02, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, CLEAR", &[0x5f, 0x03, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, PREEMPT", &[0x5f, 0x04, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, PREEMPT AND ABORT", &[0x5f, 0x05, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", &[0x5f, 0x06, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    core("PERSISTENT RESERVE OUT, REGISTER AND MOVE", &[0x5f, 0x07, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0], CoreReservations).action(),
    op("READ (32)", &[0x7f, 0, 0, 0, 0, 0, 0x3f, 0x18, 0, 0x09, 0x18, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], USUAL, parse_read32).action(),
    op("VERIFY (32)", &[0x7f, 0, 0, 0, 0, 0, 0x3f, 0x18, 0, 0x0a, 0x16, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], USUAL, parse_verify32).action(),
    op("WRITE (32)", &[0x7f, 0, 0, 0, 0, 0, 0x3f, 0x18, 0, 0x0b, 0x18, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], USUAL, parse_write32).action(),
    op("WRITE AND VERIFY (32)", &[0x7f, 0, 0, 0, 0, 0, 0x3f, 0x18, 0, 0x0c, 0x12, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], LONG, parse_write_and_verify32).action(),
    op("WRITE SAME (32)", &[0x7f, 0, 0, 0, 0, 0, 0x3f, 0x18, 0, 0x0d, 0x19, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], LONG, parse_write_same32).action(),
    op("EXTENDED COPY (LID1)", &[0x83, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], COPY, parse_extended_copy_lid1).action(),
    op("EXTENDED COPY (LID4)", &[0x83, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], COPY, parse_extended_copy_lid4).action(),
    op("POPULATE TOKEN", &[0x83, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], COPY, parse_populate_token).action(),
    op("WRITE USING TOKEN", &[0x83, 0x11, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], COPY, parse_write_using_token).action(),
    op("RECEIVE COPY STATUS (LID1)", &[0x84, 0x00, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_copy_status_lid1).action(),
    op("RECEIVE COPY OPERATING PARAMETERS", &[0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_operating_parameters).action(),
    op("RECEIVE COPY FAILURE DETAILS (LID1)", &[0x84, 0x04, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_failed_segment_details).action(),
    op("RECEIVE COPY STATUS (LID4)", &[0x84, 0x05, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_copy_status_lid4).action(),
    op("RECEIVE ROD TOKEN INFORMATION", &[0x84, 0x07, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_receive_token).action(),
    op("READ (16)", &[0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_read16),
    op("COMPARE AND WRITE", &[0x89, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0x3f, 0], USUAL, parse_compare_and_write),
    op("WRITE (16)", &[0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_write16),
    op("ORWRITE (16)", &[0x8b, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_orwrite16),
    op("WRITE AND VERIFY (16)", &[0x8e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], LONG, parse_write_and_verify16),
    op("VERIFY (16)", &[0x8f, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_verify16),
    op("PRE-FETCH (16)", &[0x90, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], LONG, parse_prefetch16),
    op("SYNCHRONIZE CACHE (16)", &[0x91, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], LONG, parse_sync16),
    op("WRITE SAME (16)", &[0x93, 0x19, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], LONG, parse_write_same16),
    op("READ BUFFER (16)", &[0x9b, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], USUAL, parse_read_buffer16),
    op("WRITE ATOMIC (16)", &[0x9c, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0x3f, 0], LONG, parse_write_atomic16).needs(Atomic),
    op("READ CAPACITY (16)", &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_read_capacity16).action(),
    op("GET LBA STATUS", &[0x9e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_get_lba_status).action(),
    core("REPORT LUNS", &[0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], Core),
    op("REPORT TARGET PORT GROUPS", &[0xa3, 0xea, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_report_port_groups).action().needs(PortGroups),
    op("REPORT SUPPORTED OPERATION CODES", &[0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_report_opcodes).action(),
    op("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", &[0xa3, 0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_report_tmfs).action(),
    op("SET TARGET PORT GROUPS", &[0xa4, 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_set_port_groups).action().needs(ExplicitPortGroups),
    op("READ (12)", &[0xa8, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_read12),
    op("WRITE (12)", &[0xaa, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_write12),
    op("WRITE AND VERIFY (12)", &[0xae, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], LONG, parse_write_and_verify12),
    op("VERIFY (12)", &[0xaf, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0], USUAL, parse_verify12),
    op("READ DEFECT DATA (12)", &[0xb7, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0], USUAL, parse_read_defect_data12),
];
