//! The ring: entries out, responses in, one release of the tail per batch. No I/O.
//!
//! A completion belongs to a slot, not to a place in an order: the kernel reads a `cmd_id` and a
//! response out of every command slot between the old tail and the new (`tcmu_handle_completions` in
//! TCU). So a response always goes into the oldest slot not yet handed back, whoever's it was.
//! Invariant: `slots` holds every command slot between tail and parse cursor, oldest first, and is as
//! long as the set of outstanding ids; hence a response never overwrites an entry that has not been
//! copied out, and padding, task management and unknown entries need no bookkeeping at all.

use std::collections::VecDeque;
use std::sync::Arc;

use memmap2::MmapRaw;

use crate::entry::{CdbBytes, Command, Entry, Reply};
use crate::journal::{self, Fetched, History, Interrupted, Journal, Plan};
use crate::map::{Buffers, CommandSlot, Header, Kind, Map, Request, Segment};
use crate::outstanding::{Outstanding, Redeemed, Ticket};
use crate::{AttachError, Features, MAX_CDB, abi, cursor};

/// What the kernel wrote makes no sense, or the ring was reset under us.
///
/// It stays: the ring gives out no more entries. The cure is the same for all: answer or abandon what
/// runs, write 1 to `action/reset_ring` and attach again. Offsets are in bytes from the ring's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// `cmd_head` is outside the ring, or behind what was already read.
    #[error("TCMU ring: head {head} cannot follow {cursor} in {size} bytes: reset the ring and attach again")]
    Head {
        /// `cmd_head`.
        head: u32,
        /// Where we read.
        cursor: u32,
        /// Bytes of the ring.
        size: u32,
    },
    /// An entry of no length, or past the head or the ring's end, or too short for its kind.
    #[error("TCMU ring: the entry at {at} has a length of {len}: reset the ring and attach again")]
    EntryLength {
        /// Where it starts.
        at: u32,
        /// Its length.
        len: u32,
    },
    /// More iovecs or task ids than the entry has room for.
    #[error("TCMU ring: the entry at {at} counts more items than it holds: reset the ring and attach again")]
    Count {
        /// Where it starts.
        at: u32,
    },
    /// The CDB is not in the entry, or longer than any CDB.
    #[error("TCMU ring: the entry at {at} has its CDB at {cdb_off} of the mapping: reset the ring and attach again")]
    Cdb {
        /// Where it starts.
        at: u32,
        /// `cdb_off`.
        cdb_off: u64,
    },
    /// An iovec outside the data area, or all together larger than it.
    #[error("TCMU ring: the entry at {at} has {len} bytes of data at {base}: reset the ring and attach again")]
    Iovec {
        /// Where it starts.
        at: u32,
        /// `iov_base`.
        base: u64,
        /// `iov_len`.
        len: u64,
    },
    /// An id that already waits for its answer.
    #[error("TCMU ring: the entry at {at} has command id {id}, which is running: reset the ring and attach again")]
    DuplicateId {
        /// Where it starts.
        at: u32,
        /// `cmd_id`.
        id: u16,
    },
    /// `cmd_tail` is not what we wrote: someone reset the ring.
    #[error("TCMU ring: reset by someone else (tail {found}, ours {ours}): attach again")]
    Reset {
        /// `cmd_tail`.
        found: u32,
        /// What we wrote last.
        ours: u32,
    },
}

/// The command ring of one LUN. It has one owner; only [`Ring::publish`] makes completions visible.
pub struct Ring {
    map: Arc<Map>,
    /// Where the next entry will be read.
    cursor: u32,
    /// The kernel's head when last looked at.
    head: u32,
    /// The tail that the kernel has.
    published: u32,
    slots: VecDeque<CommandSlot>,
    outstanding: Outstanding,
    /// Room for one command's segments, kept to save an allocation.
    segments: Vec<Segment>,
    fault: Option<RingError>,
    /// What a successor needs to know; nothing if it is to reset the ring.
    journal: Option<Journal>,
}

/// Where in its entry a CDB lies, its length, and its first eight bytes: these are read once, as they
/// say how long it is.
#[derive(Clone, Copy)]
struct CdbPlace {
    at: usize,
    len: usize,
    first: u64,
}

/// A command that is in the books; its segments are in [`Ring::segments`].
struct Taken {
    ticket: Ticket,
    slot: CommandSlot,
    cdb: CdbPlace,
    iov_cnt: u32,
}

/// What [`Ring::find`] came upon. A command is made into an [`Entry`] at the very end, in its final
/// place: moved up through every function's result, it costs more than reading it.
enum Found {
    Command(Taken),
    TaskManagement(Box<Entry>),
    Nothing,
}

impl Ring {
    /// Starts at the mailbox's tail, in a region mapped for reading and writing from its first byte.
    ///
    /// # Errors
    /// The mapping does not hold a ring of version 2 with out-of-order completion.
    pub(crate) fn attach(raw: MmapRaw) -> Result<Self, AttachError> {
        let map = Map::new(raw).map_err(|(error, _)| error)?;
        let (tail, size) = (map.tail(), map.ring_size());
        if !cursor::is_valid(tail, size) {
            return Err(AttachError::Tail { tail, size });
        }
        Ok(Self::at(map, tail, VecDeque::with_capacity(256), tail))
    }

    /// Goes on in the middle, as a journal's plan says; the commands that ran come out too.
    pub(crate) fn resume(map: Map, mut journal: Journal, plan: Plan) -> (Self, Vec<Interrupted>, History) {
        let history = journal.go_on(&plan);
        let Plan { cursor, mut slots, filled, running, .. } = plan;
        slots.drain(..filled);
        let tail = map.tail();
        let mut ring = Self::at(map, tail, slots, cursor);
        ring.journal = Some(journal);
        let interrupted = running.into_iter().filter_map(|command| ring.interrupted(&command)).collect();
        (ring, interrupted, history)
    }

    fn at(map: Map, published: u32, slots: VecDeque<CommandSlot>, cursor: u32) -> Self {
        Self {
            map: Arc::new(map),
            cursor,
            head: cursor,
            published,
            slots,
            outstanding: Outstanding::new(),
            segments: Vec::with_capacity(16),
            fault: None,
            journal: None,
        }
    }

    /// Keeps `journal` from here on. Nothing may have been read yet.
    pub(crate) fn keep_journal(&mut self, mut journal: Journal, incarnation: u64) {
        debug_assert!(self.slots.is_empty() && self.outstanding.count() == 0);
        let owner = self.map.owner_of(&journal, incarnation);
        journal.begin(owner, self.published);
        self.journal = Some(journal);
    }

    /// A command that a dead agent left. There is at most one of an id.
    fn interrupted(&mut self, command: &journal::Recorded) -> Option<Interrupted> {
        let ticket = self.outstanding.issue(command.id)?;
        let segments = command.segments.as_ref();
        let segments: Option<Vec<Segment>> =
            segments.and_then(|all| all.iter().map(|(base, len)| self.map.segment(*base, *len)).collect());
        let request =
            segments.map(|segments| journal::Request { cdb: command.cdb(), data: self.map.buffer(&segments) });
        Some(Interrupted { ticket, request, resumes: command.resumes, since: command.since })
    }

    /// Whether a successor can go on where this ring is, whatever happens.
    #[must_use]
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// The next entry, or `None` once all that the kernel has queued is read. It asks for no wakeup: to
    /// sleep without losing one, consume the device's event, then call this until `None`.
    ///
    /// # Errors
    /// What the kernel wrote makes no sense; the same error on every further call.
    #[expect(clippy::should_implement_trait, reason = "fallible, and `None` is not the end")]
    pub fn next(&mut self) -> Result<Option<Entry>, RingError> {
        match self.find() {
            Ok(Found::Command(taken)) => Ok(Some(Entry::Command(self.command(taken)))),
            Ok(Found::TaskManagement(entry)) => Ok(Some(*entry)),
            Ok(Found::Nothing) => Ok(None),
            Err(fault) => {
                self.fail(fault);
                Err(fault)
            }
        }
    }

    /// Whether the kernel has queued something not yet read (or broken the ring). One load: fit for busy polling.
    #[must_use]
    pub fn has_entries(&self) -> bool {
        self.cursor != self.head || self.map.head() != self.cursor
    }

    /// Answers one command, in any order. The kernel learns of it with [`Ring::publish`]; the command's
    /// buffers must not be used any more by then.
    ///
    /// A ticket that [`Ring::abandon`] has overtaken is void, and does nothing. One that [`Ring::give_up`] has
    /// overtaken gives the id that is to be written to `action/free_kept_buf` now.
    pub fn complete(&mut self, ticket: Ticket, reply: &Reply<'_>) -> Option<u16> {
        match self.outstanding.redeem(ticket)? {
            Redeemed::Free(id) => Some(id),
            Redeemed::Answer(id) => {
                self.respond(id, reply, Buffers::Returned);
                None
            }
        }
    }

    /// Answers a command that storage is still at: its buffers stay in use until its ticket comes back with
    /// [`Ring::complete`], and so does its id. Whether it was answered: it must be outstanding, and the kernel must be
    /// able to ([`Features::keep_buf`]). Once the device is closed the buffers are the kernel's again in any case.
    pub fn give_up(&mut self, id: u16, reply: &Reply<'_>) -> bool {
        let kept = self.features().keep_buf && self.outstanding.keep(id);
        if kept {
            self.respond(id, reply, Buffers::Kept);
        }
        kept
    }

    /// Answers all outstanding commands alike and voids their tickets; returns how many there were. For
    /// after a panic: the futures are gone, and their storage operations must have ended or be fenced.
    pub fn abandon(&mut self, reply: &Reply<'_>) -> u32 {
        let count = self.outstanding.count();
        self.outstanding.void_tickets();
        while let Some(id) = self.outstanding.abandon_one() {
            self.respond(id, reply, Buffers::Returned);
        }
        count
    }

    /// Hands everything completed since the last call to the kernel. If `true`, kick the device once:
    /// there are completions, or room that commands may wait for.
    #[must_use = "without a kick the kernel may not look at the completions for long"]
    pub fn publish(&mut self) -> bool {
        let tail = self.tail();
        if tail == self.published || self.reset_fault().is_some() {
            return false;
        }
        if let Some(journal) = &mut self.journal {
            journal.publishing(tail);
        }
        self.map.store_tail(tail);
        self.published = tail;
        true
    }

    /// Commands read and not yet answered.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding.count()
    }

    /// Why [`Ring::next`] gives out no more entries, if so.
    #[must_use]
    pub fn fault(&self) -> Option<RingError> {
        self.fault
    }

    /// Whether [`Ring::next`] gives out no more entries.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.fault.is_some()
    }

    /// What this kernel's ring can do.
    #[must_use]
    pub fn features(&self) -> Features {
        self.map.features()
    }

    /// Reads on to the next entry that says something.
    fn find(&mut self) -> Result<Found, RingError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        while self.cursor != self.head || self.refresh()? {
            let (header, next) = entry_at(&self.map, self.cursor, self.head)?;
            let found = match header.kind() {
                Kind::Command => Found::Command(self.take(header)?),
                Kind::TaskManagement => Found::TaskManagement(self.task_management(header)?),
                Kind::Pad => Found::Nothing,
                Kind::Unknown => {
                    self.map.mark_unknown(header);
                    Found::Nothing
                }
            };
            self.cursor = next;
            if !matches!(found, Found::Nothing) {
                return Ok(found);
            }
        }
        Ok(Found::Nothing)
    }

    /// Looks at the kernel's head; whether there is anything new.
    fn refresh(&mut self) -> Result<bool, RingError> {
        if let Some(fault) = self.reset_fault() {
            return Err(fault);
        }
        let (head, cursor, size) = (self.map.head(), self.cursor, self.map.ring_size());
        let from_tail = |at| cursor::distance(self.published, at, size);
        if !cursor::is_valid(head, size) || from_tail(head) < from_tail(cursor) {
            return Err(RingError::Head { head, cursor, size });
        }
        self.head = head;
        Ok(head != cursor)
    }

    /// `reset_ring` zeroes the tail behind our back; storing ours over it would send the kernel through
    /// stale entries. A net, not a fence: it sees nothing while our tail is 0 too.
    fn reset_fault(&mut self) -> Option<RingError> {
        let found = self.map.tail();
        if found != self.published {
            self.fail(RingError::Reset { found, ours: self.published });
        }
        self.fault.filter(|fault| matches!(fault, RingError::Reset { .. }))
    }

    /// What is wrong stays wrong, also for a successor.
    #[cold]
    fn fail(&mut self, fault: RingError) {
        self.fault = Some(fault);
        if let Some(mut journal) = self.journal.take() {
            journal.invalidate();
        }
    }

    /// Checks a command and takes it into the books: all that can be wrong comes first, so that a
    /// refused command leaves nothing behind.
    fn take(&mut self, header: Header) -> Result<Taken, RingError> {
        let at = header.at();
        let slot = self.map.command(header).ok_or(RingError::EntryLength { at, len: header.len() })?;
        let request = self.map.request(slot);
        let cdb = self.cdb(slot, request.cdb_off)?;
        self.iovecs(slot, &request)?;
        let id = header.cmd_id;
        let ticket = self.outstanding.issue(id).ok_or(RingError::DuplicateId { at, id })?;
        self.slots.push_back(slot);
        self.write_down(id, slot, cdb, request.bidi_cnt > 0);
        Ok(Taken { ticket, slot, cdb, iov_cnt: request.iov_cnt })
    }

    /// Has the journal know of a command before anyone acts on it.
    #[inline]
    fn write_down(&mut self, id: u16, slot: CommandSlot, cdb: CdbPlace, is_bidirectional: bool) {
        let Some(journal) = &mut self.journal else { return };
        let map = &self.map;
        let word = |n| if n == 0 { cdb.first } else { map.word(slot, cdb.at + 8 * n).unwrap_or(0) };
        let segments = (!is_bidirectional).then(|| self.segments.iter().map(Segment::place));
        if !journal.fetched(Fetched { id, cdb_len: cdb.len, cdb: word, segments }) {
            self.journal = None;
        }
    }

    /// The command just taken, as a value of its own.
    fn command(&self, taken: Taken) -> Command {
        let Taken { ticket, slot, cdb, iov_cnt } = taken;
        let (data, bidi) = self.segments.split_at(iov_cnt as usize);
        Command {
            ticket,
            cdb: CdbBytes::from_words(cdb.len, cdb.first, |n| self.map.word(slot, cdb.at + 8 * n).unwrap_or(0)),
            data: self.map.buffer(data),
            bidi: (!bidi.is_empty()).then(|| Box::new(self.map.buffer(bidi))),
        }
    }

    fn cdb(&self, slot: CommandSlot, cdb_off: u64) -> Result<CdbPlace, RingError> {
        let place = || {
            let at = self.map.cdb_at(slot, cdb_off)?;
            let first = self.map.word(slot, at)?;
            let len = abi::cdb_len(first.to_ne_bytes());
            (len <= MAX_CDB && len <= slot.room_from(at)).then_some(CdbPlace { at, len, first })
        };
        place().ok_or(RingError::Cdb { at: slot.at(), cdb_off })
    }

    /// Copies the iovecs of a request out and checks them.
    fn iovecs(&mut self, slot: CommandSlot, request: &Request) -> Result<(), RingError> {
        let at = slot.at();
        let mut room = self.map.data_size();
        self.segments.clear();
        for (base, len) in self.map.iovecs(slot, request).ok_or(RingError::Count { at })? {
            let segment = self.map.segment(base, len).filter(|_| len <= room);
            self.segments.push(segment.ok_or(RingError::Iovec { at, base, len })?);
            room -= len;
        }
        Ok(())
    }

    fn task_management(&self, header: Header) -> Result<Box<Entry>, RingError> {
        let (kind, cmd_ids) = self.map.task_management(header).ok_or(RingError::Count { at: header.at() })?;
        Ok(Box::new(Entry::TaskManagement { kind: kind.into(), cmd_ids: cmd_ids.collect() }))
    }

    fn respond(&mut self, id: u16, reply: &Reply<'_>, buffers: Buffers) {
        if self.reset_fault().is_some() {
            return;
        }
        if let Some(slot) = self.slots.pop_front() {
            self.map.respond(slot, id, reply, buffers);
            if let Some(journal) = &mut self.journal {
                journal.answered(id);
            }
        }
    }

    /// The oldest slot still to be filled; with none, all that has been read.
    fn tail(&self) -> u32 {
        self.slots.front().map_or(self.cursor, |slot| slot.at())
    }
}

/// The header of the entry at `at`, before `head`, and where the entry after it starts.
pub(crate) fn entry_at(map: &Map, at: u32, head: u32) -> Result<(Header, u32), RingError> {
    let size = map.ring_size();
    let header = map.header(at).ok_or(RingError::Head { head, cursor: at, size })?;
    let len = header.len();
    if len == 0 || len > size - at || len > cursor::distance(at, head, size) {
        return Err(RingError::EntryLength { at, len });
    }
    Ok((header, cursor::step(at, len, size)))
}

#[cfg(test)]
mod tests;
