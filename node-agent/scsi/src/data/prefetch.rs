//! PRE-FETCH 10 and 16 (SBC-4 5.9, 5.10): brings blocks into the storage's cache, by reading them.
//!
//! Status is GOOD, never CONDITION MET: that would promise that the cache has room for all of them, and the
//! cache is one that the whole host shares and that drops what it likes. IMMED is accepted, but status comes
//! when it is done all the same.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::verify::read_through;
use crate::disk::Answer;
use crate::parameters::finish_without_data;
use crate::{ByteRange, LbaRange, Op, ScsiDisk, Sense};

/// Bytes that one command brings at most.
const MOST: u64 = 64 << 20;

pub(crate) fn parse_prefetch10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::PreFetch(cdb.range10()))
}

pub(crate) fn parse_prefetch16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::PreFetch(cdb.range16()))
}

/// A length of zero means up to the last block.
pub(crate) async fn prefetch<B: Backend>(disk: &ScsiDisk<B>, blocks: LbaRange, data: DataBuf) -> Answer {
    let named = disk.locate(blocks)?;
    let wanted = if blocks.blocks == 0 { disk.disk.size().saturating_sub(named.at) } else { named.len };
    if disk.disk.caches_reads() {
        let brought = ByteRange { at: named.at, len: wanted.min(MOST) };
        read_through(disk, brought, |_, _| None).await?;
    }
    Ok(finish_without_data(data))
}
