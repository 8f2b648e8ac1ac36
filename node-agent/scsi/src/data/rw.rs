//! READ and WRITE of 6, 10, 12, 16 and 32 bytes (SBC-4 5.12–5.17, 5.36–5.41): the path that every byte takes.
//!
//! Nothing is allocated here for a command whose expected length is its CDB's. Where they differ: a
//! longer buffer gets the CDB's amount and the rest zeroed (READ), or gives its first part (WRITE); a
//! shorter one is filled as far as it goes (READ), or refused (WRITE), as LIO's core does for its own
//! backstores (`target_cmd_size_check`).

use lunette_backend::{Backend, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::finish_data_in;
use crate::{ByteRange, LbaRange, Op, Outcome, ScsiDisk, Sense, asc};

/// READ or WRITE. DPO is accepted and of no effect: the storage's own cache knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which blocks.
    pub range: LbaRange,
    /// FUA: force unit access.
    pub fua: bool,
    /// Where the CDB has its length field, for the field pointer.
    pub length_byte: u8,
}

fn short(cdb: Cdb<'_>) -> Transfer {
    Transfer { range: cdb.range6(), fua: false, length_byte: 4 }
}

fn long(cdb: Cdb<'_>, range: LbaRange, length_byte: u8) -> Transfer {
    Transfer { range, fua: cdb.bit(1, 3), length_byte }
}

fn longest(cdb: Cdb<'_>) -> Transfer {
    Transfer { range: cdb.range32(), fua: cdb.bit(10, 3), length_byte: 28 }
}

pub(crate) fn parse_read6(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Read(short(cdb)))
}

pub(crate) fn parse_read10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Read(long(cdb, cdb.range10(), 7)))
}

pub(crate) fn parse_read12(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Read(long(cdb, cdb.range12(), 6)))
}

pub(crate) fn parse_read16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Read(long(cdb, cdb.range16(), 10)))
}

pub(crate) fn parse_write6(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Write(short(cdb)))
}

pub(crate) fn parse_write10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Write(long(cdb, cdb.range10(), 7)))
}

pub(crate) fn parse_write12(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Write(long(cdb, cdb.range12(), 6)))
}

pub(crate) fn parse_write16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Write(long(cdb, cdb.range16(), 10)))
}

pub(crate) fn parse_read32(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Read(longest(cdb)))
}

pub(crate) fn parse_write32(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::Write(longest(cdb)))
}

impl<B: Backend> ScsiDisk<B> {
    /// READ. With FUA and a volatile cache the cache is made durable first, so that what is returned
    /// cannot be lost afterwards.
    pub(crate) async fn read(&self, transfer: &Transfer, data: DataBuf) -> Answer {
        let range = self.admit(transfer.range, transfer.length_byte)?;
        if transfer.fua && self.mode.write_cache() {
            self.disk.flush().await?;
        }
        let _reading = self.locks.read(range).await;
        if data.len() as u64 != range.len {
            return Box::pin(self.read_other_length(range, data)).await;
        }
        match self.disk.read(range.at, data).await {
            Ok(_) => Ok(Outcome::good()),
            Err(error) if error.kind == IoErrorKind::MediumRead => {
                Err(Box::pin(self.up_to_flaw(transfer.range, range.at, error)).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// WRITE.
    pub(crate) async fn write(&self, transfer: &Transfer, data: DataBuf) -> Answer {
        self.check_writable()?;
        let range = self.admit(transfer.range, transfer.length_byte)?;
        let data = data_out(data, range.len)?;
        let _claim = self.locks.share(range).await;
        self.disk.write(range.at, data, self.durability(transfer.fua)).await?;
        Ok(Outcome::good())
    }

    /// The bytes of a transfer that is inside the medium and within MAXIMUM TRANSFER LENGTH.
    pub(crate) fn admit(&self, range: LbaRange, length_byte: u8) -> Result<ByteRange, Sense> {
        let bytes = self.locate(range)?;
        if range.blocks > self.config.limits.transfer_blocks(self.block_size()) {
            return Err(Cdb::invalid(u16::from(length_byte), 7));
        }
        Ok(bytes)
    }

    async fn read_other_length(&self, range: ByteRange, data: DataBuf) -> Answer {
        let expected = usize::try_from(range.len).unwrap_or(usize::MAX);
        if data.len() > expected {
            let (head, mut rest) = data.split_at(expected);
            self.disk.read(range.at, head).await?;
            finish_data_in(&mut rest, 0);
            return Ok(Outcome::short(u32::try_from(expected).unwrap_or(u32::MAX)));
        }
        self.read_what_fits(range.at, data).await
    }

    /// Whole blocks straight into the buffer, and the beginning of the last one through one of ours.
    async fn read_what_fits(&self, at: u64, data: DataBuf) -> Answer {
        let block = usize::try_from(self.block_size().bytes()).unwrap_or(usize::MAX);
        let whole = data.len() / block * block;
        let (head, mut tail) = data.split_at(whole);
        self.disk.read(at, head).await?;
        if !tail.is_empty() {
            let last = self.disk.read(at + whole as u64, DataBuf::zeroed(block)).await?;
            let mut bytes = vec![0; tail.len()];
            last.copy_out(0, &mut bytes);
            tail.copy_in(0, &bytes);
        }
        Ok(Outcome::good())
    }
}

/// The first `len` bytes of a Data-Out buffer.
///
/// # Errors
/// INVALID FIELD IN COMMAND INFORMATION UNIT where the initiator sent fewer.
pub(super) fn data_out(mut data: DataBuf, len: u64) -> Result<DataBuf, Sense> {
    let have = data.len() as u64;
    if have < len {
        return Err(wrong_length());
    }
    if have > len {
        data.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    }
    Ok(data)
}

/// A Data-Out buffer of exactly `len` bytes, for commands whose data would mean something else if it
/// were cut.
pub(super) fn exact_data_out(data: DataBuf, len: u64) -> Result<DataBuf, Sense> {
    if data.len() as u64 == len { Ok(data) } else { Err(wrong_length()) }
}

#[cold]
fn wrong_length() -> Sense {
    Sense::illegal(asc::INVALID_FIELD_IN_COMMAND_IU)
}
