//! Where someone on this machine asks for a LUN's local disk, and each LUN's worker hears of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make it a disk of this machine.
    Attach,
    /// Take that disk away.
    Detach,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now: it may work soon, without anybody's doing.
    NotYet(String),
    /// Somebody has to do something first.
    Refused(String),
}

/// The disk after an attach; after a detach the one that there was, if there was one.
pub type Outcome = Result<Option<PathBuf>, Refusal>;

/// An order, and where its outcome is waited for.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub order: Order,
    outcome: oneshot::Sender<Outcome>,
}

impl Request {
    /// Tells the outcome.
    pub fn answer(self, outcome: Outcome) {
        // Whoever asked may have lost patience.
        let _ = self.outcome.send(outcome);
    }
}

/// The workers that take orders, by their LUN's UID.
#[derive(Debug, Default)]
pub struct Desk {
    workers: Mutex<HashMap<String, mpsc::UnboundedSender<Request>>>,
}

impl Desk {
    /// Orders for this LUN come here from now on.
    pub fn open(&self, uid: &str) -> mpsc::UnboundedReceiver<Request> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().insert(uid.to_owned(), sender);
        receiver
    }

    /// Hands an order to a LUN's worker and waits for its outcome.
    pub async fn ask(&self, uid: &str, order: Order) -> Outcome {
        let gone = || Refusal::NotYet("the LUN is just coming or going: see `lunette-node status`".to_owned());
        let (outcome, told) = oneshot::channel();
        let worker = self.lock().get(uid).cloned().ok_or_else(gone)?;
        worker.send(Request { order, outcome }).map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<Request>>> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, worker| !worker.is_closed());
        workers
    }
}
