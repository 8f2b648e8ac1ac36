//! The parameter list of EXTENDED COPY, of both kinds (SPC-5 6.6, 6.7): header, CSCD descriptors (copy
//! source or copy destination), segment descriptors.

use lunette_backend::Backend;

use crate::attach::identification;
use crate::cdb::Cdb;
use crate::copy::results::ListId;
use crate::copy::{MAX_CSCDS, MAX_DESCRIPTORS, MAX_SEGMENTS, max_segment};
use crate::{ByteRange, Field, LbaRange, ScsiDisk, Sense, SenseKey, asc};

/// Bytes of a CSCD descriptor.
pub const CSCD: usize = 32;
/// Bytes of a block device to block device segment descriptor.
pub const BLOCKS: usize = 28;

/// Descriptor type code of a block device to block device segment.
pub const BLOCK_TO_BLOCK: u8 = 0x02;
/// Descriptor type code of an identification CSCD.
pub const IDENTIFICATION: u8 = 0xe4;

/// A list, understood and checked.
pub struct CopyList {
    /// By which its results are asked for, if they are to be kept.
    pub id: Option<ListId>,
    /// What to copy, in order.
    pub segments: Vec<Segment>,
}

/// One copy, inside the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From here.
    pub source: ByteRange,
    /// To here; of the same length.
    pub target: ByteRange,
}

const LENGTH_ERROR: Sense = Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR);

/// Reads a list of LID4 (`long`) or LID1.
///
/// # Errors
/// What is wrong with it: ILLEGAL REQUEST for its form; COPY ABORTED for a segment that cannot be copied.
pub fn read<B: Backend>(disk: &ScsiDisk<B>, list: &[u8], long: bool) -> Result<CopyList, Sense> {
    let header = if long { read_long_header(list)? } else { read_short_header(list)? };
    let id = header.id()?;
    let (cscds, segments) = header.descriptors(list)?;
    let at = header.len + cscds.len();
    let cscds = read_cscds(disk, cscds, header.len)?;
    Ok(CopyList { id, segments: read_segments(disk, segments, at, &cscds)? })
}

/// What a header says, with where the descriptors begin.
struct Header {
    len: usize,
    list_id: ListId,
    usage: u8,
    cscds: u32,
    segments: u32,
    inline: u32,
}

fn read_short_header(list: &[u8]) -> Result<Header, Sense> {
    const LEN: usize = 16;
    let header = Cdb::new(list.get(..LEN).ok_or(LENGTH_ERROR)?);
    Ok(Header {
        len: LEN,
        list_id: ListId::Short(header.u8(0)),
        usage: header.u8(1) >> 3 & 3,
        cscds: u32::from(header.be16(2)),
        segments: header.be32(8),
        inline: header.be32(12),
    })
}

/// The longer header begins as a shorter one with a CSCD that nobody understands, so that devices of
/// SPC-3 refuse it. IMMED and G_SENSE are refused: status comes when the copy ended, and LIO carries no
/// sense with GOOD.
fn read_long_header(list: &[u8]) -> Result<Header, Sense> {
    const LEN: usize = 48;
    let header = Cdb::new(list.get(..LEN).ok_or(LENGTH_ERROR)?);
    let fixed = [
        (0, header.u8(0) == 0x01),
        (2, header.be16(2) == 0x20),
        (15, header.u8(15) & 3 == 0),
        (16, header.u8(16) == 0xff),
    ];
    if let Some((at, _)) = fixed.into_iter().find(|(_, right)| !right) {
        return Err(Sense::parameter(at));
    }
    Ok(Header {
        len: LEN,
        list_id: ListId::Long(header.be32(20)),
        usage: header.u8(1) >> 3 & 3,
        cscds: u32::from(header.be16(42)),
        segments: u32::from(header.be16(44)),
        inline: u32::from(header.be16(46)),
    })
}

impl Header {
    /// The identifier, if results are to be kept under it (LIST ID USAGE, SPC-5 table 107).
    fn id(&self) -> Result<Option<ListId>, Sense> {
        const HOLD: u8 = 0;
        const DISCARD: u8 = 2;
        const NONE: u8 = 3;
        match self.usage {
            HOLD => Ok(Some(self.list_id)),
            DISCARD => Ok(None),
            NONE if matches!(self.list_id, ListId::Short(0) | ListId::Long(0)) => Ok(None),
            NONE => Err(Sense::parameter(if matches!(self.list_id, ListId::Short(_)) { 0 } else { 20 })),
            _ => Err(Sense::parameter(1)),
        }
    }

    /// The two lists of descriptors, within what is allowed.
    fn descriptors<'a>(&self, list: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Sense> {
        let described = u64::from(self.cscds) + u64::from(self.segments);
        let whole = self.len as u64 + described + u64::from(self.inline);
        if described > u64::from(MAX_DESCRIPTORS) || whole > list.len() as u64 {
            return Err(LENGTH_ERROR);
        }
        if self.inline > 0 {
            return Err(Sense::illegal(asc::INLINE_DATA_LENGTH_EXCEEDED));
        }
        let cscds = usize::try_from(self.cscds).unwrap_or(usize::MAX);
        let segments = usize::try_from(self.segments).unwrap_or(usize::MAX);
        let (cscds, rest) = list[self.len..].split_at_checked(cscds).ok_or(LENGTH_ERROR)?;
        Ok((cscds, rest.get(..segments).ok_or(LENGTH_ERROR)?))
    }
}

/// What a CSCD descriptor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cscd {
    /// This unit.
    Own,
    /// The null device.
    Null,
    /// Another device, which is not reached from here.
    Elsewhere,
}

fn read_cscds<B: Backend>(disk: &ScsiDisk<B>, list: &[u8], at: usize) -> Result<Vec<Cscd>, Sense> {
    if !list.len().is_multiple_of(CSCD) {
        return Err(LENGTH_ERROR);
    }
    if list.len() / CSCD > usize::from(MAX_CSCDS) {
        return Err(Sense::illegal(asc::TOO_MANY_TARGET_DESCRIPTORS));
    }
    list.chunks_exact(CSCD).enumerate().map(|(i, cscd)| read_cscd(disk, cscd, at + CSCD * i)).collect()
}

/// An identification descriptor CSCD (SPC-5 6.6.5.4): a designation descriptor in the midst of it, and the
/// block length at its end. LU ID TYPE says what a LU IDENTIFIER is, and here is none: it is ignored.
fn read_cscd<B: Backend>(disk: &ScsiDisk<B>, cscd: &[u8], at: usize) -> Result<Cscd, Sense> {
    const NUL: u8 = 0x20;
    const LONGEST: u8 = 20;
    if cscd[0] != IDENTIFICATION {
        return Err(Sense::illegal(asc::UNSUPPORTED_TARGET_DESCRIPTOR).at(pointer(at)));
    }
    if cscd[1] & NUL != 0 {
        return Ok(Cscd::Null);
    }
    if cscd[7] > LONGEST {
        return Err(Sense::parameter(at + 7));
    }
    let designator = &cscd[8..8 + usize::from(cscd[7])];
    let named = [&[cscd[4] & 0x0f, cscd[5] & 0x3f, 0, cscd[7]], designator].concat();
    let id = &disk.config.identity;
    if named != identification::naa(id) && (named != identification::uuid(id) || id.uuid.is_none()) {
        return Ok(Cscd::Elsewhere);
    }
    let block = u32::from_be_bytes([0, cscd[29], cscd[30], cscd[31]]);
    if block == disk.block_size().bytes() { Ok(Cscd::Own) } else { Err(Sense::parameter(at + 29)) }
}

fn read_segments<B: Backend>(
    disk: &ScsiDisk<B>,
    mut list: &[u8],
    mut at: usize,
    cscds: &[Cscd],
) -> Result<Vec<Segment>, Sense> {
    let mut segments = Vec::new();
    while !list.is_empty() {
        if segments.len() >= usize::from(MAX_SEGMENTS) {
            return Err(Sense::illegal(asc::TOO_MANY_SEGMENT_DESCRIPTORS));
        }
        let number = u16::try_from(segments.len()).unwrap_or(u16::MAX);
        let descriptor = next_descriptor(list, at)?;
        segments.push(read_segment(disk, descriptor, at, cscds, number)?);
        list = &list[descriptor.len()..];
        at += descriptor.len();
    }
    Ok(segments)
}

/// The segment descriptor at the beginning: its type is known and its length right.
fn next_descriptor(list: &[u8], at: usize) -> Result<&[u8], Sense> {
    if list[0] != BLOCK_TO_BLOCK {
        return Err(Sense::illegal(asc::UNSUPPORTED_SEGMENT_DESCRIPTOR).at(pointer(at)));
    }
    let descriptor = list.get(..BLOCKS).ok_or(LENGTH_ERROR)?;
    let len = u16::from_be_bytes([descriptor[2], descriptor[3]]);
    if usize::from(len) == BLOCKS - 4 { Ok(descriptor) } else { Err(Sense::parameter(at + 2)) }
}

/// A block device to block device segment (SPC-5 6.6.6.3). DC and CAT make no difference between blocks of
/// one size.
fn read_segment<B: Backend>(
    disk: &ScsiDisk<B>,
    bytes: &[u8],
    at: usize,
    cscds: &[Cscd],
    number: u16,
) -> Result<Segment, Sense> {
    let d = Cdb::new(bytes);
    for id in [d.be16(4), d.be16(6)] {
        reach(cscds, id).map_err(|code| aborted(code, number))?;
    }
    let blocks = u32::from(d.be16(10));
    if u64::from(blocks) * u64::from(disk.block_size().bytes()) > u64::from(max_segment(disk.block_size())) {
        return Err(Sense::parameter(at + 10));
    }
    // What would be outside is an error of the copy, not of its list (SPC-5 5.17.7.4).
    let locate = |lba| disk.locate(LbaRange::new(lba, blocks)).map_err(|_| aborted(asc::NO_ADDITIONAL_SENSE, number));
    Ok(Segment { source: locate(d.be64(12))?, target: locate(d.be64(20))? })
}

/// Whether a CSCD descriptor ID leads to this unit.
fn reach(cscds: &[Cscd], id: u16) -> Result<(), asc::Asc> {
    const COPY_MANAGER: u16 = 0xffff;
    match cscds.get(usize::from(id)) {
        _ if id == COPY_MANAGER => Ok(()),
        Some(Cscd::Own) => Ok(()),
        Some(Cscd::Elsewhere) => Err(asc::COPY_TARGET_NOT_REACHABLE),
        Some(Cscd::Null) | None => Err(asc::UNREACHABLE_COPY_TARGET),
    }
}

/// COPY ABORTED in a segment.
pub fn aborted(code: asc::Asc, segment: u16) -> Sense {
    Sense::new(SenseKey::CopyAborted, code).in_segment(segment)
}

fn pointer(at: usize) -> Field {
    Field::parameter(u16::try_from(at).unwrap_or(u16::MAX), None)
}
