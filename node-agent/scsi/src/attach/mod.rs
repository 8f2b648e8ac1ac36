//! What an initiator asks when it attaches: who the LUN is, how large, how it behaves.
//!
//! These commands touch no data; the only one that reaches the storage is a stop, which flushes.

mod capacity;
mod inquiry;
pub mod mode;
mod start_stop;
mod vpd;

pub(crate) use capacity::{parse_read_capacity10, parse_read_capacity16, read_capacity10, read_capacity16};
pub use inquiry::Inquiry;
pub(crate) use inquiry::{inquiry, parse_inquiry};
pub use start_stop::StartStop;
pub(crate) use start_stop::{parse_start_stop, start_stop};

use crate::cdb::Cdb;
use crate::{Op, Sense};

pub(crate) fn parse_test_unit_ready(_: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::TestUnitReady)
}

pub(crate) fn parse_request_sense(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::RequestSense { descriptor: cdb.bit(1, 0), allocation: u32::from(cdb.u8(4)) })
}
