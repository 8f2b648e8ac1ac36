//! SANITIZE (SBC-4 5.30): makes what was written unreadable.
//!
//! OVERWRITE writes its pattern over every block, as often as it is told. BLOCK ERASE writes zeroes over what
//! the storage keeps, makes them durable, and only then gives the space back: a hole alone would leave the
//! bytes where they were. Both reach as far as the storage writes in place; what a file system or a flash
//! drive below keeps of old versions is beyond a LUN's reach. There is no CRYPTOGRAPHIC ERASE: a LUN has no
//! key of its own.

use lunette_backend::{Backend, Durability, IoError};
use lunette_iobuf::DataBuf;

use super::{Rewrite, Rewriting, sanitize_failed};
use crate::cdb::Cdb;
use crate::data::{CHUNK, Yield};
use crate::disk::Answer;
use crate::parameters::{finish_without_data, parameter_list};
use crate::{ByteRange, Op, Outcome, ScsiDisk, Sense, asc};

/// SANITIZE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitize {
    /// What is to be done.
    pub method: Method,
    /// AUSE: a failure may be left by EXIT FAILURE MODE.
    pub unrestricted: bool,
}

/// The service actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Write a pattern over every block.
    Overwrite {
        /// PARAMETER LIST LENGTH.
        len: u16,
    },
    /// Zeroes over what is mapped, then nothing mapped.
    BlockErase,
    /// Leave the state that a failure left.
    ExitFailureMode,
}

/// Bytes of OVERWRITE's parameter list before the pattern.
const HEADER: usize = 4;
/// Bytes unmapped at once.
const UNMAP_STEP: u64 = 1 << 30;

pub(crate) fn parse_sanitize_overwrite(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb, Method::Overwrite { len: cdb.be16(7) }))
}

pub(crate) fn parse_sanitize_block_erase(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb, Method::BlockErase))
}

pub(crate) fn parse_sanitize_exit_failure_mode(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(parse(cdb, Method::ExitFailureMode))
}

fn parse(cdb: Cdb<'_>, method: Method) -> Op {
    Op::Sanitize(Sanitize { method, unrestricted: cdb.bit(1, 5) })
}

pub(crate) async fn sanitize<B: Backend>(disk: &ScsiDisk<B>, request: &Sanitize, data: DataBuf) -> Answer {
    match request.method {
        Method::ExitFailureMode => exit_failure_mode(disk, data),
        Method::BlockErase => {
            if !disk.support().discard {
                return Err(Cdb::invalid(1, 4).into());
            }
            admit(disk, request)?;
            run(disk, request, None).await?;
            Ok(finish_without_data(data))
        }
        Method::Overwrite { len } => {
            let passes = Passes::read(disk, &data, len)?;
            admit(disk, request)?;
            run(disk, request, Some(passes)).await
        }
    }
}

/// A failure in restricted mode is left only by an operation in restricted mode (SBC-4 4.11.3).
fn exit_failure_mode<B: Backend>(disk: &ScsiDisk<B>, data: DataBuf) -> Answer {
    if disk.medium.failed() == Some(false) {
        return Err(Cdb::invalid(1, 4).into());
    }
    disk.medium.state.set(super::State::Whole);
    Ok(finish_without_data(data))
}

fn admit<B: Backend>(disk: &ScsiDisk<B>, request: &Sanitize) -> Result<(), Sense> {
    if request.unrestricted && disk.medium.failed() == Some(false) {
        return Err(Cdb::invalid(1, 5));
    }
    disk.check_writable()
}

/// Bars other commands, waits for the writes that run, and does the work.
async fn run<B: Backend>(disk: &ScsiDisk<B>, request: &Sanitize, passes: Option<Passes>) -> Answer {
    let rewriting = disk.medium.begin(Rewrite::Sanitize { unrestricted: request.unrestricted });
    let _claim = disk.locks.exclude(ByteRange { at: 0, len: u64::MAX }).await;
    let done = match passes {
        Some(passes) => overwrite(disk, &passes, &rewriting).await,
        None => erase(disk, &rewriting).await,
    };
    match done {
        Ok(()) => {
            rewriting.succeed();
            Ok(Outcome::good())
        }
        Err(error) => {
            disk.note_trouble(0x48, &error);
            Err(sanitize_failed().into())
        }
    }
}

/// What OVERWRITE writes: its pattern repeated over one block, how often, and whether every other pass is
/// inverted.
struct Passes {
    block: Vec<u8>,
    count: u8,
    invert: bool,
}

impl Passes {
    /// A count of zero is a reserved value, for which SBC-4 names no sense: it is refused as libiscsi's suite
    /// expects. TEST values other than 00b are a vendor's.
    fn read<B: Backend>(disk: &ScsiDisk<B>, data: &DataBuf, len: u16) -> Result<Self, Sense> {
        let block = usize::try_from(disk.block_size().bytes()).unwrap_or(usize::MAX);
        if !(HEADER + 1..=HEADER + block).contains(&usize::from(len)) {
            return Err(Cdb::invalid(7, 7));
        }
        let list = parameter_list(data, u32::from(len))?;
        let (flags, count) = (list[0], list[0] & 0x1f);
        if count == 0 {
            return Err(Sense::illegal(asc::INVALID_FIELD_IN_CDB));
        }
        if flags & 0x60 != 0 {
            return Err(Sense::parameter(0));
        }
        let length = usize::from(u16::from_be_bytes([list[2], list[3]]));
        if length == 0 || length > block {
            return Err(Sense::parameter(2));
        }
        let pattern = list.get(HEADER..HEADER + length).ok_or(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR))?;
        let block = pattern.iter().copied().cycle().take(block).collect();
        Ok(Self { block, count, invert: flags & 0x80 != 0 })
    }

    /// The block of one pass, counted from one. The last is never inverted (SBC-4 5.30.3).
    fn block_of(&self, pass: u8) -> Vec<u8> {
        let inverted = self.invert && (self.count - pass) % 2 == 1;
        self.block.iter().map(|byte| if inverted { !byte } else { *byte }).collect()
    }
}

async fn overwrite<B: Backend>(disk: &ScsiDisk<B>, passes: &Passes, rewriting: &Rewriting<'_>) -> Result<(), IoError> {
    let size = disk.disk.size();
    let work = u128::from(size) * u128::from(passes.count);
    for pass in 1..=passes.count {
        let before = u128::from(size) * u128::from(pass - 1);
        let note = |done| rewriting.progress(before + u128::from(done), work);
        fill(disk, ByteRange { at: 0, len: size }, &passes.block_of(pass), note).await?;
        disk.disk.flush().await?;
    }
    Ok(())
}

async fn erase<B: Backend>(disk: &ScsiDisk<B>, rewriting: &Rewriting<'_>) -> Result<(), IoError> {
    let size = disk.disk.size();
    let zeroes = vec![0; usize::try_from(disk.block_size().bytes()).unwrap_or(0)];
    let mut at = 0;
    while at < size {
        let extent = disk.disk.extent(at, size - at).await?;
        if extent.mapped {
            let note = |done| rewriting.progress(u128::from(at + done), u128::from(size));
            fill(disk, ByteRange { at, len: extent.len }, &zeroes, note).await?;
        }
        at += extent.len;
        Yield::default().await;
    }
    disk.disk.flush().await?;
    for at in (0..size).step_by(usize::try_from(UNMAP_STEP).unwrap_or(usize::MAX)) {
        disk.disk.write_zeroes(at, UNMAP_STEP.min(size - at), true, Durability::Volatile).await?;
        Yield::default().await;
    }
    disk.disk.flush().await
}

/// Writes `block` over and over.
async fn fill<B: Backend>(
    disk: &ScsiDisk<B>,
    range: ByteRange,
    block: &[u8],
    note: impl Fn(u64),
) -> Result<(), IoError> {
    let chunk = usize::try_from(CHUNK.min(range.len)).unwrap_or(0);
    let mut buf = DataBuf::from_slice(&block.iter().copied().cycle().take(chunk).collect::<Vec<u8>>());
    let mut done = 0;
    while done < range.len {
        buf.truncate(usize::try_from(range.len - done).unwrap_or(usize::MAX));
        let len = buf.len() as u64;
        buf = disk.disk.write(range.at + done, buf, Durability::Volatile).await?;
        done += len;
        note(done);
        Yield::default().await;
    }
    Ok(())
}
