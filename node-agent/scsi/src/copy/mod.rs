//! Copying within the logical unit (third-party copy, SPC-5 5.17, SBC-4 4.28): EXTENDED COPY with the
//! results that it leaves, and copies by token.
//!
//! Every copy is from this unit to this unit: the copy manager reaches no other. A copy is carried out in
//! pieces, each with its two sides claimed in the range lock; between pieces other commands go on. All of
//! a list is checked before anything is copied.

mod blocks;
mod extended;
mod list;
mod report;
mod results;
mod rod;
pub mod token;

pub use extended::ExtendedCopy;
pub(crate) use extended::{extended_copy, parse_extended_copy_lid1, parse_extended_copy_lid4};
pub use report::CopyReport;
pub(crate) use report::{
    block_exponent, operating_parameters, parse_copy_status_lid1, parse_copy_status_lid4, parse_failed_segment_details,
    parse_operating_parameters, report_copy,
};
pub(crate) use results::Results;
pub(crate) use rod::{BLOCK_ZERO, CHANGE_VULNERABLE, Tokens};
pub use token::TokenCommand;

use crate::BlockSize;

/// MAXIMUM CSCD DESCRIPTOR COUNT: one names this unit; others may name it in another way.
pub(crate) const MAX_CSCDS: u16 = 4;
/// MAXIMUM SEGMENT DESCRIPTOR COUNT.
pub(crate) const MAX_SEGMENTS: u16 = 16;
/// MAXIMUM DESCRIPTOR LIST LENGTH: all of both kinds.
pub(crate) const MAX_DESCRIPTORS: u32 = MAX_CSCDS as u32 * 32 + MAX_SEGMENTS as u32 * 28;
/// Bytes of the longest segment: with [`MAX_SEGMENTS`] it bounds how long one command occupies the storage.
const MAX_SEGMENT: u32 = 64 << 20;
/// Copies under way at a time: each holds a buffer.
pub(crate) const MAX_COPIES: u16 = 16;

/// The descriptor type codes that are understood, ascending.
pub(crate) const DESCRIPTORS: [u8; 2] = [list::BLOCK_TO_BLOCK, list::IDENTIFICATION];

/// MAXIMUM SEGMENT LENGTH in bytes: what is allowed, and what a segment can say.
pub(crate) fn max_segment(block: BlockSize) -> u32 {
    MAX_SEGMENT.min(u32::from(u16::MAX).saturating_mul(block.bytes()))
}
