//! READ BUFFER (10) and (16), WRITE BUFFER (SPC-5 6.18, 6.19, 6.49). EBOS is zero: nobody is told that another initiator has
//! overwritten the echo. The modes of microcode, of vendors and of error history are refused.

use lunette_iobuf::DataBuf;

use super::buffers::CAPACITY;
use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::parameter_list;
use crate::{Op, Outcome, ScsiDisk, Sense};

/// BUFFER ID of the data buffer; there is no other.
const DATA_BUFFER: u8 = 0;

/// MODE (SPC-5 tables 226 and 312).
mod mode {
    pub const DATA: u8 = 0x02;
    pub const DESCRIPTOR: u8 = 0x03;
    pub const ECHO: u8 = 0x0a;
    pub const ECHO_DESCRIPTOR: u8 = 0x0b;
}

/// READ BUFFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBuffer {
    /// What is read.
    pub what: BufferPart,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

/// WRITE BUFFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBuffer {
    /// What is written: data or echo.
    pub what: BufferPart,
    /// PARAMETER LIST LENGTH.
    pub len: u32,
}

/// What a buffer command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferPart {
    /// The data buffer from this byte on.
    Data {
        /// BUFFER OFFSET, within the buffer.
        offset: u16,
    },
    /// How large a data buffer is.
    Descriptor {
        /// BUFFER ID.
        id: u8,
    },
    /// The echo buffer.
    Echo,
    /// How large the echo buffer is.
    EchoDescriptor,
}

pub(crate) fn parse_read_buffer10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let what = part(cdb, (2, cdb.u8(2)), (3, u64::from(cdb.be24(3))))?;
    Ok(Op::ReadBuffer(ReadBuffer { what, allocation: cdb.be24(6) }))
}

pub(crate) fn parse_read_buffer16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let what = part(cdb, (14, cdb.u8(14)), (2, cdb.be64(2)))?;
    Ok(Op::ReadBuffer(ReadBuffer { what, allocation: cdb.be32(10) }))
}

pub(crate) fn parse_write_buffer(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let what = match part(cdb, (2, cdb.u8(2)), (3, u64::from(cdb.be24(3))))? {
        BufferPart::Descriptor { .. } | BufferPart::EchoDescriptor => return Err(Cdb::invalid(1, 4)),
        what => what,
    };
    let (offset, len) = (what.offset(), cdb.be24(6));
    if len > u32::from(CAPACITY - offset) {
        return Err(Cdb::invalid(6, 7));
    }
    Ok(Op::WriteBuffer(WriteBuffer { what, len }))
}

/// What a CDB is about; `id` and `offset` with the bytes where they stand. The echo modes have neither, and ignore
/// what is there.
fn part(cdb: Cdb<'_>, (id_byte, id): (u16, u8), (offset_byte, offset): (u16, u64)) -> Result<BufferPart, Sense> {
    match cdb.u8(1) {
        mode::DATA if id != DATA_BUFFER => Err(Cdb::invalid(id_byte, 7)),
        mode::DATA => match u16::try_from(offset).ok().filter(|offset| *offset <= CAPACITY) {
            Some(offset) => Ok(BufferPart::Data { offset }),
            None => Err(Cdb::invalid(offset_byte, 7)),
        },
        mode::DESCRIPTOR => Ok(BufferPart::Descriptor { id }),
        mode::ECHO => Ok(BufferPart::Echo),
        mode::ECHO_DESCRIPTOR => Ok(BufferPart::EchoDescriptor),
        _ => Err(Cdb::invalid(1, 4)),
    }
}

impl BufferPart {
    /// Where in its buffer it begins.
    fn offset(self) -> u16 {
        match self {
            Self::Data { offset } => offset,
            Self::Descriptor { .. } | Self::Echo | Self::EchoDescriptor => 0,
        }
    }
}

pub(crate) fn read_buffer<B>(disk: &ScsiDisk<B>, what: BufferPart) -> Result<Vec<u8>, Sense> {
    let [high, low] = CAPACITY.to_be_bytes();
    Ok(match what {
        BufferPart::Data { offset } => disk.buffers.data_from(offset),
        // OFFSET BOUNDARY 00h: any byte. A buffer that does not exist is of no size (SPC-5 6.18.5).
        BufferPart::Descriptor { id: DATA_BUFFER } => vec![0, 0, high, low],
        BufferPart::Descriptor { .. } => vec![0; 4],
        BufferPart::Echo => disk.buffers.echo()?,
        BufferPart::EchoDescriptor => vec![0, 0, high, low],
    })
}

pub(crate) fn write_buffer<B>(disk: &ScsiDisk<B>, write: WriteBuffer, data: &DataBuf) -> Answer {
    let list = parameter_list(data, write.len)?;
    match write.what {
        BufferPart::Data { offset } => disk.buffers.write_data(offset, &list),
        _ => disk.buffers.write_echo(list),
    }
    Ok(Outcome::good())
}
