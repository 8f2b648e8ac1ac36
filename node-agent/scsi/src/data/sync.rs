//! SYNCHRONIZE CACHE 10 and 16 (SBC-4 5.32, 5.33).
//!
//! The whole cache is made durable, whatever range is named. IMMED is accepted, but status comes when
//! it is done all the same: an initiator must not take a flush for durable that has yet to fail.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::finish_without_data;
use crate::{LbaRange, Op, ScsiDisk, Sense};

pub(crate) fn parse_sync10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::SynchronizeCache(cdb.range10()))
}

pub(crate) fn parse_sync16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::SynchronizeCache(cdb.range16()))
}

pub(crate) async fn synchronize_cache<B: Backend>(disk: &ScsiDisk<B>, range: LbaRange, data: DataBuf) -> Answer {
    disk.locate(range)?;
    disk.disk.flush().await?;
    Ok(finish_without_data(data))
}
