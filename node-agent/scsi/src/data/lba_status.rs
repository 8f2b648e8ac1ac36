//! GET LBA STATUS (SBC-4 5.6): which blocks the storage keeps, and which it need not.
//!
//! Blocks are mapped or deallocated; none is anchored. A run of zeroes that was written as such may count as
//! deallocated too: storage makes them by keeping nothing.

use lunette_backend::Backend;

use crate::cdb::Cdb;
use crate::data::Yield;
use crate::refusal::Refusal;
use crate::{Lba, LbaRange, Op, ScsiDisk, Sense};

/// GET LBA STATUS. REPORT TYPE is 00h: all blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetLbaStatus {
    /// STARTING LOGICAL BLOCK ADDRESS.
    pub start: Lba,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

/// Bytes of the parameter data's header, and of each descriptor.
const HEADER: usize = 8;
const DESCRIPTOR: usize = 16;
/// Descriptors of one reply: an initiator asks on from where they end.
const MOST: usize = 256;

/// PROVISIONING STATUS (SBC-4 table 60).
const MAPPED: u8 = 0;
const DEALLOCATED: u8 = 1;

pub(crate) fn parse_get_lba_status(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::GetLbaStatus(GetLbaStatus { start: Lba(cdb.be64(2)), allocation: cdb.be32(10) }))
}

pub(crate) async fn lba_status<B: Backend>(disk: &ScsiDisk<B>, request: &GetLbaStatus) -> Result<Vec<u8>, Refusal> {
    let room = usize::try_from(request.allocation).unwrap_or(usize::MAX).saturating_sub(HEADER) / DESCRIPTOR;
    let runs = runs(disk, request.start, room.clamp(1, MOST)).await?;
    let len = u32::try_from(HEADER - 4 + DESCRIPTOR * runs.len()).unwrap_or(u32::MAX);
    let mut reply = [&len.to_be_bytes()[..], &[0; 4]].concat();
    for run in runs {
        reply.extend(run.range.lba.0.to_be_bytes());
        reply.extend(run.range.blocks.to_be_bytes());
        reply.extend([run.status, 0, 0, 0]);
    }
    Ok(reply)
}

/// Blocks of one status.
struct Run {
    range: LbaRange,
    status: u8,
}

impl Run {
    /// Makes it longer by blocks that follow it, if they are like it.
    fn takes_in(&mut self, status: u8, blocks: u32) -> bool {
        let longer = self.range.blocks.checked_add(blocks).filter(|_| self.status == status);
        self.range.blocks = longer.unwrap_or(self.range.blocks);
        longer.is_some()
    }
}

/// The first `most` runs from `start`.
async fn runs<B: Backend>(disk: &ScsiDisk<B>, start: Lba, most: usize) -> Result<Vec<Run>, Refusal> {
    let mut at = disk.locate(LbaRange::new(start.0, 1))?.at;
    let (block, end) = (disk.block_size(), disk.capacity() * u64::from(disk.block_size().bytes()));
    let mut runs: Vec<Run> = Vec::new();
    while at < end {
        let extent = disk.disk.extent(at, end - at).await?;
        let status = if extent.mapped { MAPPED } else { DEALLOCATED };
        let blocks = u32::try_from(block.blocks_in(extent.len)).unwrap_or(u32::MAX);
        if !runs.last_mut().is_some_and(|last| last.takes_in(status, blocks)) {
            if runs.len() == most {
                break;
            }
            runs.push(Run { range: LbaRange::new(block.blocks_in(at), blocks), status });
        }
        at += u64::from(blocks) * u64::from(block.bytes());
        Yield::default().await;
    }
    Ok(runs)
}
