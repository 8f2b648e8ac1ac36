//! A LUN held still for an instant, so that a copy of its volume is of one moment.
//!
//! Three parts: [`Holds`] is the thread's own count of the pauses that it keeps, [`Pauser`] is how the rest of the
//! process asks for one, and [`Pause`] is one that is kept. While it lasts, commands wait in the ring as they do for
//! limits: initiators see a slower disk and no error. Invariant: between the moment when a [`Pause`] is got and the one
//! in which [`Pause::end`] says that it held, no command of the LUN has run.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use lunette_backend::Changes;

use super::inbox::{Inbox, Order};
use super::state::State;
use super::sync::{timeout, watch};

/// The pauses that a thread keeps.
#[derive(Debug, Default)]
pub struct Holds {
    running: u32,
    /// Of the last pause that was ordered.
    number: u64,
    since: Option<Instant>,
}

impl Holds {
    /// One more.
    pub fn begin(&mut self) {
        self.running += 1;
        self.number += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    /// One less; how long all of them lasted, if that was the last.
    pub fn end(&mut self) -> Option<Duration> {
        self.running = self.running.saturating_sub(1);
        if self.running > 0 { None } else { self.since.take().map(|since| since.elapsed()) }
    }

    /// Whether commands are to stay in the ring.
    pub fn any(&self) -> bool {
        self.running > 0
    }

    /// Tells those who wait that nothing runs.
    pub fn settle(&self, inbox: &Inbox) {
        if self.any() {
            inbox.is_still(self.number);
        }
    }
}

/// Asks a LUN's thread to pause. It keeps no thread alive.
#[derive(Clone, Debug)]
pub struct Pauser {
    inbox: Weak<Inbox>,
    state: watch::Receiver<State>,
}

/// Why there was no pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPause {
    /// The LUN is not being served.
    NotServed,
    /// Its commands did not end in time.
    Busy,
}

/// A LUN that is still. Dropped, it goes on.
#[derive(Debug)]
pub struct Pause {
    inbox: Arc<Inbox>,
    state: watch::Receiver<State>,
}

impl Pauser {
    /// Of the thread with this inbox.
    pub(super) fn new(inbox: &Arc<Inbox>, state: watch::Receiver<State>) -> Self {
        Self { inbox: Arc::downgrade(inbox), state }
    }

    /// Of a thread that has ended.
    #[cfg(test)]
    pub fn of_nobody() -> Self {
        Self { inbox: Weak::new(), state: watch::channel(State::Serving).1 }
    }

    /// Has what is written noted in `changes`, for as long as anybody has those; it is when this returns.
    ///
    /// # Errors
    /// It is not served, or its thread does not come to that within `patience`.
    pub async fn watch(&self, changes: &Arc<Changes>, patience: Duration) -> Result<(), NoPause> {
        let mut begun = self.served()?.watch(changes);
        match timeout(patience, begun.wait_for(|begun| *begun)).await {
            Ok(Ok(_)) => Ok(()),
            // Its thread has ended.
            Ok(Err(_)) => Err(NoPause::NotServed),
            Err(_) => Err(NoPause::Busy),
        }
    }

    fn served(&self) -> Result<Arc<Inbox>, NoPause> {
        self.inbox.upgrade().filter(|_| *self.state.borrow() == State::Serving).ok_or(NoPause::NotServed)
    }

    /// Waits until the LUN is still, at most for `patience`.
    ///
    /// # Errors
    /// It is not served, or its storage takes longer than that. It goes on then.
    pub async fn pause(&self, patience: Duration) -> Result<Pause, NoPause> {
        let inbox = self.served()?;
        let (mut still, mut state) = (inbox.stillness(), self.state.clone());
        let number = inbox.pause();
        // From here on whatever ends this ends the pause.
        let pause = Pause { inbox, state: self.state.clone() };
        tokio::select! {
            settled = timeout(patience, still.wait_for(|still| *still >= number)) => match settled {
                Ok(Ok(_)) => {}
                _ => return Err(NoPause::Busy),
            },
            _ = state.wait_for(|state| *state != State::Serving) => return Err(NoPause::NotServed),
        }
        Ok(pause)
    }
}

impl Pause {
    /// Ends it; whether it held until now. Where the thread has ended meanwhile, another may have begun to serve.
    #[must_use]
    pub fn end(self) -> bool {
        *self.state.borrow() == State::Serving
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.inbox.send(Order::Resume);
    }
}
