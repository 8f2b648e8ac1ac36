//! POPULATE TOKEN, WRITE USING TOKEN and RECEIVE ROD TOKEN INFORMATION (SBC-4 5.9, 5.59; SPC-5 6.31): copies
//! within the unit that an initiator asks for in two steps.
//!
//! A ring does not tell initiators apart, and two of them may choose the same list identifier. So that none
//! gets the other's token, an identifier is not taken again before its result was asked for or has aged.

use std::rc::Rc;
use std::time::{Duration, Instant};

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::copy::blocks::copy_blocks;
use crate::copy::extended::in_segment;
use crate::copy::report::long_status;
use crate::copy::results::{ListId, POPULATE_TOKEN, Running, WRITE_USING_TOKEN};
use crate::copy::rod::{ANY_POINT_IN_TIME, BLOCK_ZERO, CHANGE_VULNERABLE, Rod, TOKEN, token_type};
use crate::disk::Answer;
use crate::parameters::parameter_list;
use crate::refusal::Refusal;
use crate::{ByteRange, LbaRange, Op, Outcome, ScsiDisk, Sense, Status, asc};

/// MAXIMUM RANGE DESCRIPTORS.
pub(crate) const MAX_RANGES: u16 = 16;
/// Bytes of MAXIMUM TOKEN TRANSFER SIZE.
pub(crate) const MAX_TRANSFER: u64 = 256 << 20;
/// Bytes of OPTIMAL TRANSFER COUNT.
pub(crate) const OPTIMAL_TRANSFER: u64 = 64 << 20;
/// Seconds: DEFAULT and MAXIMUM INACTIVITY TIMEOUT.
pub(crate) const DEFAULT_TIMEOUT: u32 = 60;
pub(crate) const MAX_TIMEOUT: u32 = 600;

/// POPULATE TOKEN or WRITE USING TOKEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenCommand {
    /// LIST IDENTIFIER.
    pub id: u32,
    /// PARAMETER LIST LENGTH.
    pub len: u32,
}

const LENGTH_ERROR: Sense = Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR);
/// Bytes of a block device range descriptor.
const RANGE: usize = 16;
/// Bytes before the range descriptors.
const POPULATE_HEADER: usize = 16;
const WRITE_HEADER: usize = 24 + TOKEN;
const IMMED: u8 = 0x01;

fn parse(cdb: Cdb<'_>) -> TokenCommand {
    TokenCommand { id: cdb.be32(6), len: cdb.be32(10) }
}

pub(crate) fn parse_populate_token(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::PopulateToken(parse(cdb)))
}

pub(crate) fn parse_write_using_token(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::WriteUsingToken(parse(cdb)))
}

pub(crate) fn parse_receive_token(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReceiveRodTokenInformation { id: cdb.be32(2), allocation: cdb.be32(10) })
}

/// The parameter list, if it is no longer than one of as many ranges as are allowed.
fn take_list(data: &DataBuf, len: u32, header: usize) -> Result<Vec<u8>, Sense> {
    let longest = header + RANGE * usize::from(MAX_RANGES);
    if usize::try_from(len).map_or(true, |len| len < header || len > longest) {
        return Err(LENGTH_ERROR);
    }
    parameter_list(data, len)
}

pub(crate) async fn populate_token<B: Backend>(disk: &ScsiDisk<B>, command: TokenCommand, data: DataBuf) -> Answer {
    if command.len == 0 {
        return Ok(Outcome::good());
    }
    let list = take_list(&data, command.len, POPULATE_HEADER)?;
    let timeout = read_populate_header(&list)?;
    let ranges = read_ranges(disk, &list, POPULATE_HEADER)?;
    let Some(running) = begin(disk, command.id, POPULATE_TOKEN)? else { return Ok(Outcome::status(Status::Busy)) };
    let frozen = disk.locks.freeze_all(&ranges).await;
    let rod = Rod::new(ranges.clone(), disk.locks.watch(ranges));
    drop(frozen);
    let (now, represented) = (Instant::now(), rod.len());
    let token = disk.tokens.create((&disk.config.identity, disk.block_size()), rod, timeout, now);
    let token = token.ok_or(Sense::illegal(asc::INSUFFICIENT_RESOURCES_FOR_TOKEN))?;
    running.add_bytes(represented);
    running.set_token(token);
    running.end(None, now);
    Ok(Outcome::good())
}

/// The time without use that is asked for.
fn read_populate_header(list: &[u8]) -> Result<Duration, Sense> {
    const RTV: u8 = 0x02;
    let header = Cdb::new(list);
    if header.u8(2) & IMMED != 0 {
        return Err(Sense::parameter(2));
    }
    if header.u8(2) & RTV != 0 && ![CHANGE_VULNERABLE, ANY_POINT_IN_TIME].contains(&header.be32(8)) {
        return Err(Sense::parameter(8));
    }
    match header.be32(4) {
        0 => Ok(Duration::from_secs(DEFAULT_TIMEOUT.into())),
        seconds if seconds <= MAX_TIMEOUT => Ok(Duration::from_secs(seconds.into())),
        _ => Err(Sense::parameter(4)),
    }
}

/// The block device range descriptors behind a header whose last two bytes are their length.
fn read_ranges<B: Backend>(disk: &ScsiDisk<B>, list: &[u8], header: usize) -> Result<Vec<ByteRange>, Sense> {
    let len = usize::from(Cdb::new(list).be16(header - 2));
    let described = list[header..].get(..len).ok_or(LENGTH_ERROR)?;
    if len == 0 || !len.is_multiple_of(RANGE) {
        return Err(Sense::parameter(header - 2));
    }
    let mut ranges: Vec<ByteRange> = Vec::new();
    for (i, descriptor) in described.chunks_exact(RANGE).enumerate() {
        let d = Cdb::new(descriptor);
        let range = disk.locate(LbaRange::new(d.be64(0), d.be32(8)))?;
        if ranges.iter().any(|other| other.overlaps(range)) {
            return Err(Sense::parameter(header + RANGE * i));
        }
        ranges.push(range);
    }
    let total: u64 = ranges.iter().map(|range| range.len).sum();
    if total > MAX_TRANSFER { Err(Sense::parameter(header + 8)) } else { Ok(ranges) }
}

/// Notes the command; nothing where too many copies are under way.
fn begin<B>(disk: &ScsiDisk<B>, id: u32, action: u8) -> Result<Option<Running<'_>>, Sense> {
    let (id, now) = (ListId::Long(id), Instant::now());
    if disk.copies.is_awaited(id, now) {
        return Err(Sense::illegal(asc::OPERATION_IN_PROGRESS));
    }
    Ok(disk.copies.begin(Some(id), action, now))
}

pub(crate) async fn write_using_token<B: Backend>(disk: &ScsiDisk<B>, command: TokenCommand, data: DataBuf) -> Answer {
    disk.check_writable()?;
    if command.len == 0 {
        return Ok(Outcome::good());
    }
    let list = take_list(&data, command.len, WRITE_HEADER)?;
    drop(data);
    let write = read_write(disk, &list)?;
    let Some(running) = begin(disk, command.id, WRITE_USING_TOKEN)? else { return Ok(Outcome::status(Status::Busy)) };
    let written = match &write.source {
        Source::Zeroes => write_zeroes(disk, &write.targets, &running).await,
        Source::Rod(rod, pairs) => write_rod(disk, rod, pairs, &running).await,
    };
    if let (Ok(()), Source::Rod(rod, _), true) = (&written, &write.source, write.delete) {
        disk.tokens.delete(rod);
    }
    running.end(written.as_ref().err().map(Refusal::sense), Instant::now());
    written.map(|()| Outcome::good())
}

/// A WRITE USING TOKEN, understood and checked.
struct TokenWrite {
    source: Source,
    targets: Vec<ByteRange>,
    delete: bool,
}

/// What a token gives.
enum Source {
    Zeroes,
    /// The ROD, and from where to where.
    Rod(Rc<Rod>, Vec<(ByteRange, u64)>),
}

fn read_write<B: Backend>(disk: &ScsiDisk<B>, list: &[u8]) -> Result<TokenWrite, Sense> {
    const DEL_TKN: u8 = 0x02;
    let header = Cdb::new(list);
    if header.u8(2) & IMMED != 0 {
        return Err(Sense::parameter(2));
    }
    let targets = read_ranges(disk, list, WRITE_HEADER)?;
    let token = &list[16..16 + TOKEN];
    let source = match token_type(token)? {
        BLOCK_ZERO => Source::Zeroes,
        CHANGE_VULNERABLE => {
            let unit = (&disk.config.identity, disk.block_size());
            let rod = disk.tokens.find(unit, token, Instant::now())?;
            let pairs = pairs(&rod, header.be64(8), disk.block_size().bytes(), &targets)?;
            Source::Rod(rod, pairs)
        }
        _ => return Err(Sense::illegal(asc::UNSUPPORTED_TOKEN_TYPE)),
    };
    Ok(TokenWrite { source, targets, delete: header.u8(2) & DEL_TKN != 0 })
}

/// From where to where: the targets, filled from the ROD's ranges in order, from `offset` blocks on.
fn pairs(rod: &Rod, offset: u64, block: u32, targets: &[ByteRange]) -> Result<Vec<(ByteRange, u64)>, Sense> {
    let skip = offset.checked_mul(u64::from(block)).filter(|skip| *skip <= rod.len()).ok_or(Sense::parameter(8))?;
    let wanted: u64 = targets.iter().map(|range| range.len).sum();
    if wanted > rod.len() - skip {
        return Err(Sense::parameter(WRITE_HEADER + 8));
    }
    if targets.iter().any(|target| rod.ranges.iter().any(|range| range.overlaps(*target))) {
        // Its first block would revoke the token.
        return Err(Sense::parameter(WRITE_HEADER));
    }
    let mut sources = after(&rod.ranges, skip).into_iter();
    let (mut pairs, mut source) = (Vec::new(), ByteRange { at: 0, len: 0 });
    for target in targets {
        let mut done = 0;
        while done < target.len {
            if source.len == 0 {
                source = sources.next().ok_or(Sense::parameter(WRITE_HEADER + 8))?;
            }
            let len = source.len.min(target.len - done);
            pairs.push((ByteRange { at: source.at, len }, target.at + done));
            source = ByteRange { at: source.at + len, len: source.len - len };
            done += len;
        }
    }
    Ok(pairs)
}

/// What is left of ranges without their first `skip` bytes; no empty ones.
fn after(ranges: &[ByteRange], mut skip: u64) -> Vec<ByteRange> {
    let rest = |range: &ByteRange| {
        let cut = skip.min(range.len);
        skip -= cut;
        ByteRange { at: range.at + cut, len: range.len - cut }
    };
    ranges.iter().map(rest).filter(|range| range.len > 0).collect()
}

async fn write_rod<B: Backend>(
    disk: &ScsiDisk<B>,
    rod: &Rod,
    pairs: &[(ByteRange, u64)],
    running: &Running<'_>,
) -> Result<(), Refusal> {
    for (number, (source, target)) in (0..).zip(pairs) {
        let copied = copy_blocks(disk, *source, *target, running, || rod.check()).await;
        copied.map_err(|refusal| in_segment(refusal, number))?;
        running.add_segment();
    }
    Ok(())
}

async fn write_zeroes<B: Backend>(
    disk: &ScsiDisk<B>,
    targets: &[ByteRange],
    running: &Running<'_>,
) -> Result<(), Refusal> {
    let may_unmap = disk.support().discard;
    for (number, target) in (0..).zip(targets) {
        let _claim = disk.locks.share(*target).await;
        let written = disk.disk.write_zeroes(target.at, target.len, may_unmap, disk.durability(false)).await;
        written.map_err(|error| in_segment(error.into(), number))?;
        running.add_bytes(target.len);
        running.add_segment();
    }
    Ok(())
}

/// RECEIVE ROD TOKEN INFORMATION: the status of a LID4 command, and its token if it made one.
pub(crate) fn receive_token<B: Backend>(disk: &ScsiDisk<B>, id: u32) -> Result<Vec<u8>, Sense> {
    let record = disk.copies.take(ListId::Long(id)).ok_or_else(|| Cdb::invalid(2, 7))?;
    let token = record.token.as_ref().map_or(Vec::new(), |token| [&[0, 0], &token[..]].concat());
    let mut reply = long_status(disk, &record);
    reply.extend(u32::try_from(token.len()).unwrap_or(0).to_be_bytes());
    reply.extend(token);
    let available = u32::try_from(reply.len() - 4).unwrap_or(u32::MAX);
    reply[..4].copy_from_slice(&available.to_be_bytes());
    Ok(reply)
}
