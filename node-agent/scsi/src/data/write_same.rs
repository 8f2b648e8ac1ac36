//! WRITE SAME 10 and 16 (SBC-4 5.46, 5.47): one block, written over and over.
//!
//! Zeroes go to the storage's cheapest way of making zeroes; any other block is written in chunks.

use lunette_backend::{Backend, Durability};
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::rw::exact_data_out;
use crate::data::{CHUNK, Yield};
use crate::disk::Answer;
use crate::refusal::Refusal;
use crate::{ByteRange, LbaRange, Op, Outcome, ScsiDisk, Sense};

/// WRITE SAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSame {
    /// Which blocks.
    pub range: LbaRange,
    /// UNMAP: the space of zeroes may be given back.
    pub unmap: bool,
    /// NDOB: there is no data; zeroes are meant.
    pub no_data: bool,
    /// Where the CDB has its length field, for the field pointer.
    pub length_byte: u8,
}

pub(crate) fn parse_write_same10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, WriteSame { range: cdb.range10(), unmap: cdb.bit(1, 3), no_data: false, length_byte: 7 })
}

pub(crate) fn parse_write_same16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let no_data = cdb.bit(1, 0);
    parse(cdb, WriteSame { range: cdb.range16(), unmap: cdb.bit(1, 3), no_data, length_byte: 10 })
}

fn parse(cdb: Cdb<'_>, same: WriteSame) -> Result<Op, Sense> {
    if cdb.bit(1, 4) {
        // ANCHOR: ANC_SUP is zero.
        return Err(Cdb::invalid(1, 4));
    }
    if same.range.blocks == 0 {
        // To the end of the medium: WSNZ says that it is not done.
        return Err(Cdb::invalid(u16::from(same.length_byte), 7));
    }
    Ok(Op::WriteSame(same))
}

pub(crate) async fn write_same<B: Backend>(disk: &ScsiDisk<B>, same: &WriteSame, data: DataBuf) -> Answer {
    disk.check_writable()?;
    if same.unmap && !disk.support().discard {
        return Err(Cdb::invalid(1, 3).into());
    }
    let range = disk.locate(same.range)?;
    if u64::from(same.range.blocks) > disk.config.limits.write_same_blocks(disk.block_size()) {
        return Err(Cdb::invalid(u16::from(same.length_byte), 7).into());
    }
    let block = pattern(disk, same, data)?;
    let _claim = disk.locks.share(range).await;
    let durability = disk.durability(false);
    match block {
        None => disk.disk.write_zeroes(range.at, range.len, same.unmap, durability).await?,
        Some(block) => write_over(disk, range, &block, durability).await?,
    }
    Ok(Outcome::good())
}

/// The block to write, or nothing where it is all zeroes.
fn pattern<B: Backend>(disk: &ScsiDisk<B>, same: &WriteSame, data: DataBuf) -> Result<Option<Vec<u8>>, Sense> {
    if same.no_data {
        return exact_data_out(data, 0).map(|_| None);
    }
    let block = exact_data_out(data, u64::from(disk.block_size().bytes()))?.to_vec();
    Ok(Some(block).filter(|block| block.iter().any(|byte| *byte != 0)))
}

async fn write_over<B: Backend>(
    disk: &ScsiDisk<B>,
    range: ByteRange,
    block: &[u8],
    durability: Durability,
) -> Result<(), Refusal> {
    let chunk = CHUNK.min(range.len);
    let bytes: Vec<u8> = block.iter().copied().cycle().take(usize::try_from(chunk).unwrap_or(0)).collect();
    let mut buf = DataBuf::from_slice(&bytes);
    let mut done = 0;
    while done < range.len {
        // Chunks and ranges are whole blocks, so that every chunk begins with the block's first byte.
        let left = range.len - done;
        buf.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let len = buf.len() as u64;
        buf = disk.disk.write(range.at + done, buf, durability).await?;
        done += len;
        Yield::default().await;
    }
    Ok(())
}
