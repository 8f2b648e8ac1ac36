//! What copies under way have done and what ended ones came to, until somebody has asked.
//!
//! SPC keeps list identifiers apart by initiator. A ring does not tell initiators apart, so all of them
//! share what is here: of two EXTENDED COPYs with one identifier the later one's results are kept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Sense;
use crate::copy::MAX_COPIES;

/// Results that are kept at a time.
const KEPT: usize = 32;
/// How long they are kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// SERVICE ACTION of POPULATE TOKEN.
pub const POPULATE_TOKEN: u8 = 0x10;
/// SERVICE ACTION of WRITE USING TOKEN.
pub const WRITE_USING_TOKEN: u8 = 0x11;

/// LIST IDENTIFIER, of one byte (LID1) or of four (LID4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListId {
    /// Of EXTENDED COPY (LID1).
    Short(u8),
    /// Of every later command.
    Long(u32),
}

/// The results of one logical unit.
#[derive(Default)]
pub struct Results {
    records: RefCell<Vec<Record>>,
    next_serial: Cell<u64>,
}

/// One copy.
#[derive(Clone, Debug)]
pub struct Record {
    serial: u64,
    /// By which its results are asked for; none where nobody will.
    id: Option<ListId>,
    /// SERVICE ACTION of the command.
    pub action: u8,
    /// How it stands.
    pub state: State,
    /// Bytes copied.
    pub bytes: u64,
    /// SEGMENTS PROCESSED.
    pub segments: u16,
    /// The token that it made.
    pub token: Option<Rc<[u8]>>,
    /// Whether its status was told since it ended.
    told: bool,
    since: Instant,
}

/// How a copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Ended with this sense.
    Failed(Sense),
}

impl Results {
    /// Notes a copy that begins, by an identifier if it has one; nothing where too many are under way.
    pub fn begin(&self, id: Option<ListId>, action: u8, now: Instant) -> Option<Running<'_>> {
        let mut records = self.records.borrow_mut();
        let running = |record: &&Record| record.state == State::Running;
        if records.iter().filter(running).count() >= usize::from(MAX_COPIES) {
            return None;
        }
        let is_same = |record: &Record| id.is_some() && record.id == id;
        records.retain(|record| record.state == State::Running || !(is_same(record) || record.is_old(now)));
        if records.len() >= KEPT
            && let Some(oldest) = records.iter().position(|record| record.state != State::Running)
        {
            records.remove(oldest);
        }
        let serial = self.next_serial.get();
        self.next_serial.set(serial.wrapping_add(1));
        let state = State::Running;
        records.push(Record { serial, id, action, state, bytes: 0, segments: 0, token: None, told: false, since: now });
        Some(Running { results: self, serial })
    }

    /// Whether the results of this identifier are still to be asked for.
    pub fn is_awaited(&self, id: ListId, now: Instant) -> bool {
        let records = self.records.borrow();
        let is_awaited = |record: &Record| record.state == State::Running || !(record.told || record.is_old(now));
        records.iter().any(|record| record.id == Some(id) && is_awaited(record))
    }

    /// How the latest copy of this identifier stands. Once an ended one was told, only its token and what
    /// went wrong with it can still be asked for.
    pub fn status(&self, id: ListId) -> Option<Record> {
        self.tell(id, false)
    }

    /// The same, for the last time of an ended one.
    pub fn take(&self, id: ListId) -> Option<Record> {
        self.tell(id, true)
    }

    fn tell(&self, id: ListId, with_token: bool) -> Option<Record> {
        let mut records = self.records.borrow_mut();
        let at = records.iter().rposition(|record| record.id == Some(id) && !record.told)?;
        let record = records[at].clone();
        match record.state {
            State::Running => {}
            State::Done if record.token.is_some() && !with_token => {}
            State::Done => drop(records.remove(at)),
            State::Failed(_) => records[at].told = true,
        }
        Some(record)
    }

    /// Why the latest copy of this identifier failed; told once.
    pub fn failure(&self, id: ListId) -> Option<Sense> {
        let mut records = self.records.borrow_mut();
        let at = records.iter().rposition(|record| record.id == Some(id))?;
        let State::Failed(sense) = records[at].state else { return None };
        records.remove(at);
        Some(sense)
    }

    fn change(&self, serial: u64, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.borrow_mut().iter_mut().find(|record| record.serial == serial) {
            change(record);
        }
    }
}

impl Record {
    fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= KEPT_FOR
    }
}

/// A copy under way; one that is dropped before it ended leaves no results.
#[must_use]
pub struct Running<'a> {
    results: &'a Results,
    serial: u64,
}

impl Running<'_> {
    /// Notes bytes that were copied.
    pub fn add_bytes(&self, bytes: u64) {
        self.results.change(self.serial, |record| record.bytes += bytes);
    }

    /// Notes a segment that is done.
    pub fn add_segment(&self) {
        self.results.change(self.serial, |record| record.segments = record.segments.saturating_add(1));
    }

    /// Notes the token that it made.
    pub fn set_token(&self, token: Rc<[u8]>) {
        self.results.change(self.serial, |record| record.token = Some(token));
    }

    /// Ends it. Its results are kept if it has an identifier.
    pub fn end(self, failed: Option<Sense>, now: Instant) {
        self.results.change(self.serial, |record| {
            record.state = failed.map_or(State::Done, State::Failed);
            record.since = now;
        });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let leftover =
            |record: &Record| record.serial == self.serial && (record.state == State::Running || record.id.is_none());
        self.results.records.borrow_mut().retain(|record| !leftover(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asc;

    const ID: ListId = ListId::Short(7);

    fn begin(results: &Results, now: Instant) -> Running<'_> {
        results.begin(Some(ID), 0, now).expect("there is room")
    }

    #[test]
    fn a_copy_is_told_while_it_runs_and_once_when_it_ended() {
        let (results, now) = (Results::default(), Instant::now());
        let running = begin(&results, now);
        running.add_bytes(5);
        running.add_segment();
        for _ in 0..2 {
            let record = results.status(ID).unwrap();
            assert_eq!((record.state, record.bytes, record.segments), (State::Running, 5, 1));
        }
        running.end(None, now);
        assert_eq!(results.status(ID).map(|record| record.state), Some(State::Done));
        assert!(results.status(ID).is_none());
        assert!(results.status(ListId::Long(7)).is_none(), "the two kinds of identifier are apart");
    }

    #[test]
    fn a_failure_can_be_asked_for_after_the_status_and_only_once() {
        let (results, now) = (Results::default(), Instant::now());
        let sense = Sense::illegal(asc::WRITE_ERROR);
        begin(&results, now).end(Some(sense), now);
        assert_eq!(results.status(ID).map(|record| record.state), Some(State::Failed(sense)));
        assert!(results.status(ID).is_none());
        assert_eq!(results.failure(ID), Some(sense));
        assert_eq!(results.failure(ID), None);
    }

    #[test]
    fn a_later_copy_of_the_same_identifier_takes_the_place_of_an_ended_one() {
        let (results, now) = (Results::default(), Instant::now());
        begin(&results, now).end(Some(Sense::illegal(asc::WRITE_ERROR)), now);
        begin(&results, now).end(None, now);
        assert_eq!(results.status(ID).map(|record| record.state), Some(State::Done));
        assert_eq!(results.failure(ID), None);
    }

    #[test]
    fn results_are_awaited_until_they_were_told_or_have_aged() {
        let (results, now) = (Results::default(), Instant::now());
        assert!(!results.is_awaited(ID, now));
        let running = begin(&results, now);
        assert!(results.is_awaited(ID, now + KEPT_FOR));
        running.set_token([1, 2][..].into());
        running.end(None, now);
        assert!(results.is_awaited(ID, now));
        assert!(!results.is_awaited(ID, now + KEPT_FOR));
        assert!(results.status(ID).is_some_and(|record| record.token.is_some()));
        assert!(results.is_awaited(ID, now), "the token has yet to be taken");
        assert!(results.take(ID).is_some() && !results.is_awaited(ID, now));
        begin(&results, now).end(Some(Sense::illegal(asc::WRITE_ERROR)), now);
        assert!(results.take(ID).is_some() && !results.is_awaited(ID, now));
    }

    #[test]
    fn what_was_dropped_or_has_no_identifier_leaves_nothing() {
        let (results, now) = (Results::default(), Instant::now());
        drop(begin(&results, now));
        results.begin(None, 0, now).unwrap().end(None, now);
        assert_eq!(results.records.borrow().len(), 0);
    }

    #[test]
    fn copies_at_a_time_are_bounded_and_so_are_results_in_number_and_age() {
        let (results, now) = (Results::default(), Instant::now());
        let running: Vec<_> = (0..MAX_COPIES).map(|_| begin(&results, now)).collect();
        assert!(results.begin(None, 0, now).is_none());
        drop(running);
        for id in 0..200 {
            results.begin(Some(ListId::Long(id)), 0, now).unwrap().end(None, now);
        }
        assert_eq!(results.records.borrow().len(), KEPT);
        drop(begin(&results, now + KEPT_FOR));
        assert_eq!(results.records.borrow().len(), 0);
    }
}
