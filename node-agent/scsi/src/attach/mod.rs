//! What an initiator asks when it attaches: who the LUN is, how large, how it behaves.
//!
//! These commands touch no data; those that reach the storage are a stop, which flushes, and a self-test.

mod buffer;
mod buffers;
mod capacity;
mod diagnostic;
mod inquiry;
mod log;
pub mod mode;
mod port_groups;
mod prevent_allow;
mod provisioning;
mod start_stop;
mod vpd;

pub use buffer::{BufferPart, ReadBuffer, WriteBuffer};
pub(crate) use buffer::{parse_read_buffer10, parse_read_buffer16, parse_write_buffer, read_buffer, write_buffer};
pub(crate) use buffers::Buffers;
pub(crate) use capacity::{parse_read_capacity10, parse_read_capacity16, read_capacity10, read_capacity16};
pub use diagnostic::Diagnostic;
pub(crate) use diagnostic::{diagnostic_results, parse_receive_diagnostic, parse_send_diagnostic, send_diagnostic};
pub use inquiry::Inquiry;
pub(crate) use inquiry::{inquiry, parse_inquiry};
pub use log::{LogSelect, LogSense};
pub(crate) use log::{log_select, log_sense, parse_log_select, parse_log_sense};
pub use port_groups::PortGroupReport;
pub(crate) use port_groups::{parse_report_port_groups, parse_set_port_groups, report_port_groups, set_port_groups};
pub(crate) use prevent_allow::parse_prevent_allow;
pub use start_stop::StartStop;
pub(crate) use start_stop::{parse_start_stop, start_stop};
pub(crate) use vpd::identification;

use crate::cdb::Cdb;
use crate::{Op, Sense};

pub(crate) fn parse_test_unit_ready(_: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::TestUnitReady)
}

pub(crate) fn parse_request_sense(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::RequestSense { descriptor: cdb.bit(1, 0), allocation: u32::from(cdb.u8(4)) })
}
