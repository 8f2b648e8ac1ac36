//! COMPARE AND WRITE (SBC-4 5.3): writes the second half of its data if the first half is what is there.
//!
//! Atomic against every other writing command of the LUN by its range lock.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::compare::{first_difference, miscompare};
use crate::data::rw::exact_data_out;
use crate::disk::Answer;
use crate::{LbaRange, Op, Outcome, ScsiDisk, Sense};

/// COMPARE AND WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompareAndWrite {
    /// Which blocks; there are twice as many in the data.
    pub range: LbaRange,
    /// FUA: force unit access.
    pub fua: bool,
}

pub(crate) fn parse_compare_and_write(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let range = LbaRange::new(cdb.be64(2), u32::from(cdb.u8(13)));
    Ok(Op::CompareAndWrite(CompareAndWrite { range, fua: cdb.bit(1, 3) }))
}

pub(crate) async fn compare_and_write<B: Backend>(disk: &ScsiDisk<B>, swap: &CompareAndWrite, data: DataBuf) -> Answer {
    disk.check_writable()?;
    if swap.range.blocks > u32::from(disk.config.limits.max_compare_and_write) {
        return Err(Cdb::invalid(13, 7).into());
    }
    let range = disk.locate(swap.range)?;
    if range.len == 0 && !data.is_empty() {
        // The field has one byte: this is an initiator that meant 256.
        return Err(Cdb::invalid(13, 7).into());
    }
    let data = exact_data_out(data, 2 * range.len)?;
    if range.len == 0 {
        return Ok(Outcome::good());
    }
    let half = data.len() / 2;
    let (expected, wanted) = data.split_at(half);
    let _claim = disk.locks.exclude(range).await;
    let found = disk.disk.read(range.at, DataBuf::zeroed(half)).await?;
    if let Some(offset) = first_difference(&expected, &found) {
        return Err(miscompare(offset as u64).into());
    }
    disk.disk.write(range.at, wanted, disk.durability(swap.fua)).await?;
    Ok(Outcome::good())
}
