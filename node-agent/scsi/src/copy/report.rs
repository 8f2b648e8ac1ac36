//! RECEIVE COPY RESULTS and RECEIVE COPY STATUS (SPC-5 6.28, 6.30): what copies have done and come to, and
//! what the copy manager can.

use lunette_backend::Backend;

use crate::cdb::Cdb;
use crate::copy::results::{ListId, POPULATE_TOKEN, Record, State, WRITE_USING_TOKEN};
use crate::copy::{DESCRIPTORS, MAX_COPIES, MAX_CSCDS, MAX_DESCRIPTORS, MAX_SEGMENTS, max_segment};
use crate::{Op, ScsiDisk, Sense};

/// A question about one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyReport {
    /// COPY STATUS of EXTENDED COPY (LID1).
    Status(u8),
    /// FAILED SEGMENT DETAILS of EXTENDED COPY (LID1).
    FailedSegment(u8),
    /// RECEIVE COPY STATUS (LID4).
    LongStatus(u32),
}

pub(crate) fn parse_copy_status_lid1(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReportCopy { report: CopyReport::Status(cdb.u8(2)), allocation: cdb.be32(10) })
}

pub(crate) fn parse_failed_segment_details(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReportCopy { report: CopyReport::FailedSegment(cdb.u8(2)), allocation: cdb.be32(10) })
}

pub(crate) fn parse_copy_status_lid4(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReportCopy { report: CopyReport::LongStatus(cdb.be32(2)), allocation: cdb.be32(10) })
}

pub(crate) fn parse_operating_parameters(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::CopyOperatingParameters { allocation: cdb.be32(10) })
}

/// COPY STATUS: completed with errors.
const FAILED: u8 = 0x02;

pub(crate) fn report_copy<B: Backend>(disk: &ScsiDisk<B>, report: CopyReport) -> Result<Vec<u8>, Sense> {
    // An identifier that is not known is an invalid field (SPC-5 6.28.2).
    let unknown = || Cdb::invalid(2, 7);
    match report {
        CopyReport::Status(id) => {
            let record = disk.copies.status(ListId::Short(id)).ok_or_else(unknown)?;
            Ok(short_status(&record))
        }
        CopyReport::FailedSegment(id) => {
            let sense = disk.copies.failure(ListId::Short(id)).ok_or_else(unknown)?;
            Ok(failed_segment(&rendered(disk, sense)))
        }
        CopyReport::LongStatus(id) => {
            let record = disk.copies.status(ListId::Long(id)).ok_or_else(unknown)?;
            Ok(long_status(disk, &record))
        }
    }
}

fn rendered<B>(disk: &ScsiDisk<B>, sense: Sense) -> Vec<u8> {
    let (bytes, len) = sense.render(disk.mode.sense_format());
    bytes[..len].to_vec()
}

/// Parameter data with the length of what follows in its first four bytes.
fn counted(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), body].concat()
}

fn short_status(record: &Record) -> Vec<u8> {
    let status = match record.state {
        State::Running => 0x00,
        State::Done => 0x01,
        State::Failed(_) => FAILED,
    };
    let (units, count) = transfer_count(record.bytes);
    let [high, low] = record.segments.to_be_bytes();
    counted(&[&[status, high, low, units], &count.to_be_bytes()[..]].concat())
}

/// TRANSFER COUNT UNITS (SPC-5 table 245).
const BYTES: u8 = 0x00;
const KIB: u8 = 0x01;
const BLOCKS: u8 = 0xf1;

/// A count of four bytes and its TRANSFER COUNT UNITS: bytes, or as many KiB as are whole.
fn transfer_count(bytes: u64) -> (u8, u32) {
    match u32::try_from(bytes) {
        Ok(count) => (BYTES, count),
        Err(_) => (KIB, u32::try_from(bytes >> 10).unwrap_or(u32::MAX)),
    }
}

fn failed_segment(sense: &[u8]) -> Vec<u8> {
    let len = u16::try_from(sense.len()).unwrap_or(0).to_be_bytes();
    let mut body = vec![0; 52];
    body.extend([FAILED, 0, len[0], len[1]]);
    body.extend(sense);
    counted(&body)
}

/// The beginning of what every report on a LID4 command says (SPC-5 table 242).
pub(super) fn long_status<B: Backend>(disk: &ScsiDisk<B>, record: &Record) -> Vec<u8> {
    const IN_PROGRESS: u8 = 0x11;
    const CHECK_CONDITION: u8 = 0x02;
    let (status, completion, sense) = match record.state {
        State::Running => (IN_PROGRESS, 0, Vec::new()),
        State::Done => (0x01, 0, Vec::new()),
        State::Failed(sense) => (FAILED, CHECK_CONDITION, rendered(disk, sense)),
    };
    let len = u8::try_from(sense.len()).unwrap_or(0);
    let unknown_delay = if record.state == State::Running { [0xff; 4] } else { [0; 4] };
    let mut body = vec![record.action, status, 0, 0];
    body.extend(unknown_delay);
    let (units, count) = match record.action {
        POPULATE_TOKEN | WRITE_USING_TOKEN => (BLOCKS, disk.block_size().blocks_in(record.bytes)),
        _ => (BYTES, record.bytes),
    };
    body.extend([completion, len, len, units]);
    body.extend(count.to_be_bytes());
    body.extend(record.segments.to_be_bytes());
    body.extend([0; 6]);
    body.extend(sense);
    counted(&body)
}

/// OPERATING PARAMETERS (SPC-5 6.28.5). SNLID: a list without an identifier is taken.
pub(crate) fn operating_parameters<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    const SNLID: u8 = 0x01;
    let block = disk.block_size();
    let mut body = vec![SNLID, 0, 0, 0];
    body.extend(MAX_CSCDS.to_be_bytes());
    body.extend(MAX_SEGMENTS.to_be_bytes());
    body.extend(MAX_DESCRIPTORS.to_be_bytes());
    body.extend(max_segment(block).to_be_bytes());
    // Neither inline data, nor held data, nor stream devices; two bytes reserved.
    body.extend([0; 14]);
    body.extend(MAX_COPIES.to_be_bytes());
    // MAXIMUM CONCURRENT COPIES, and the granularities: data by blocks, no inline data, no held data.
    body.extend([u8::try_from(MAX_COPIES).unwrap_or(u8::MAX), block_exponent(block.bytes()), 0, 0, 0, 0, 0]);
    body.push(u8::try_from(DESCRIPTORS.len()).unwrap_or(0));
    body.extend(DESCRIPTORS);
    counted(&body)
}

/// The power of two that a block's length is.
pub(crate) fn block_exponent(bytes: u32) -> u8 {
    u8::try_from(bytes.max(1).ilog2()).unwrap_or(0)
}
