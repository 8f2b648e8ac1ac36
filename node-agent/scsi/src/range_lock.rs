//! Keeps commands that read and then write atomic against every other writing command of the LUN.
//!
//! Writers share, COMPARE AND WRITE and copies exclude: a claim waits for the earlier claims that overlap
//! it where one of the two is exclusive. Claims are served in the order in which they were made, so none
//! starves. A command makes all claims that it holds at a time in one moment and with one ticket, so that
//! it waits only for commands with earlier tickets, and none can deadlock. Without an exclusive claim a
//! writer pays for one slot of a list, and nothing is allocated once the list has reached the queue's
//! depth. Readers are only counted until the first WRITE ATOMIC comes; from then on they claim what they read,
//! and wait for such writes alone.
//!
//! A [`Watch`] is told of every write to its ranges that ends after it was set up.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use crate::ByteRange;
use crate::data::Yield;

/// Room made beforehand, in claims: LIO's largest queue depth by default.
const ROOM: usize = 128;

/// The claims of one LUN's running commands.
pub struct RangeLock {
    state: RefCell<State>,
    /// Whether readers claim what they read.
    guards_reads: Cell<bool>,
    /// Readers without a claim.
    readers: Cell<usize>,
}

struct State {
    claims: Vec<Option<Claim>>,
    free: Vec<usize>,
    /// Exclusive claims, held or waiting.
    exclusive: usize,
    /// Claims with a waker.
    waiting: usize,
    next_ticket: u64,
    watches: Vec<Weak<Watch>>,
}

/// What a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Writing, beside other writers.
    Write,
    /// Writing, alone.
    WriteAlone,
    /// Writing, alone and with no reader beside.
    WriteUnseen,
    /// Keeping writers off; the range stays as it is.
    Freeze,
    /// Reading.
    Read,
}

impl Purpose {
    fn is_exclusive(self) -> bool {
        !matches!(self, Self::Write | Self::Read)
    }

    /// Whether one has to wait for the other.
    fn conflicts(self, other: Self) -> bool {
        match (self, other) {
            (Self::Read, kind) | (kind, Self::Read) => kind == Self::WriteUnseen,
            (one, other) => one.is_exclusive() || other.is_exclusive(),
        }
    }
}

struct Claim {
    range: ByteRange,
    purpose: Purpose,
    ticket: u64,
    waker: Option<Waker>,
}

/// A claim that is held; dropping it lets others go on.
#[must_use]
pub struct Claimed<'a> {
    lock: &'a RangeLock,
    slot: usize,
}

impl RangeLock {
    /// A lock without claims.
    pub fn new() -> Self {
        let state = State {
            claims: Vec::with_capacity(ROOM),
            free: Vec::with_capacity(ROOM),
            exclusive: 0,
            waiting: 0,
            next_ticket: 0,
            watches: Vec::new(),
        };
        Self { state: RefCell::new(state), guards_reads: Cell::new(false), readers: Cell::new(0) }
    }

    /// Whether a reader that ends before anything else runs needs no claim.
    #[inline]
    pub fn lets_readers_pass(&self) -> bool {
        !self.guards_reads.get()
    }

    /// Whether a writer that ends before anything else runs needs no claim: then it is to say what it wrote.
    #[inline]
    pub fn lets_writers_pass(&self) -> bool {
        self.state.borrow().exclusive == 0
    }

    /// Takes note of what such a writer wrote.
    #[inline]
    pub fn note_written(&self, range: ByteRange) {
        self.state.borrow().tell_watches(range);
    }

    /// Claims a range for writing; waits for exclusive claims only.
    pub async fn share(&self, range: ByteRange) -> Claimed<'_> {
        self.claim(range, Purpose::Write).await
    }

    /// Claims a range for writing by this command alone.
    pub async fn exclude(&self, range: ByteRange) -> Claimed<'_> {
        self.claim(range, Purpose::WriteAlone).await
    }

    /// Claims a range that is to stay as it is.
    pub async fn freeze(&self, range: ByteRange) -> Claimed<'_> {
        self.claim(range, Purpose::Freeze).await
    }

    /// Claims the two sides of a copy: a source that is to stay as it is, and a target for writing by this
    /// command alone. They may overlap.
    pub async fn copy(&self, source: ByteRange, target: ByteRange) -> (Claimed<'_>, Claimed<'_>) {
        let (source, target) = {
            let mut state = self.state.borrow_mut();
            let ticket = state.ticket();
            (state.enter(source, Purpose::Freeze, ticket), state.enter(target, Purpose::WriteAlone, ticket))
        };
        let claimed = (Claimed { lock: self, slot: source }, Claimed { lock: self, slot: target });
        Turn { claimed: &claimed.0 }.await;
        Turn { claimed: &claimed.1 }.await;
        claimed
    }

    /// Claims ranges that are to stay as they are, all at once.
    pub async fn freeze_all(&self, ranges: &[ByteRange]) -> Vec<Claimed<'_>> {
        let claimed: Vec<_> = {
            let mut state = self.state.borrow_mut();
            let ticket = state.ticket();
            let slots: Vec<_> = ranges.iter().map(|range| state.enter(*range, Purpose::Freeze, ticket)).collect();
            slots.into_iter().map(|slot| Claimed { lock: self, slot }).collect()
        };
        for claimed in &claimed {
            Turn { claimed }.await;
        }
        claimed
    }

    /// Watches ranges. No write to them may be under way: whoever sets a watch up holds them frozen.
    pub fn watch(&self, ranges: Vec<ByteRange>) -> Rc<Watch> {
        let watch = Rc::new(Watch { ranges, disturbed: Cell::new(false) });
        let mut state = self.state.borrow_mut();
        state.watches.retain(|other| other.strong_count() > 0);
        state.watches.push(Rc::downgrade(&watch));
        watch
    }

    /// Takes part as a reader, which waits for WRITE ATOMIC only.
    pub async fn read(&self, range: ByteRange) -> Reading<'_> {
        if self.guards_reads.get() {
            return Reading::Claimed { _claim: self.claim(range, Purpose::Read).await };
        }
        self.readers.set(self.readers.get() + 1);
        Reading::Counted(self)
    }

    /// Claims a range for writing by this command alone, readers kept off too.
    pub async fn exclude_readers(&self, range: ByteRange) -> Claimed<'_> {
        self.guards_reads.set(true);
        let claimed = self.claim(range, Purpose::WriteUnseen).await;
        while self.readers.get() > 0 {
            Yield::default().await;
        }
        claimed
    }

    async fn claim(&self, range: ByteRange, purpose: Purpose) -> Claimed<'_> {
        let slot = {
            let mut state = self.state.borrow_mut();
            let ticket = state.ticket();
            state.enter(range, purpose, ticket)
        };
        // Made before it waits: a command that is dropped while it waits leaves the list too.
        let claimed = Claimed { lock: self, slot };
        Turn { claimed: &claimed }.await;
        claimed
    }
}

/// Knows whether its ranges were written to since it was set up.
#[derive(Debug)]
pub struct Watch {
    ranges: Vec<ByteRange>,
    disturbed: Cell<bool>,
}

impl Watch {
    /// Whether a write to one of its ranges has ended, done or not.
    pub fn is_disturbed(&self) -> bool {
        self.disturbed.get()
    }

    fn note(&self, written: ByteRange) {
        if self.ranges.iter().any(|range| range.overlaps(written)) {
            self.disturbed.set(true);
        }
    }
}

/// A command that reads; dropping it lets others go on.
#[must_use]
pub enum Reading<'a> {
    /// It holds a claim.
    Claimed {
        /// Let go with this.
        _claim: Claimed<'a>,
    },
    /// It is one of so many.
    Counted(&'a RangeLock),
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Self::Counted(lock) = self {
            lock.readers.set(lock.readers.get().saturating_sub(1));
        }
    }
}

impl State {
    fn ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        ticket
    }

    fn enter(&mut self, range: ByteRange, purpose: Purpose, ticket: u64) -> usize {
        let claim = Claim { range, purpose, ticket, waker: None };
        self.exclusive += usize::from(purpose.is_exclusive());
        if let Some(slot) = self.free.pop() {
            self.claims[slot] = Some(claim);
            return slot;
        }
        self.claims.push(Some(claim));
        self.claims.len() - 1
    }

    /// Whether an earlier claim must end first.
    fn is_blocked(&self, slot: usize) -> bool {
        if self.exclusive == 0 {
            return false;
        }
        let Some(Some(own)) = self.claims.get(slot) else { return false };
        let blocks = |other: &Claim| {
            let conflict = own.purpose.conflicts(other.purpose);
            other.ticket < own.ticket && conflict && other.range.overlaps(own.range)
        };
        self.claims.iter().flatten().any(blocks)
    }

    fn wait(&mut self, slot: usize, waker: &Waker) {
        if let Some(Some(claim)) = self.claims.get_mut(slot) {
            let before = claim.waker.replace(waker.clone());
            self.waiting += usize::from(before.is_none());
        }
    }

    /// A write may have happened, whatever it came to.
    fn tell_watches(&self, written: ByteRange) {
        self.watches.iter().filter_map(Weak::upgrade).for_each(|watch| watch.note(written));
    }

    /// Takes a claim out; returns the wakers of those that may go on now.
    fn leave(&mut self, slot: usize) -> Vec<Waker> {
        if let Some(claim) = self.claims.get_mut(slot).and_then(Option::take) {
            self.exclusive -= usize::from(claim.purpose.is_exclusive());
            if !matches!(claim.purpose, Purpose::Freeze | Purpose::Read) {
                self.tell_watches(claim.range);
            }
            self.waiting -= usize::from(claim.waker.is_some());
            self.free.push(slot);
        }
        if self.waiting == 0 {
            return Vec::new();
        }
        self.waiting = 0;
        self.claims.iter_mut().flatten().filter_map(|claim| claim.waker.take()).collect()
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        // Woken outside the borrow: a waker may run anything.
        let wakers = self.lock.state.borrow_mut().leave(self.slot);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Resolves when no earlier claim is in the way.
struct Turn<'a, 'b> {
    claimed: &'b Claimed<'a>,
}

impl Future for Turn<'_, '_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.claimed.lock.state.borrow_mut();
        if !state.is_blocked(self.claimed.slot) {
            return Poll::Ready(());
        }
        state.wait(self.claimed.slot, context.waker());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
