//! WRITE ATOMIC (16) (SBC-4 5.42, 4.29): all of its blocks are written or none, whatever happens meanwhile.
//!
//! That outlasts a power cut because the backend says that it does, and holds against every other command, also
//! those that read, by the range lock. The data are durable when it is done: the storage has to make them so
//! anyway to keep the promise.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::rw::data_out;
use crate::disk::Answer;
use crate::{LbaRange, Op, Outcome, ScsiDisk, Sense, asc};

pub(crate) fn parse_write_atomic16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::WriteAtomic(LbaRange::new(cdb.be64(2), u32::from(cdb.be16(12)))))
}

pub(crate) async fn write_atomic<B: Backend>(disk: &ScsiDisk<B>, blocks: LbaRange, data: DataBuf) -> Answer {
    disk.check_writable()?;
    if !disk.support().atomic {
        return Err(Sense::illegal(asc::INVALID_OPERATION_CODE).into());
    }
    let range = disk.locate(blocks)?;
    if blocks.blocks > disk.atomic_blocks() {
        return Err(Cdb::invalid(12, 7).into());
    }
    let data = data_out(data, range.len)?;
    let _claim = disk.locks.exclude_readers(range).await;
    disk.disk.write_atomic(range.at, data).await?;
    Ok(Outcome::good())
}
