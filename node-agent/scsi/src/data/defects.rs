//! READ DEFECT DATA 10 and 12 (SBC-4 5.22, 5.23): there are none, in whatever format they are asked for.

use crate::cdb::Cdb;
use crate::{Op, Sense};

/// READ DEFECT DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadDefectData {
    /// Whether it is the 12-byte command, with its longer header.
    pub twelve: bool,
    /// REQ_PLIST, REQ_GLIST and DEFECT LIST FORMAT, as they come back.
    pub lists: u8,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

pub(crate) fn parse_read_defect_data10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(2, ReadDefectData { twelve: false, lists: cdb.u8(2), allocation: u32::from(cdb.be16(7)) })
}

pub(crate) fn parse_read_defect_data12(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(1, ReadDefectData { twelve: true, lists: cdb.u8(1) & 0x1f, allocation: cdb.be32(6) })
}

fn parse(lists_byte: u16, request: ReadDefectData) -> Result<Op, Sense> {
    // 110b is a vendor's own format, and 111b reserved.
    if request.lists & 7 > 5 { Err(Cdb::invalid(lists_byte, 2)) } else { Ok(Op::ReadDefectData(request)) }
}

/// A header that says that no descriptor follows.
pub(crate) fn no_defects(request: &ReadDefectData) -> Vec<u8> {
    let mut reply = vec![0; if request.twelve { 8 } else { 4 }];
    reply[1] = request.lists;
    reply
}
