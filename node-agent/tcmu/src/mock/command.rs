//! One command on the kernel's side: how it is laid out, and what the initiator gets for a response.

use super::blocks::{self, Blocks};
use super::{Tag, status};
use crate::SENSE_SIZE;
use crate::abi::{command as layout, uflag};

/// What an initiator sends. With both data it is bidirectional.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The CDB.
    pub cdb: Vec<u8>,
    /// Data-Out.
    pub data_out: Vec<u8>,
    /// Bytes of Data-In expected.
    pub data_in_len: usize,
}

impl Request {
    /// A command without data.
    #[must_use]
    pub fn bare(cdb: &[u8]) -> Self {
        Self { cdb: cdb.into(), ..Self::default() }
    }

    /// A command that reads up to `len` bytes.
    #[must_use]
    pub fn reading(cdb: &[u8], len: usize) -> Self {
        Self { cdb: cdb.into(), data_in_len: len, ..Self::default() }
    }

    /// A command that writes `data`.
    #[must_use]
    pub fn writing(cdb: &[u8], data: &[u8]) -> Self {
        Self { cdb: cdb.into(), data_out: data.into(), ..Self::default() }
    }
}

/// What an initiator gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// SAM status code.
    pub status: u8,
    /// Sense data, for CHECK CONDITION; else zero.
    pub sense: [u8; SENSE_SIZE],
    /// Data-In: all that was expected, or as much as `read_len` said; nothing with a CHECK CONDITION
    /// that gives no `read_len`.
    pub data: Vec<u8>,
}

impl Completion {
    pub(super) fn of_status(status: u8) -> Self {
        Self { status, sense: [0; SENSE_SIZE], data: Vec::new() }
    }

    fn check_condition(key: u8, asc: u8) -> Self {
        let mut sense = [0; SENSE_SIZE];
        (sense[0], sense[2], sense[7], sense[12]) = (0x70, key, 0x0a, asc);
        Self { status: status::CHECK_CONDITION, sense, data: Vec::new() }
    }

    /// NOT READY, LOGICAL UNIT COMMUNICATION FAILURE: what the kernel says when the agent is no use.
    pub(super) fn communication_failure() -> Self {
        Self::check_condition(0x02, 0x08)
    }

    /// ILLEGAL REQUEST, INVALID FIELD IN CDB.
    pub(super) fn invalid_field() -> Self {
        Self::check_condition(0x05, 0x24)
    }
}

/// A command with its place in the data area, before it has one in the ring.
pub struct Queued {
    /// Bytes of the entry.
    pub len: u32,
    /// Where in the entry the CDB goes.
    pub cdb_at: usize,
    pub out_blocks: Vec<usize>,
    pub in_blocks: Vec<usize>,
    /// Data-Out, or Data-In if there is nothing else.
    pub out_iovs: Vec<(usize, usize)>,
    /// Data-In of a bidirectional command.
    pub bidi_iovs: Vec<(usize, usize)>,
}

impl Queued {
    /// Takes the blocks; nothing if there are too few.
    pub fn plan(request: &Request, area: &mut Blocks, block_size: usize) -> Option<Self> {
        let (out_len, in_len) = (request.data_out.len(), request.data_in_len);
        let (outs, ins) = (out_len.div_ceil(block_size), in_len.div_ceil(block_size));
        let mut out_blocks = area.take(outs + ins)?;
        let in_blocks = out_blocks.split_off(outs);
        let out = blocks::iovecs(&out_blocks, block_size, out_len);
        let incoming = blocks::iovecs(&in_blocks, block_size, in_len);
        let (out_iovs, bidi_iovs) = if outs == 0 { (incoming, out) } else { (out, incoming) };
        let iovs = out_iovs.len() + bidi_iovs.len();
        let cdb_at = (layout::IOV + iovs * layout::IOV_SIZE).max(layout::SIZE as usize);
        let len = u32::try_from(cdb_at + request.cdb.len().next_multiple_of(8)).expect("few iovecs");
        Some(Self { len, cdb_at, out_blocks, in_blocks, out_iovs, bidi_iovs })
    }

    pub fn running(self, tag: Tag, request: &Request) -> Running {
        let reads_only = request.data_out.is_empty() && request.data_in_len > 0;
        Running {
            tag,
            out_blocks: self.out_blocks,
            in_blocks: self.in_blocks,
            in_len: request.data_in_len,
            reads_only,
            expired: false,
        }
    }
}

/// A command that the agent has yet to answer.
pub struct Running {
    pub tag: Tag,
    pub out_blocks: Vec<usize>,
    pub in_blocks: Vec<usize>,
    in_len: usize,
    reads_only: bool,
    pub expired: bool,
}

/// What stands in a slot.
pub struct Response {
    pub uflags: u8,
    pub status: u8,
    pub read_len: u32,
    pub sense: [u8; SENSE_SIZE],
}

impl Running {
    /// What the initiator gets (`tcmu_handle_completion`).
    pub fn complete(&self, response: &Response, read_len_known: bool, gather: impl Fn(usize) -> Vec<u8>) -> Completion {
        if response.uflags & uflag::UNKNOWN_OP != 0 {
            return Completion::communication_failure();
        }
        let valid =
            read_len_known && self.reads_only && response.uflags & uflag::READ_LEN != 0 && response.read_len > 0;
        let len = if valid { self.in_len.min(response.read_len as usize) } else { self.in_len };
        let failed = response.status == status::CHECK_CONDITION;
        let data = if failed && !valid { Vec::new() } else { gather(len) };
        let sense = if failed { response.sense } else { [0; SENSE_SIZE] };
        Completion { status: response.status, sense, data }
    }
}
