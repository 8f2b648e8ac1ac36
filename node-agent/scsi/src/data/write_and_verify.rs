//! WRITE AND VERIFY 10, 12, 16 and 32 (SBC-4 5.42–5.45): writes, and then looks whether it was written.
//!
//! The data are durable before they are verified: what only a cache holds says nothing of the medium. Where
//! reads are served from memory, so is this one; the storage's own checks are then what is relied on.

use lunette_backend::{Backend, Durability};
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::rw::data_out;
use crate::data::verify::{compare, read_through};
use crate::disk::Answer;
use crate::{LbaRange, Op, Outcome, ScsiDisk, Sense};

/// WRITE AND VERIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteAndVerify {
    /// Which blocks.
    pub range: LbaRange,
    /// BYTCHK 01b: what is read back is compared with the data; else it has to be readable.
    pub compare: bool,
    /// Where the CDB has its length field, for the field pointer.
    pub length_byte: u8,
}

pub(crate) fn parse_write_and_verify10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb.bit(1, 1), cdb.range10(), 7))
}

pub(crate) fn parse_write_and_verify12(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb.bit(1, 1), cdb.range12(), 6))
}

pub(crate) fn parse_write_and_verify16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb.bit(1, 1), cdb.range16(), 10))
}

pub(crate) fn parse_write_and_verify32(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb.bit(10, 1), cdb.range32(), 28))
}

fn parse(compare: bool, range: LbaRange, length_byte: u8) -> Op {
    Op::WriteAndVerify(WriteAndVerify { range, compare, length_byte })
}

pub(crate) async fn write_and_verify<B: Backend>(
    disk: &ScsiDisk<B>,
    request: &WriteAndVerify,
    data: DataBuf,
) -> Answer {
    disk.check_writable()?;
    let range = disk.admit(request.range, request.length_byte)?;
    let data = data_out(data, range.len)?;
    // Nobody else may write in between: that would be a miscompare of nobody's making.
    let _claim = disk.locks.exclude(range).await;
    let written = disk.disk.write(range.at, data, Durability::Durable).await?;
    if request.compare {
        return compare(disk, range, &written).await;
    }
    read_through(disk, range, |_, _| None).await?;
    Ok(Outcome::good())
}
