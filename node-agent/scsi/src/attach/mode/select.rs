//! MODE SELECT 6 and 10 (SPC-5 6.13, 6.14): a whole parameter list is checked before any of it counts.

use lunette_backend::{Backend, IoError, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::attach::mode::pages::{PAGES, Page, SPF};
use crate::attach::mode::{Mode, ModeState};
use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::parameter_list;
use crate::{ByteRange, Op, Outcome, ScsiDisk, Sense, asc};

/// MODE SELECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSelect {
    /// Whether it is the 10-byte command, with its longer header.
    pub ten: bool,
    /// SP: save the values, too.
    pub save: bool,
    /// PARAMETER LIST LENGTH.
    pub len: u32,
}

pub(crate) fn parse_mode_select6(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, false, u32::from(cdb.u8(4)))
}

pub(crate) fn parse_mode_select10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    parse(cdb, true, u32::from(cdb.be16(7)))
}

fn parse(cdb: Cdb<'_>, ten: bool, len: u32) -> Result<Op, Sense> {
    if len > 0 && !cdb.bit(1, 4) {
        // PF zero: pages in a vendor's own format.
        return Err(Cdb::invalid(1, 4));
    }
    Ok(Op::ModeSelect(ModeSelect { ten, save: cdb.bit(1, 0), len }))
}

pub(crate) async fn select<B: Backend>(disk: &ScsiDisk<B>, select: &ModeSelect, data: DataBuf) -> Answer {
    if select.save && !disk.mode.saves() {
        return Err(Cdb::invalid(1, 0).into());
    }
    if select.len == 0 {
        return Ok(Outcome::good());
    }
    let list = parameter_list(&data, select.len)?;
    let medium = Medium { blocks: disk.capacity(), block_size: disk.geometry().block_size };
    // Nothing is written meanwhile, and no other MODE SELECT changes what this one starts from.
    let _claim = disk.locks.freeze(ByteRange { at: 0, len: u64::MAX }).await;
    let wanted = read_list(&disk.mode, &list, select.ten, medium)?;
    change(disk, wanted).await
}

/// Puts new values in force, while no write is running. What a write cache holds that is turned off is
/// made durable before that is acknowledged: nothing is volatile afterwards that an initiator might take
/// for durable.
async fn change<B: Backend>(disk: &ScsiDisk<B>, wanted: ModeState) -> Answer {
    let before = disk.mode.state.get();
    if wanted == before {
        return Ok(Outcome::good());
    }
    if before.write_cache && !wanted.write_cache {
        disk.disk.flush().await?;
    }
    if let Some(keep) = &disk.mode.keep {
        keep(wanted).map_err(|error| IoError::new(IoErrorKind::Internal, error))?;
    }
    disk.mode.state.set(wanted);
    Ok(Outcome::good())
}

/// What a block descriptor may say: the medium as it is.
#[derive(Clone, Copy)]
struct Medium {
    blocks: u64,
    block_size: u32,
}

/// The state that a parameter list asks for.
fn read_list(mode: &Mode, list: &[u8], ten: bool, medium: Medium) -> Result<ModeState, Sense> {
    let header = read_header(list, ten)?;
    read_descriptor(list, &header, medium)?;
    let mut state = mode.state.get();
    let mut at = header.len + header.descriptor;
    while at < list.len() {
        (state, at) = read_page(mode, state, list, at)?;
    }
    Ok(state)
}

struct Header {
    len: usize,
    descriptor: usize,
    long: bool,
}

/// MODE DATA LENGTH is reserved and the device-specific byte ignored for MODE SELECT (SPC-5 7.5.6).
fn read_header(list: &[u8], ten: bool) -> Result<Header, Sense> {
    let header = match (ten, list) {
        (false, &[_, _, _, descriptor, ..]) => Header { len: 4, descriptor: usize::from(descriptor), long: false },
        (true, &[_, _, _, _, flags, _, high, low, ..]) => {
            Header { len: 8, descriptor: usize::from(u16::from_be_bytes([high, low])), long: flags & 1 == 1 }
        }
        _ => return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR)),
    };
    let medium_type = if ten { 2 } else { 1 };
    if list[medium_type] != 0 {
        return Err(Sense::parameter(medium_type));
    }
    Ok(header)
}

/// A block descriptor cannot resize or reformat the medium; it may repeat what is, or say zero.
fn read_descriptor(list: &[u8], header: &Header, medium: Medium) -> Result<(), Sense> {
    let allowed = if header.long { 16 } else { 8 };
    if header.descriptor == 0 {
        return Ok(());
    }
    if header.descriptor != allowed {
        return Err(Sense::parameter(header.len - 1));
    }
    let end = header.len + header.descriptor;
    let bytes = list.get(header.len..end).ok_or(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR))?;
    let number = |field: &[u8]| field.iter().fold(0, |n: u64, b| n << 8 | u64::from(*b));
    let (blocks, size) = if header.long { (&bytes[..8], &bytes[12..]) } else { (&bytes[..4], &bytes[5..]) };
    let all_ones = blocks.iter().all(|b| *b == 0xff);
    if !(number(blocks) == 0 || all_ones || number(blocks) == medium.blocks) {
        return Err(Sense::parameter(header.len));
    }
    if !(number(size) == 0 || number(size) == u64::from(medium.block_size)) {
        return Err(Sense::parameter(end - size.len()));
    }
    Ok(())
}

/// One page at `at`; returns the state with it and where the next one begins.
fn read_page(mode: &Mode, state: ModeState, list: &[u8], at: usize) -> Result<(ModeState, usize), Sense> {
    let page = find_page(list, at)?;
    let current = page.show(mode.shown(state), mode.saves());
    let length = if page.subpage == 0 { 1..2 } else { 2..4 };
    let given = list.get(at..at + page.header_len()).ok_or(TOO_SHORT)?;
    if given[length.clone()] != current[length.clone()] {
        return Err(Sense::parameter(at + length.start));
    }
    let end = at + current.len();
    let bytes = list.get(at..end).ok_or(TOO_SHORT)?;
    let mask = page.mask(mode.changeable(), mode.saves());
    let fixed = (page.header_len()..current.len()).find(|&i| (bytes[i] ^ current[i]) & !mask[i] != 0);
    match fixed {
        Some(i) => Err(Sense::parameter(at + i)),
        None => Ok((take_over(mode, state, page.apply(state, bytes)), end)),
    }
}

const TOO_SHORT: Sense = Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR);

/// The page whose header begins at `at`. PS is reserved here, but initiators that send back what they
/// were shown leave it set.
fn find_page(list: &[u8], at: usize) -> Result<&'static Page, Sense> {
    let &[first, second, ..] = &list[at..] else { return Err(TOO_SHORT) };
    let subpage = if first & SPF == 0 { None } else { Some(second) };
    let is_it = |page: &&Page| first & 0x3f == page.code && subpage == Some(page.subpage).filter(|code| *code != 0);
    PAGES.iter().find(is_it).ok_or_else(|| Sense::parameter(at))
}

/// A bit that is shown differently from how it is held (WCE without a cache) keeps what is held.
fn take_over(mode: &Mode, state: ModeState, page: ModeState) -> ModeState {
    let write_cache = if mode.changeable().write_cache { page.write_cache } else { state.write_cache };
    ModeState { write_cache, ..page }
}
