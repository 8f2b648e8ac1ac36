//! UNMAP (SBC-4 5.34): gives the space of runs of blocks back.
//!
//! The whole descriptor list is checked before any of it is carried out.

use lunette_backend::{Backend, Durability};
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::Yield;
use crate::disk::Answer;
use crate::parameters::parameter_list;
use crate::{ByteRange, LbaRange, Op, Outcome, ScsiDisk, Sense, asc};

/// UNMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmap {
    /// PARAMETER LIST LENGTH.
    pub len: u32,
}

/// Bytes of the parameter list's header, and of each descriptor.
const HEADER: usize = 8;
const DESCRIPTOR: usize = 16;

pub(crate) fn parse_unmap(cdb: Cdb<'_>) -> Result<Op, Sense> {
    if cdb.bit(1, 0) {
        // ANCHOR: ANC_SUP is zero.
        return Err(Cdb::invalid(1, 0));
    }
    Ok(Op::Unmap(Unmap { len: u32::from(cdb.be16(7)) }))
}

pub(crate) async fn unmap<B: Backend>(disk: &ScsiDisk<B>, unmap: &Unmap, data: DataBuf) -> Answer {
    if !disk.support().discard {
        return Err(Sense::illegal(asc::INVALID_OPERATION_CODE).into());
    }
    disk.check_writable()?;
    if unmap.len == 0 {
        return Ok(Outcome::good());
    }
    let list = parameter_list(&data, unmap.len)?;
    let ranges = read_list(disk, &list)?;
    for range in ranges {
        let _claim = disk.locks.share(range).await;
        disk.disk.discard(range.at, range.len).await?;
        Yield::default().await;
    }
    if disk.durability(false) == Durability::Durable {
        // Without a write cache nothing that was acknowledged may come back after a power cut.
        disk.disk.flush().await?;
    }
    Ok(Outcome::good())
}

/// The runs that an UNMAP with a parameter list of `len` bytes in `data` is about, unchecked.
pub(crate) fn unmapped(data: &DataBuf, len: u32) -> Result<Vec<LbaRange>, Sense> {
    descriptors(&parameter_list(data, len)?)
}

/// The runs of a parameter list, within the limits of VPD page B0h.
fn read_list<B: Backend>(disk: &ScsiDisk<B>, list: &[u8]) -> Result<Vec<ByteRange>, Sense> {
    let limits = &disk.config.limits;
    let ranges = descriptors(list)?;
    if ranges.len() as u64 > u64::from(limits.max_unmap_descriptors) {
        return Err(Sense::parameter(2));
    }
    let blocks: u64 = ranges.iter().map(|range| u64::from(range.blocks)).sum();
    if blocks > u64::from(limits.max_unmap_blocks) {
        return Err(Sense::parameter(HEADER + 8));
    }
    ranges.into_iter().map(|range| disk.locate(range)).collect()
}

/// What is not a whole descriptor at the end is ignored; a list without a whole header is an error.
fn descriptors(list: &[u8]) -> Result<Vec<LbaRange>, Sense> {
    let Some((header, rest)) = list.split_at_checked(HEADER) else {
        return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR));
    };
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let described = &rest[..len.min(rest.len())];
    let range = |d: &[u8]| {
        let descriptor = Cdb::new(d);
        LbaRange::new(descriptor.be64(0), descriptor.be32(8))
    };
    Ok(described.chunks_exact(DESCRIPTOR).map(range).collect())
}
