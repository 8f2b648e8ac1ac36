//! Keeps COMPARE AND WRITE atomic against every other writing command of the LUN.
//!
//! Writers share, COMPARE AND WRITE excludes: a claim waits for the earlier claims that overlap it where
//! one of the two is exclusive. Claims are served in the order in which they were made, so none starves,
//! and a command holds one claim at a time, so none can deadlock. Without an exclusive claim a writer
//! pays for one slot of a list, and nothing is allocated once the list has reached the queue's depth.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::ByteRange;

/// Room made beforehand, in claims: LIO's largest queue depth by default.
const ROOM: usize = 128;

/// The claims of one LUN's running commands.
pub struct RangeLock {
    state: RefCell<State>,
}

struct State {
    claims: Vec<Option<Claim>>,
    free: Vec<usize>,
    /// Exclusive claims, held or waiting.
    exclusive: usize,
    /// Claims with a waker.
    waiting: usize,
    next_ticket: u64,
}

struct Claim {
    range: ByteRange,
    exclusive: bool,
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
        };
        Self { state: RefCell::new(state) }
    }

    /// Claims a range for writing; waits for exclusive claims only.
    pub async fn share(&self, range: ByteRange) -> Claimed<'_> {
        self.claim(range, false).await
    }

    /// Claims a range for this command alone.
    pub async fn exclude(&self, range: ByteRange) -> Claimed<'_> {
        self.claim(range, true).await
    }

    async fn claim(&self, range: ByteRange, exclusive: bool) -> Claimed<'_> {
        let slot = self.state.borrow_mut().enter(range, exclusive);
        // Made before it waits: a command that is dropped while it waits leaves the list too.
        let claimed = Claimed { lock: self, slot };
        Turn { claimed: &claimed }.await;
        claimed
    }
}

impl State {
    fn enter(&mut self, range: ByteRange, exclusive: bool) -> usize {
        let claim = Claim { range, exclusive, ticket: self.next_ticket, waker: None };
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.exclusive += usize::from(exclusive);
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
            other.ticket < own.ticket && (own.exclusive || other.exclusive) && other.range.overlaps(own.range)
        };
        self.claims.iter().flatten().any(blocks)
    }

    fn wait(&mut self, slot: usize, waker: &Waker) {
        if let Some(Some(claim)) = self.claims.get_mut(slot) {
            let before = claim.waker.replace(waker.clone());
            self.waiting += usize::from(before.is_none());
        }
    }

    /// Takes a claim out; returns the wakers of those that may go on now.
    fn leave(&mut self, slot: usize) -> Vec<Waker> {
        if let Some(claim) = self.claims.get_mut(slot).and_then(Option::take) {
            self.exclusive -= usize::from(claim.exclusive);
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
