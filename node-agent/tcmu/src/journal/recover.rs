//! What a dead agent left in flight: journal and ring read together, each checking the other.
//!
//! Nothing is changed here, so that whoever dies in between is followed by another who reads the same. Where
//! the two do not agree in every point that can be compared there is a [`Doubt`], and the ring is reset.

use std::collections::VecDeque;

use super::layout::{self, LOG, LOG_LEN, OWNER, PUBLISHED, Shape, State, VALID, record};
use super::{Journal, Owner, logged_cdb};
use crate::map::{CommandSlot, Kind, Map};
use crate::ring::entry_at;
use crate::{CdbBytes, Ticket, abi, cursor};

/// Why a journal does not say what was in flight. The cure is to reset the ring, which answers BUSY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// It is empty, of another device, or of an earlier boot.
    #[error("there is no journal of this ring")]
    Foreign,
    /// Its keeper gave it up: the ring was broken, or there was no room.
    #[error("the journal was given up")]
    Void,
    /// The ring was reset, or used by someone who kept no journal.
    #[error("the journal is older than the ring's tail: someone else served the ring or reset it")]
    Tail,
    /// Its records contradict each other.
    #[error("the journal's records do not add up")]
    Records,
    /// The ring holds other entries than were written down.
    #[error("the ring holds other commands than the journal: it was reset")]
    Entries,
}

/// A command that was handed out and not answered. It may have been carried out, in part or whole.
#[derive(Debug)]
pub struct Interrupted {
    /// The right to answer it.
    pub ticket: Ticket,
    /// What it asked for; nothing if it did not fit the journal.
    pub request: Option<Request>,
    /// How often it was handed out by [`Claim::resume`](crate::Claim::resume) before.
    pub resumes: u8,
    pub(crate) since: u64,
}

/// A command's CDB and data.
#[derive(Debug)]
pub struct Request {
    /// As in [`Command::cdb`](crate::Command::cdb).
    pub cdb: CdbBytes,
    /// As in [`Command::data`](crate::Command::data); Data-Out is what the initiator sent.
    pub data: lunette_iobuf::DataBuf,
}

/// The commands that were answered last.
pub struct History {
    completed: u64,
    log: Vec<[u8; 16]>,
}

impl History {
    /// The CDBs of the commands that were answered after `command` had been handed out, an item being nothing if
    /// its CDB is not known; nothing at all if that is too long ago.
    #[must_use]
    pub fn since(&self, command: &Interrupted) -> Option<impl Iterator<Item = Option<&[u8]>>> {
        let ended = self.completed.checked_sub(command.since).filter(|ended| *ended < LOG_LEN)?;
        let numbers = self.completed - ended + 1..=self.completed;
        Some(numbers.map(|number| self.log.get((number % LOG_LEN) as usize).and_then(logged_cdb)))
    }
}

/// Where to go on, and with what.
pub(crate) struct Plan {
    /// Where the next entry will be read.
    pub cursor: u32,
    /// Command slots between the tail and there.
    pub slots: VecDeque<CommandSlot>,
    /// How many of these, the oldest, hold responses.
    pub filled: usize,
    pub running: Vec<Recorded>,
    fetched: u32,
    completed: u64,
    /// Which published count is in force.
    in_force: usize,
}

/// A RUNNING record.
pub(crate) struct Recorded {
    pub id: u16,
    pub since: u64,
    pub resumes: u8,
    ordinal: u32,
    cdb: [u64; layout::CDB_WORDS],
    cdb_len: usize,
    /// Offset in the mapping and length of each segment, if the command fitted.
    pub segments: Option<Vec<(u64, u64)>>,
}

impl Recorded {
    pub fn cdb(&self) -> CdbBytes {
        CdbBytes::from_words(self.cdb_len, self.cdb[0], |n| self.cdb.get(n).copied().unwrap_or(0))
    }

    fn cdb_words(&self) -> impl Iterator<Item = (usize, u64)> {
        self.cdb.iter().copied().take(self.cdb_len.div_ceil(8)).enumerate()
    }

    /// Whether the request in `slot` is this one.
    fn is_in(&self, map: &Map, slot: CommandSlot) -> bool {
        let request = map.request(slot);
        let Some(at) = map.cdb_at(slot, request.cdb_off) else { return false };
        let same_data =
            |segments: &Vec<_>| map.iovecs(slot, &request).is_some_and(|iovs| iovs.eq(segments.iter().copied()));
        let same_id = map.header(slot.at()).is_some_and(|header| header.cmd_id == self.id);
        same_id && self.has_cdb_at(map, slot, at) && self.segments.as_ref().is_none_or(same_data)
    }

    /// Whether `slot`, over which a response was perhaps being written, came with this request: the CDB lies behind
    /// any response, where the kernel put it (`queue_cmd_ring`).
    fn was_in(&self, map: &Map, slot: CommandSlot) -> bool {
        self.segments.as_ref().is_none_or(|segments| {
            let iovecs_end = abi::command::IOV + abi::command::IOV_SIZE * segments.len();
            self.has_cdb_at(map, slot, iovecs_end.max(abi::command::SIZE as usize))
        })
    }

    fn has_cdb_at(&self, map: &Map, slot: CommandSlot, at: usize) -> bool {
        self.cdb_words().all(|(n, word)| map.word(slot, at + 8 * n) == Some(word))
    }
}

/// The records that matter to a successor.
struct Scan {
    /// Numbers and ids of answers that are not published, oldest first.
    answered: Vec<(u64, u16)>,
    running: Vec<Recorded>,
}

/// Works out what was in flight on the ring of `map`.
pub(crate) fn plan(map: &Map, journal: &Journal, owner: Owner) -> Result<Plan, Doubt> {
    journal.must_be_of(owner)?;
    let tail = map.tail();
    let in_force = journal.in_force(tail).ok_or(Doubt::Tail)?;
    let published = journal.words.get(PUBLISHED + 2 * in_force);
    let Scan { answered, running } = journal.scan(published)?;
    let completed = published + answered.len() as u64;
    if running.iter().any(|command| command.since > completed) {
        return Err(Doubt::Records);
    }
    let (slots, cursor) = walk(map, tail, answered.len() + running.len()).ok_or(Doubt::Entries)?;
    // Everything that was handed out has been completed or is running.
    #[expect(clippy::cast_possible_truncation, reason = "it is counted so")]
    let fetched = (completed + running.len() as u64) as u32;
    let filled = answered.len();
    if !responses_stand(map, &answered, &slots) || !requests_stand(map, &running, &slots, filled, fetched) {
        return Err(Doubt::Entries);
    }
    Ok(Plan { cursor, slots, filled, running, fetched, completed, in_force })
}

impl Journal {
    fn must_be_of(&self, owner: Owner) -> Result<(), Doubt> {
        let mut words = (OWNER..).zip(owner.words());
        if !words.all(|(at, word)| self.words.get(at) == word) {
            return Err(Doubt::Foreign);
        }
        if self.words.get(VALID) == 1 { Ok(()) } else { Err(Doubt::Void) }
    }

    /// Which of the two published counts is of this tail. They are never of the same.
    fn in_force(&self, tail: u32) -> Option<usize> {
        (0..2).find(|entry| self.words.get(PUBLISHED + 2 * entry + 1) == u64::from(tail))
    }

    fn scan(&self, published: u64) -> Result<Scan, Doubt> {
        let (mut answered, mut running) = (Vec::new(), Vec::new());
        for id in 0..=u16::try_from(self.words.backed() - 1).unwrap_or(u16::MAX) {
            match State::of(self.words.get(record(id.into()))).ok_or(Doubt::Records)? {
                State::Running { since } => running.push(self.recorded(id, since).ok_or(Doubt::Records)?),
                State::Done { number } if number > published => answered.push((number, id)),
                State::Done { .. } | State::Free => {}
            }
        }
        answered.sort_unstable();
        let numbers = answered.iter().map(|(number, _)| *number);
        if numbers.ne((1..=answered.len() as u64).map(|n| published + n)) {
            return Err(Doubt::Records);
        }
        Ok(Scan { answered, running })
    }

    fn recorded(&self, id: u16, since: u64) -> Option<Recorded> {
        let base = record(id.into());
        let Shape { ordinal, cdb_len, segments, resumes } = Shape::of(self.words.get(base + layout::SHAPE));
        let (cdb_len, mut cdb) = (usize::from(cdb_len), [0; layout::CDB_WORDS]);
        if cdb_len > abi::MAX_CDB || segments.is_some_and(|count| usize::from(count) > layout::MAX_SEGMENTS) {
            return None;
        }
        for (n, word) in cdb.iter_mut().enumerate() {
            *word = self.words.get(base + layout::CDB + n);
        }
        let segment = |n| {
            let word = self.words.get(base + layout::SEGMENTS + usize::from(n));
            (word >> 32, word & u64::from(u32::MAX))
        };
        let segments = segments.map(|count| (0..count).map(segment).collect());
        Some(Recorded { id, since, resumes, ordinal, cdb, cdb_len, segments })
    }

    /// Goes on where a plan says.
    pub(crate) fn go_on(&mut self, plan: &Plan) -> History {
        (self.fetched, self.completed, self.next) = (plan.fetched, plan.completed, plan.in_force ^ 1);
        plan.running.iter().for_each(|command| self.resumed(command.id));
        let entry = |n| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&self.words.get(LOG + 2 * n).to_ne_bytes());
            bytes[8..].copy_from_slice(&self.words.get(LOG + 2 * n + 1).to_ne_bytes());
            bytes
        };
        History { completed: plan.completed, log: (0..usize::try_from(LOG_LEN).unwrap_or(0)).map(entry).collect() }
    }
}

/// The first `count` command slots from the tail, and where the entry after the last begins.
fn walk(map: &Map, tail: u32, count: usize) -> Option<(VecDeque<CommandSlot>, u32)> {
    let head = map.head();
    if !cursor::is_valid(tail, map.ring_size()) || !cursor::is_valid(head, map.ring_size()) {
        return None;
    }
    let (mut slots, mut at) = (VecDeque::with_capacity(count.max(256)), tail);
    while slots.len() < count {
        if at == head {
            return None;
        }
        let (header, next) = entry_at(map, at, head).ok()?;
        if header.kind() == Kind::Command {
            slots.push_back(map.command(header)?);
        }
        at = next;
    }
    Some((slots, at))
}

/// Whether the oldest slots hold these responses, in this order.
fn responses_stand(map: &Map, answered: &[(u64, u16)], slots: &VecDeque<CommandSlot>) -> bool {
    answered.iter().zip(slots).all(|((_, id), slot)| map.header(slot.at()).is_some_and(|header| header.cmd_id == *id))
}

/// Whether the slots that hold no response yet hold the requests that came in them, the first as far as it can be
/// told. The slots are those of the commands that were handed out last; the slot of a command before those is
/// another's by now.
fn requests_stand(map: &Map, running: &[Recorded], slots: &VecDeque<CommandSlot>, filled: usize, fetched: u32) -> bool {
    running.iter().all(|command| {
        let newer = fetched.wrapping_sub(command.ordinal) as usize;
        let place = slots.len().checked_sub(newer + 1).filter(|place| *place >= filled);
        let slot = place.and_then(|place| Some((place, *slots.get(place)?)));
        slot.is_none_or(
            |(place, slot)| {
                if place == filled { command.was_in(map, slot) } else { command.is_in(map, slot) }
            },
        )
    })
}
