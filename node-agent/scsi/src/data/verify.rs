//! VERIFY 10, 12, 16 and 32 (SBC-4 5.33–5.35, 5.43): reads the medium, and compares it where BYTCHK says so.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::compare::{first_difference, miscompare};
use crate::data::rw::data_out;
use crate::data::{CHUNK, Yield};
use crate::disk::Answer;
use crate::parameters::finish_without_data;
use crate::refusal::Refusal;
use crate::{ByteRange, LbaRange, Op, Outcome, ScsiDisk, Sense};

/// VERIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verify {
    /// Which blocks.
    pub range: LbaRange,
    /// What they are compared with.
    pub check: ByteCheck,
    /// Where the CDB has its length field, for the field pointer.
    pub length_byte: u8,
}

/// BYTCHK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteCheck {
    /// 00b: nothing; they must be readable.
    Readable,
    /// 01b: with as many blocks of data.
    Blocks,
    /// 11b: each of them with one block of data.
    OneBlock,
}

pub(crate) fn parse_verify10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 1, cdb.range10(), 7)
}

pub(crate) fn parse_verify12(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 1, cdb.range12(), 6)
}

pub(crate) fn parse_verify16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 1, cdb.range16(), 10)
}

pub(crate) fn parse_verify32(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, 10, cdb.range32(), 28)
}

fn parse(cdb: Cdb<'_>, flags_byte: u8, range: LbaRange, length_byte: u8) -> Result<Op, Sense> {
    let check = match cdb.u8(usize::from(flags_byte)) >> 1 & 3 {
        0 => ByteCheck::Readable,
        1 => ByteCheck::Blocks,
        3 => ByteCheck::OneBlock,
        _ => return Err(Cdb::invalid(u16::from(flags_byte), 2)),
    };
    Ok(Op::Verify(Verify { range, check, length_byte }))
}

pub(crate) async fn verify<B: Backend>(disk: &ScsiDisk<B>, verify: &Verify, data: DataBuf) -> Answer {
    let range = disk.admit(verify.range, verify.length_byte)?;
    match verify.check {
        ByteCheck::Readable => {
            read_through(disk, range, |_, _| None).await?;
            Ok(finish_without_data(data))
        }
        ByteCheck::Blocks => {
            let expected = data_out(data, range.len)?;
            compare(disk, range, &expected).await
        }
        ByteCheck::OneBlock => compare_with_one(disk, range, data).await,
    }
}

/// An empty range needs no data to compare with.
async fn compare_with_one<B: Backend>(disk: &ScsiDisk<B>, range: ByteRange, data: DataBuf) -> Answer {
    if range.len == 0 {
        return Ok(Outcome::good());
    }
    let block = data_out(data, u64::from(disk.block_size().bytes()))?;
    let pattern = block.to_vec();
    let len = usize::try_from(range.len).unwrap_or(usize::MAX);
    let expected = pattern.iter().copied().cycle().take(len).collect::<Vec<u8>>();
    compare(disk, range, &DataBuf::from_slice(&expected)).await
}

pub(super) async fn compare<B: Backend>(disk: &ScsiDisk<B>, range: ByteRange, expected: &DataBuf) -> Answer {
    let found = read_through(disk, range, |at, chunk| differs(expected, at, chunk)).await?;
    found.map_or_else(|| Ok(Outcome::good()), |offset| Err(miscompare(offset).into()))
}

/// The first difference of `chunk` from the bytes of `expected` from `at`, counted from its beginning.
fn differs(expected: &DataBuf, at: u64, chunk: &DataBuf) -> Option<u64> {
    let mut bytes = vec![0; chunk.len()];
    expected.copy_out(usize::try_from(at).ok()?, &mut bytes);
    first_difference(&DataBuf::from_slice(&bytes), chunk).map(|offset| at + offset as u64)
}

/// Reads a range chunk by chunk, until `find` has found something in one.
pub(super) async fn read_through<B: Backend>(
    disk: &ScsiDisk<B>,
    range: ByteRange,
    find: impl Fn(u64, &DataBuf) -> Option<u64>,
) -> Result<Option<u64>, Refusal> {
    let mut done = 0;
    while done < range.len {
        let len = usize::try_from(CHUNK.min(range.len - done)).unwrap_or(0);
        let chunk = disk.disk.read(range.at + done, DataBuf::zeroed(len)).await?;
        if let Some(offset) = find(done, &chunk) {
            return Ok(Some(offset));
        }
        done += len as u64;
        Yield::default().await;
    }
    Ok(None)
}
