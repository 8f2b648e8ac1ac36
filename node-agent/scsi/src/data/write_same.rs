//! WRITE SAME 10, 16 and 32 (SBC-4 5.46–5.48): one block, written over and over.
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
    /// Which blocks; a length of zero means up to the last.
    pub range: LbaRange,
    /// UNMAP: the space of zeroes may be given back.
    pub unmap: bool,
    /// NDOB: there is no data; zeroes are meant.
    pub no_data: bool,
    /// Where the CDB has its flags, for the field pointer.
    pub flags_byte: u8,
    /// Where the CDB has its length field, for the field pointer.
    pub length_byte: u8,
}

pub(crate) fn parse_write_same10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 1, cdb.range10(), 7)
}

pub(crate) fn parse_write_same16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 1, cdb.range16(), 10)
}

pub(crate) fn parse_write_same32(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 10, cdb.range32(), 28)
}

fn parse(cdb: Cdb<'_>, flags_byte: u8, range: LbaRange, length_byte: u8) -> Result<Op, Sense> {
    let flag = |bit| cdb.bit(usize::from(flags_byte), bit);
    if flag(4) {
        // ANCHOR: ANC_SUP is zero.
        return Err(Cdb::invalid(u16::from(flags_byte), 4));
    }
    // WRITE SAME (10) has no NDOB: its mask has refused that bit.
    Ok(Op::WriteSame(WriteSame { range, unmap: flag(3), no_data: flag(0), flags_byte, length_byte }))
}

pub(crate) async fn write_same<B: Backend>(disk: &ScsiDisk<B>, same: &WriteSame, data: DataBuf) -> Answer {
    disk.check_writable()?;
    if same.unmap && !disk.support().discard {
        return Err(Cdb::invalid(u16::from(same.flags_byte), 3).into());
    }
    let range = place(disk, same)?;
    let block = pattern(disk, same, data)?;
    let _claim = disk.locks.share(range).await;
    let durability = disk.durability(false);
    match block {
        None => disk.disk.write_zeroes(range.at, range.len, same.unmap, durability).await?,
        Some(block) => write_over(disk, range, &block, durability).await?,
    }
    Ok(Outcome::good())
}

/// The bytes meant, within the volume and MAXIMUM WRITE SAME LENGTH.
fn place<B: Backend>(disk: &ScsiDisk<B>, same: &WriteSame) -> Result<ByteRange, Sense> {
    let named = disk.locate(same.range)?;
    let to_the_end = disk.capacity().saturating_sub(same.range.lba.0);
    let blocks = if same.range.blocks == 0 { to_the_end } else { u64::from(same.range.blocks) };
    if blocks > disk.config.limits.write_same_blocks(disk.block_size()) {
        return Err(Cdb::invalid(u16::from(same.length_byte), 7));
    }
    Ok(ByteRange { len: blocks * u64::from(disk.block_size().bytes()), ..named })
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
