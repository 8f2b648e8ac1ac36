//! What comes out of the ring and what goes back in, as values of our own.
//!
//! Everything here is a copy, except the data: a response may overwrite the entry of a command that is
//! still running, so nothing may point into the ring once `Ring::next` has returned.

use std::fmt;
use std::ops::Deref;

use lunette_iobuf::DataBuf;
use smallvec::SmallVec;

use crate::Ticket;

/// One thing that the kernel asks or tells.
#[derive(Debug)]
pub enum Entry {
    /// A SCSI command; it needs exactly one reply.
    Command(Command),
    /// A task management function is under way. It needs no reply, but the kernel waits until the
    /// listed commands have had theirs. Sent only with `attrib/tmr_notification=1`.
    TaskManagement {
        /// Which function.
        kind: TmrKind,
        /// The commands it concerns, by [`Ticket::id`]; some may have been answered by now.
        cmd_ids: SmallVec<[u16; 8]>,
    },
}

/// One SCSI command.
#[derive(Debug)]
pub struct Command {
    /// The right to answer it.
    pub ticket: Ticket,
    /// The command descriptor block, of the length that its operation code implies.
    pub cdb: CdbBytes,
    /// The initiator's buffer, as long as it expects to transfer (EDTL), whatever the CDB says:
    /// filled for a Data-Out command, to be filled for a Data-In command. The ring does not say
    /// which; the operation code does. Reused blocks hold older data of this LUN, so a Data-In command
    /// must write every byte, or say how many it wrote with [`Reply::read_len`].
    pub data: DataBuf,
    /// The Data-In buffer of a bidirectional command, whose `data` is then Data-Out.
    pub bidi: Option<Box<DataBuf>>,
}

/// A CDB: a slice of up to [`MAX_CDB`](crate::MAX_CDB) bytes that needs no allocation up to 32.
#[derive(Clone)]
pub struct CdbBytes(Bytes);

#[derive(Clone)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Long(Box<[u8]>),
}

/// Holds every fixed-length CDB and the 32-byte READ and WRITE.
const INLINE: usize = 32;

impl CdbBytes {
    /// A CDB of `len` bytes out of the whole words that hold it: the first, then `word(1)` and on.
    #[inline]
    pub(crate) fn from_words(len: usize, first: u64, word: impl Fn(usize) -> u64) -> Self {
        match u8::try_from(len) {
            Ok(short) if len <= INLINE => {
                let mut bytes = [0; INLINE];
                fill(&mut bytes, len.div_ceil(8), first, word);
                Self(Bytes::Inline { len: short, bytes })
            }
            _ => Self(Bytes::Long(long(len, first, word))),
        }
    }
}

#[inline]
fn fill(bytes: &mut [u8], words: usize, first: u64, word: impl Fn(usize) -> u64) {
    let (chunks, _) = bytes.as_chunks_mut();
    for (i, chunk) in chunks.iter_mut().enumerate().take(words) {
        *chunk = if i == 0 { first } else { word(i) }.to_ne_bytes();
    }
}

#[cold]
fn long(len: usize, first: u64, word: impl Fn(usize) -> u64) -> Box<[u8]> {
    let words = len.div_ceil(8);
    let mut bytes = vec![0; words * 8];
    fill(&mut bytes, words, first, word);
    bytes.truncate(len);
    bytes.into_boxed_slice()
}

impl Deref for CdbBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for CdbBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", &**self)
    }
}

/// A task management function (`TCMU_TMR_*` in target_core_user.h; SAM-5 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TmrKind {
    /// ABORT TASK.
    AbortTask,
    /// ABORT TASK SET.
    AbortTaskSet,
    /// CLEAR ACA.
    ClearAca,
    /// CLEAR TASK SET.
    ClearTaskSet,
    /// LOGICAL UNIT RESET.
    LunReset,
    /// Target warm reset.
    TargetWarmReset,
    /// Target cold reset.
    TargetColdReset,
    /// Not asked by an initiator: commands ended by PERSISTENT RESERVE OUT, PREEMPT AND ABORT.
    PreemptAndAbort,
    /// A number this code does not know.
    Other(u8),
}

impl From<u8> for TmrKind {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::AbortTask,
            2 => Self::AbortTaskSet,
            3 => Self::ClearAca,
            4 => Self::ClearTaskSet,
            5 => Self::LunReset,
            6 => Self::TargetWarmReset,
            7 => Self::TargetColdReset,
            128 => Self::PreemptAndAbort,
            other => Self::Other(other),
        }
    }
}

/// The answer to one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply<'a> {
    /// SAM status code. The kernel passes it on unchecked.
    pub status: u8,
    /// Sense data, for CHECK CONDITION; up to [`SENSE_SIZE`](crate::SENSE_SIZE) bytes of it are sent.
    pub sense: &'a [u8],
    /// How many bytes of a Data-In buffer hold data, where fewer than its length. The kernel ignores
    /// it for other commands, and cannot be told zero: then fill the buffer instead. Needs
    /// [`Features::read_len`](crate::Features::read_len), else it is dropped here.
    pub read_len: Option<u32>,
}

impl Reply<'_> {
    /// GOOD, all data transferred.
    pub const GOOD: Reply<'static> = Reply { status: 0, sense: &[], read_len: None };
}
