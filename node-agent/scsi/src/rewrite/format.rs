//! FORMAT UNIT (SBC-4 5.4): every block reads as zeroes afterwards, and is given back where the storage can.
//!
//! A format changes nothing else: block size, capacity and protection stay what they are.

use lunette_backend::{Backend, Durability};
use lunette_iobuf::DataBuf;

use super::{Rewrite, Rewriting};
use crate::cdb::Cdb;
use crate::data::Yield;
use crate::disk::Answer;
use crate::parameters::{finish_without_data, parameter_list};
use crate::refusal::Refusal;
use crate::{ByteRange, Op, Outcome, ScsiDisk, Sense};

/// FORMAT UNIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// FMTDATA: there is a parameter list.
    pub with_list: bool,
    /// LONGLIST: its header is the long one.
    pub long_list: bool,
}

/// Bytes zeroed at once.
const STEP: u64 = 1 << 30;

pub(crate) fn parse_format_unit(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let format = Format { with_list: cdb.bit(1, 4), long_list: cdb.bit(1, 5) };
    if !format.with_list && cdb.u8(1) != 0 {
        // LONGLIST, CMPLST and DEFECT LIST FORMAT speak of a list that is not there.
        return Err(Cdb::invalid(1, 5));
    }
    if cdb.u8(1) & 7 > 5 {
        return Err(Cdb::invalid(1, 2));
    }
    Ok(Op::FormatUnit(format))
}

pub(crate) async fn format_unit<B: Backend>(disk: &ScsiDisk<B>, format: Format, data: DataBuf) -> Answer {
    disk.check_writable()?;
    let good = if format.with_list {
        read_list(&parameter_list(&data, if format.long_list { 8 } else { 4 })?, format.long_list)?;
        Outcome::good()
    } else {
        finish_without_data(data)
    };
    let rewriting = disk.medium.begin(Rewrite::Format);
    let _claim = disk.locks.exclude(ByteRange { at: 0, len: u64::MAX }).await;
    zero(disk, &rewriting).await?;
    rewriting.succeed();
    Ok(good)
}

/// The list may ask for nothing that this medium does not have: protection information, an initialization
/// pattern of its own, defects. FOV with the options of certifying (DPRY, DCRT, STPF) and IMMED are taken.
fn read_list(header: &[u8], long: bool) -> Result<(), Sense> {
    const FOV: u8 = 0x80;
    const OPTIONS: u8 = 0x70;
    const IP: u8 = 0x08;
    const OBSOLETE: u8 = 0x04;
    let flags = header[1];
    if header[0] & 7 != 0 {
        return Err(Sense::parameter(0));
    }
    if flags & (IP | OBSOLETE) != 0 || (flags & FOV == 0 && flags & OPTIONS != 0) {
        return Err(Sense::parameter(1));
    }
    let rest = if long { 3 } else { 2 };
    match header.iter().skip(rest).position(|byte| *byte != 0) {
        Some(at) => Err(Sense::parameter(rest + at)),
        None => Ok(()),
    }
}

async fn zero<B: Backend>(disk: &ScsiDisk<B>, rewriting: &Rewriting<'_>) -> Result<(), Refusal> {
    let (size, may_unmap) = (disk.disk.size(), disk.support().discard);
    for at in (0..size).step_by(usize::try_from(STEP).unwrap_or(usize::MAX)) {
        let len = STEP.min(size - at);
        disk.disk.write_zeroes(at, len, may_unmap, Durability::Volatile).await?;
        rewriting.progress(u128::from(at + len), u128::from(size));
        Yield::default().await;
    }
    Ok(disk.disk.flush().await?)
}
