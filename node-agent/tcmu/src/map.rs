//! The shared mapping: the only place that touches its bytes.
//!
//! The kernel writes this memory while we read it, so no `&` or `&mut` ever covers it: reads are
//! volatile copies taken once, writes are volatile, and the two cursors are atomics. Where an access is
//! allowed is carried by types made here after a bounds check: [`Header`] (8 bytes of an entry),
//! [`CommandSlot`] (a whole command entry) and [`Segment`] (bytes of the data area); each is good for
//! the one map that made it. There is no function that writes `len_op`: the kernel walks the ring by it
//! while holding its lock, and would never come back from a wrong one.

// UNSAFETY: volatile and atomic access to memory shared with the kernel.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::iovec;
use lunette_iobuf::DataBuf;
use memmap2::MmapRaw;

use crate::abi::{self, capability, command, header, mailbox, op, tmr, uflag};
use crate::journal::{Journal, Owner};
use crate::{Reply, cursor};

/// What becomes of a command's buffers with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Buffers {
    /// The kernel has them back.
    Returned = 0,
    /// They stay ours until the id is written to `action/free_kept_buf`.
    Kept = uflag::KEEP_BUF,
}

/// What this kernel's ring can do beyond the least that we ask for (mailbox flags, never a kernel version).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// [`Reply::read_len`] is understood.
    pub read_len: bool,
    /// Task management functions can be announced in the ring.
    pub task_management: bool,
    /// A command's buffers can stay ours after its answer: [`Ring::give_up`](crate::Ring::give_up).
    pub keep_buf: bool,
}

/// The mapping is not a ring that we can serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Less than a mailbox.
    #[error(
        "the mapping has {len} bytes, too few for a mailbox: check that this UIO device belongs to target_core_user"
    )]
    TooSmall {
        /// Bytes mapped.
        len: usize,
    },
    /// Another ABI.
    #[error(
        "the TCMU mailbox has version {found}, and this agent knows version 2 only: use an agent made for this kernel"
    )]
    Version {
        /// What the mailbox says.
        found: u16,
    },
    /// Commands could be answered in order only.
    #[error("this kernel's TCMU ring cannot complete out of order (mailbox flags {flags:#x}): use a newer kernel")]
    InOrderOnly {
        /// What the mailbox says.
        flags: u16,
    },
    /// The ring is not inside the mapping.
    #[error("the TCMU mailbox puts a ring of {size} bytes at {off} in a mapping of {len}: create the backstore anew")]
    Layout {
        /// `cmdr_off`.
        off: u32,
        /// `cmdr_size`.
        size: u32,
        /// Bytes mapped.
        len: usize,
    },
    /// The tail is no place in the ring.
    #[error("the TCMU mailbox has its tail at {tail} in a ring of {size} bytes: reset the ring and attach again")]
    Tail {
        /// `cmd_tail`.
        tail: u32,
        /// `cmdr_size`.
        size: u32,
    },
}

/// One TCMU region whose layout has been checked.
///
/// Invariant: `ring_off` is a multiple of 8, at least a mailbox, and `[ring_off, ring_off + ring_size)`
/// and `[data_off, len)` lie in the mapping and do not overlap.
pub(crate) struct Map {
    raw: MmapRaw,
    ring_off: usize,
    ring_size: u32,
    data_off: u64,
    flags: u16,
}

/// A word of the ABI: any bits are a value.
pub(crate) trait Word: Copy {}
impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}

/// The first eight bytes of an entry, copied, and where they lie in the ring (checked).
#[derive(Clone, Copy)]
pub(crate) struct Header {
    at: u32,
    len_op: u32,
    pub cmd_id: u16,
}

/// What an entry is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pad,
    Command,
    TaskManagement,
    Unknown,
}

impl Header {
    /// Offset in the ring.
    pub fn at(&self) -> u32 {
        self.at
    }

    /// Length of the whole entry in bytes, a multiple of eight. Not checked.
    pub fn len(&self) -> u32 {
        self.len_op & !header::OP_MASK
    }

    pub fn kind(&self) -> Kind {
        match self.len_op & header::OP_MASK {
            op::PAD => Kind::Pad,
            op::CMD => Kind::Command,
            op::TMR => Kind::TaskManagement,
            _ => Kind::Unknown,
        }
    }
}

/// A command's entry: `len` bytes at `at`, at least `sizeof(struct tcmu_cmd_entry)`, inside the ring.
#[derive(Clone, Copy)]
pub(crate) struct CommandSlot {
    at: u32,
    len: u32,
}

impl CommandSlot {
    /// Offset in the ring.
    pub fn at(self) -> u32 {
        self.at
    }

    /// Bytes of the entry from byte `at` on.
    pub fn room_from(self, at: usize) -> usize {
        (self.len as usize).saturating_sub(at)
    }
}

/// The fixed part of a command's request, copied. Not checked.
pub(crate) struct Request {
    pub iov_cnt: u32,
    pub bidi_cnt: u32,
    pub cdb_off: u64,
}

/// Bytes of the data area.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    at: usize,
    len: usize,
}

impl Segment {
    /// Offset in the mapping, and length: what [`Map::segment`] takes.
    #[inline]
    pub fn place(&self) -> (u64, u64) {
        (self.at as u64, self.len as u64)
    }
}

impl Map {
    /// Checks the layout; the memory comes back if it is none that we know.
    pub fn new(raw: MmapRaw) -> Result<Self, (AttachError, MmapRaw)> {
        let mut map = Self { raw, ring_off: 0, ring_size: 0, data_off: 0, flags: 0 };
        match map.check() {
            Ok(()) => Ok(map),
            Err(error) => Err((error, map.raw)),
        }
    }

    /// The memory, given up.
    pub fn into_raw(self) -> MmapRaw {
        self.raw
    }

    /// Whose a journal of this ring is.
    pub fn owner_of(&self, journal: &Journal, incarnation: u64) -> Owner {
        journal.owner(incarnation, self.ring_size, self.raw.len())
    }

    fn check(&mut self) -> Result<(), AttachError> {
        let len = self.raw.len();
        if len < mailbox::SIZE {
            return Err(AttachError::TooSmall { len });
        }
        self.check_abi()?;
        self.check_layout()
    }

    fn check_abi(&mut self) -> Result<(), AttachError> {
        // SAFETY: `check` saw that a whole mailbox is mapped.
        let (version, flags) = unsafe { (self.load(mailbox::VERSION), self.load(mailbox::FLAGS)) };
        if version != abi::MAILBOX_VERSION {
            return Err(AttachError::Version { found: version });
        }
        if flags & capability::OUT_OF_ORDER == 0 {
            return Err(AttachError::InOrderOnly { flags });
        }
        self.flags = flags;
        Ok(())
    }

    fn check_layout(&mut self) -> Result<(), AttachError> {
        // SAFETY: `check` saw that a whole mailbox is mapped.
        let (off, size): (u32, u32) = unsafe { (self.load(mailbox::CMDR_OFF), self.load(mailbox::CMDR_SIZE)) };
        let len = self.raw.len();
        let end = u64::from(off) + u64::from(size);
        let aligned = off.is_multiple_of(8) && size.is_multiple_of(8);
        if !aligned || (off as usize) < mailbox::SIZE || size < command::SIZE || end > len as u64 {
            return Err(AttachError::Layout { off, size, len });
        }
        self.ring_off = off as usize;
        self.ring_size = size;
        self.data_off = end;
        Ok(())
    }

    pub fn features(&self) -> Features {
        Features {
            read_len: self.flags & capability::READ_LEN != 0,
            task_management: self.flags & capability::TMR != 0,
            keep_buf: self.flags & capability::KEEP_BUF != 0,
        }
    }

    /// Bytes of the ring.
    pub fn ring_size(&self) -> u32 {
        self.ring_size
    }

    /// Bytes of the data area.
    pub fn data_size(&self) -> u64 {
        self.raw.len() as u64 - self.data_off
    }

    /// Where the kernel will put its next entry, as it says. What it wrote before is visible after this.
    pub fn head(&self) -> u32 {
        self.cursor(mailbox::CMD_HEAD).load(Ordering::Acquire)
    }

    /// The tail as the kernel sees it. Only `reset_ring` changes it beside us.
    pub fn tail(&self) -> u32 {
        self.cursor(mailbox::CMD_TAIL).load(Ordering::Relaxed)
    }

    /// Hands all entries before `tail` back: every response must have been written. The kernel may
    /// look at any moment, not only after a kick (`tcmu_unmap_work_fn` and `block_dev` in TCU).
    pub fn store_tail(&self, tail: u32) {
        debug_assert!(cursor::is_valid(tail, self.ring_size));
        #[cfg(test)]
        crate::fuse::burn();
        self.cursor(mailbox::CMD_TAIL).store(tail, Ordering::Release);
    }

    fn cursor(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the mailbox is mapped (`check`) as long as `self`, page-aligned, and `at` is a multiple of
        // four in it. On our side these words are accessed through atomics only.
        unsafe { AtomicU32::from_ptr(self.raw.as_mut_ptr().add(at).cast()) }
    }

    /// The header at ring offset `at`; nothing if that is no place in the ring.
    pub fn header(&self, at: u32) -> Option<Header> {
        if !cursor::is_valid(at, self.ring_size) {
            return None;
        }
        let base = self.ring_off + at as usize;
        // SAFETY: `at` and the ring's size are multiples of 8, so 8 bytes from `at` are in the ring.
        let (len_op, cmd_id) = unsafe { (self.load(base + header::LEN_OP), self.load(base + header::CMD_ID)) };
        Some(Header { at, len_op, cmd_id })
    }

    /// Tells the kernel that we do not know this operation.
    pub fn mark_unknown(&self, entry: Header) {
        // SAFETY: a `Header` is 8 bytes in the ring.
        unsafe { self.store(self.ring_off + entry.at as usize + header::UFLAGS, uflag::UNKNOWN_OP) }
    }

    /// The whole of a command's entry, if it can be one.
    pub fn command(&self, entry: Header) -> Option<CommandSlot> {
        let len = entry.len();
        let fits = len >= command::SIZE && len <= self.ring_size - entry.at;
        fits.then_some(CommandSlot { at: entry.at, len })
    }

    pub fn request(&self, slot: CommandSlot) -> Request {
        let base = self.base(slot);
        // SAFETY: the fixed part is shorter than a `CommandSlot` and aligned like its 8-aligned start.
        unsafe {
            Request {
                iov_cnt: self.load(base + command::IOV_CNT),
                bidi_cnt: self.load(base + command::IOV_BIDI_CNT),
                cdb_off: self.load(base + command::CDB_OFF),
            }
        }
    }

    /// The iovecs of a request, Data-In of a bidirectional command last: base and length as the kernel
    /// wrote them, each copied once; nothing if they are not all in the entry.
    pub fn iovecs(&self, slot: CommandSlot, request: &Request) -> Option<impl Iterator<Item = (u64, u64)>> {
        let count = request.iov_cnt as usize + request.bidi_cnt as usize;
        if count > slot.room_from(command::IOV) / command::IOV_SIZE {
            return None;
        }
        let first = self.base(slot) + command::IOV;
        Some((0..count).map(move |n| {
            let at = first + command::IOV_SIZE * n;
            // SAFETY: `count` iovecs are in the slot, just checked; 8-aligned as its start is.
            unsafe { (self.load(at), self.load(at + 8)) }
        }))
    }

    /// Where in the entry the CDB starts, if `cdb_off` (an offset of the mapping) is a place in it. The
    /// kernel puts it after the iovecs (`queue_cmd_ring`), 8-aligned; elsewhere a response could have
    /// overwritten it.
    pub fn cdb_at(&self, slot: CommandSlot, cdb_off: u64) -> Option<usize> {
        let at = usize::try_from(cdb_off).ok()?.checked_sub(self.base(slot))?;
        (at >= command::IOV && at.is_multiple_of(8) && at < slot.len as usize).then_some(at)
    }

    /// Eight bytes of an entry from byte `at`; nothing if they are not all in it.
    pub fn word(&self, slot: CommandSlot, at: usize) -> Option<u64> {
        if !at.is_multiple_of(8) || at >= slot.len as usize {
            return None;
        }
        // SAFETY: `at` and the slot's length are multiples of 8, so 8 bytes from `at` are in the slot.
        unsafe { Some(self.load(self.base(slot) + at)) }
    }

    /// Bytes `[base, base + len)` of the mapping, if all of them are data area.
    pub fn segment(&self, base: u64, len: u64) -> Option<Segment> {
        let end = self.raw.len() as u64;
        if base < self.data_off || base > end || len > end - base {
            return None;
        }
        Some(Segment { at: usize::try_from(base).ok()?, len: usize::try_from(len).ok()? })
    }

    /// The buffer of one command, from its checked segments of together at most the data area's size.
    pub fn buffer(self: &Arc<Self>, segments: &[Segment]) -> DataBuf {
        if segments.is_empty() {
            return DataBuf::empty();
        }
        let iovecs = segments.iter().map(|segment| iovec {
            // SAFETY: a `Segment` lies in the mapping.
            iov_base: unsafe { self.raw.as_mut_ptr().add(segment.at) }.cast(),
            iov_len: segment.len,
        });
        let keep: Arc<Self> = Arc::clone(self);
        // SAFETY: `keep` holds the mapping, and a `Segment` lies in its data area, over which this room
        // makes no other reference. That no two commands share a block is the kernel's to keep
        // (`data_bitmap` in TCU), until it has seen the command's completion; `Ring` gives out one
        // buffer per command.
        unsafe { DataBuf::from_raw(keep, iovecs) }
    }

    /// `cmd_ids` of a task management entry with its type; nothing if they are not all in the entry.
    pub fn task_management(&self, entry: Header) -> Option<(u8, impl Iterator<Item = u16>)> {
        let len = entry.len();
        if len < tmr::SIZE || len > self.ring_size - entry.at {
            return None;
        }
        let base = self.ring_off + entry.at as usize;
        // SAFETY: the entry holds at least the fixed part, just checked.
        let (kind, count): (u8, u32) = unsafe { (self.load(base + tmr::TYPE), self.load(base + tmr::CMD_CNT)) };
        if u64::from(count) * 2 > u64::from(len - tmr::SIZE) {
            return None;
        }
        let ids = base + tmr::CMD_IDS;
        // SAFETY: `count` ids of two bytes end inside the entry, just checked.
        Some((kind, (0..count as usize).map(move |i| unsafe { self.load(ids + 2 * i) })))
    }

    /// Writes a response into `slot`, which need not be the slot its request came in. All of it: the
    /// kernel cleared the entry when it queued it, but its bytes are another command's request by now.
    pub fn respond(&self, slot: CommandSlot, cmd_id: u16, reply: &Reply<'_>, buffers: Buffers) {
        let base = self.base(slot);
        let read_len = reply.read_len.filter(|_| self.flags & capability::READ_LEN != 0);
        let uflags = if read_len.is_some() { uflag::READ_LEN } else { 0 } | buffers as u8;
        // SAFETY: a response is as long as the least `CommandSlot`; every offset is a multiple of its
        // word's size from an 8-aligned start. `Ring` gives each slot to one response, between the
        // tail and the parse cursor, where the kernel does not look until `store_tail`.
        unsafe {
            self.store(base + header::CMD_ID, cmd_id);
            self.store(base + header::UFLAGS, uflags);
            self.store(base + command::STATUS, u32::from_ne_bytes([reply.status, 0, 0, 0]));
            self.store(base + command::READ_LEN, read_len.unwrap_or(0));
            for i in 0..abi::SENSE_SIZE / 8 {
                self.store(base + command::SENSE + 8 * i, sense_word(reply.sense, i));
            }
        }
    }

    fn base(&self, slot: CommandSlot) -> usize {
        self.ring_off + slot.at as usize
    }

    /// # Safety
    /// `at` is a multiple of `T`'s size, and that many bytes from it are mapped.
    unsafe fn load<T: Word>(&self, at: usize) -> T {
        debug_assert!(at.is_multiple_of(size_of::<T>()) && at + size_of::<T>() <= self.raw.len());
        // SAFETY: the caller's promise; a mapping is page-aligned and lives as long as `self`. Volatile, so
        // that the value is read once whatever the other side does.
        unsafe { self.raw.as_ptr().add(at).cast::<T>().read_volatile() }
    }

    /// # Safety
    /// As `load`; and the bytes are ours to write: not `len_op`, and between tail and parse cursor.
    unsafe fn store<T: Word>(&self, at: usize, value: T) {
        debug_assert!(at.is_multiple_of(size_of::<T>()) && at + size_of::<T>() <= self.raw.len());
        #[cfg(test)]
        crate::fuse::burn();
        // SAFETY: the caller's promise; a mapping is page-aligned, writable and lives as long as `self`.
        unsafe { self.raw.as_mut_ptr().add(at).cast::<T>().write_volatile(value) }
    }
}

/// The n-th eight bytes of sense data, zero behind its end.
#[inline]
fn sense_word(sense: &[u8], n: usize) -> u64 {
    let Some(rest) = sense.get(8 * n..) else { return 0 };
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_ne_bytes(word)
}
