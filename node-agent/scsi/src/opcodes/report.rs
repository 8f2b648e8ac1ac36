//! REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS (SPC-5 6.35, 6.36), from the table.

use super::{OPCODES, Opcode, Support, entries};
use crate::cdb::Cdb;
use crate::{Op, Sense};

/// REPORT SUPPORTED OPERATION CODES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpcodeReport {
    /// Which commands.
    pub selection: Selection,
    /// RCTD: whether command timeouts descriptors are wanted.
    pub timeouts: bool,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

/// REPORTING OPTIONS (SPC-5 table 249).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the CDB")]
pub enum Selection {
    /// 000b: all.
    All,
    /// 001b: an operation code without service actions.
    One { code: u8 },
    /// 010b: a service action of an operation code that has them.
    Action { code: u8, action: u16 },
    /// 011b: either, without an error for naming the other kind.
    Either { code: u8, action: u16 },
}

pub(crate) fn parse_report_opcodes(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let (code, action) = (cdb.u8(3), cdb.be16(4));
    let selection = match cdb.u8(2) & 0x07 {
        0 => Selection::All,
        1 => Selection::One { code },
        2 => Selection::Action { code, action },
        3 => Selection::Either { code, action },
        _ => return Err(Cdb::invalid(2, 2)),
    };
    let report = OpcodeReport { selection, timeouts: cdb.bit(2, 7), allocation: cdb.be32(6) };
    Ok(Op::ReportSupportedOpcodes(report))
}

pub(crate) fn parse_report_tmfs(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReportSupportedTmfs { extended: cdb.bit(2, 7), allocation: cdb.be32(6) })
}

/// The parameter data.
pub(crate) fn report_opcodes(report: &OpcodeReport, support: Support) -> Result<Vec<u8>, Sense> {
    let entry = match report.selection {
        Selection::All => return Ok(all(report.timeouts, support)),
        Selection::One { code } => plain(code)?,
        Selection::Action { code, action } => with_action(code, action)?,
        Selection::Either { code, action } => either(code, action),
    };
    let entry = entry.filter(|entry| entry.is_supported(support));
    Ok(entry.map_or_else(|| NOT_SUPPORTED.to_vec(), |entry| one(entry, report.timeouts)))
}

/// One_command data with SUPPORT 001b.
const NOT_SUPPORTED: [u8; 4] = [0, 0x01, 0, 0];

fn plain(code: u8) -> Result<Option<&'static Opcode>, Sense> {
    let entry = entries(code).next();
    if entry.is_some_and(|entry| entry.action.is_some()) {
        return Err(Cdb::invalid(2, 2));
    }
    Ok(entry)
}

fn with_action(code: u8, action: u16) -> Result<Option<&'static Opcode>, Sense> {
    let mut known = entries(code).peekable();
    if known.peek().is_some_and(|entry| entry.action.is_none()) {
        return Err(Cdb::invalid(2, 2));
    }
    Ok(known.find(|entry| entry.action == Some(action)))
}

/// A service action other than zero is not supported for an operation code that has none.
fn either(code: u8, action: u16) -> Option<&'static Opcode> {
    entries(code).find(|entry| entry.action.unwrap_or(0) == action)
}

fn one(entry: &Opcode, timeouts: bool) -> Vec<u8> {
    let ctdp = u8::from(timeouts) << 7;
    let mut reply = vec![0, ctdp | 0x03];
    reply.extend(cdb_length(entry).to_be_bytes());
    reply.extend(entry.usage);
    if timeouts {
        reply.extend(timeouts_descriptor(entry));
    }
    reply
}

fn all(timeouts: bool, support: Support) -> Vec<u8> {
    let mut reply = vec![0; 4];
    for entry in OPCODES.iter().filter(|entry| entry.is_supported(support)) {
        let [high, low] = entry.action.unwrap_or(0).to_be_bytes();
        let flags = u8::from(timeouts) << 1 | u8::from(entry.action.is_some());
        reply.extend([entry.code, 0, high, low, 0, flags]);
        reply.extend(cdb_length(entry).to_be_bytes());
        if timeouts {
            reply.extend(timeouts_descriptor(entry));
        }
    }
    let len = u32::try_from(reply.len() - 4).unwrap_or(u32::MAX);
    reply[..4].copy_from_slice(&len.to_be_bytes());
    reply
}

/// A NOMINAL COMMAND PROCESSING TIMEOUT of zero says nothing, which is all that can be said in advance.
fn timeouts_descriptor(entry: &Opcode) -> [u8; 12] {
    let mut descriptor = [0; 12];
    descriptor[1] = 0x0a;
    descriptor[8..].copy_from_slice(&entry.timeout.to_be_bytes());
    descriptor
}

fn cdb_length(entry: &Opcode) -> u16 {
    u16::try_from(entry.usage.len()).unwrap_or(u16::MAX)
}

/// ABORT TASK and LOGICAL UNIT RESET: what LIO's core carries out; it rejects the others or the fabric
/// handles them by target (`target_tmr_work`).
pub(crate) fn report_tmfs(extended: bool) -> Vec<u8> {
    const ATS: u8 = 0x80;
    const LURS: u8 = 0x08;
    let mut reply = vec![ATS | LURS, 0, 0, 0];
    if extended {
        reply[3] = 0x0c;
        reply.resize(16, 0);
    }
    reply
}
