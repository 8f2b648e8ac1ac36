//! Copies taken at one instant: every LUN that they are of is held still, all are taken, and the LUNs go on.
//!
//! The order bounds the pause. What takes long (files, dirty pages, extents, names) is done before, while the LUNs go on, and
//! after, when the copies are kept; what is written meanwhile is taken again, until that takes hardly any time. Between lie
//! the end of the running commands and what was written last. What takes longer all the same is given up: a LUN that
//! cannot be held still in time goes on, and nothing is taken.

mod drafts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::jiff::Timestamp;
use lunette_api::conditions::reasons;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

pub use drafts::Drafts;

use crate::lun::{NoPause, Pause, Pauser};
use crate::trouble::Trouble;

/// How long the running commands of the LUNs may take to end, and others wait for them.
const STILL_WITHIN: Duration = Duration::from_secs(2);
/// How long taking the copies may keep commands waiting: far below the 30 s that initiators grant one.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long LUNs that are still may wait until those of other nodes are, too. All three together stay below those 30 s.
pub const OTHERS_WITHIN: Duration = Duration::from_secs(8);

/// What can hold the LUNs still that this node serves, by UID.
#[derive(Debug, Default)]
pub struct Pausers(Mutex<BTreeMap<String, Pauser>>);

impl Pausers {
    /// A LUN's newest thread.
    pub fn put(&self, uid: &str, pauser: Pauser) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), pauser);
    }

    /// A LUN that is gone.
    pub fn remove(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn get(&self, uid: &str) -> Option<Pauser> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }
}

/// Copies that were taken and are not kept yet.
pub struct Taken {
    /// They, in the order of the drafts.
    pub drafts: Drafts,
    /// The time that they are of.
    pub at: Timestamp,
    /// For how long commands had to wait.
    pub paused: Duration,
}

/// LUNs that are still, and what was taken of them.
struct Still {
    pauses: Vec<Pause>,
    drafts: Drafts,
    at: Timestamp,
    began: Instant,
}

/// LUNs that stay still for others, on other nodes, for a while at most. Dropped, they go on.
pub struct Held {
    pauses: Arc<Mutex<Option<Vec<Pause>>>>,
    drafts: Drafts,
    at: Timestamp,
    began: Instant,
    until: Instant,
    alarm: JoinHandle<()>,
}

/// Takes what can be taken while the LUNs go on, so that little is left for the instant.
///
/// # Errors
/// Why none can be taken.
pub async fn take_ahead(pausers: &Pausers, drafts: Drafts) -> Result<Drafts, Trouble> {
    let drafts = drafts.watch(pausers, STILL_WITHIN).await?;
    Ok(spawn_blocking(move || drafts.take_ahead()).await.map_err(|error| not_taken(&error))??)
}

/// Takes all of these at one instant of all of their LUNs.
///
/// # Errors
/// Why nothing was taken.
pub async fn take(pausers: &Pausers, drafts: Drafts) -> Result<Taken, Trouble> {
    let Still { pauses, drafts, at, began } = still(pausers, drafts).await?;
    end(pauses, drafts, at, began)
}

/// Takes all of these, and keeps their LUNs still for so long at most.
///
/// # Errors
/// Why nothing was taken.
pub async fn hold(pausers: &Pausers, drafts: Drafts, patience: Duration) -> Result<Held, Trouble> {
    let Still { pauses, drafts, at, began } = still(pausers, drafts).await?;
    let (until, pauses) = (Instant::now() + patience, Arc::new(Mutex::new(Some(pauses))));
    let held = Arc::clone(&pauses);
    // Whatever the holder is busy with then.
    let alarm = tokio::spawn(async move {
        sleep_until(until).await;
        drop(held.lock().unwrap_or_else(PoisonError::into_inner).take());
    });
    Ok(Held { pauses, drafts, at, began, until, alarm })
}

impl Held {
    /// When they go on at the latest.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// They were not still until now.
    pub fn release(mut self) -> Result<Taken, Trouble> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner).take();
        let pauses = pauses.filter(|_| Instant::now() < self.until).ok_or_else(|| {
            trouble("other nodes were not ready in time: nothing is kept, and I/O goes on; trying again".to_owned())
        })?;
        end(pauses, std::mem::take(&mut self.drafts), self.at, self.began)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.alarm.abort();
        drop(self.pauses.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

async fn still(pausers: &Pausers, drafts: Drafts) -> Result<Still, Trouble> {
    let drafts = take_ahead(pausers, drafts).await?;
    let held: Vec<Pauser> = drafts.pausers().cloned().collect();
    let began = Instant::now();
    let pauses = try_join_all(held.iter().map(|pauser| pauser.pause(STILL_WITHIN))).await.map_err(not_still)?;
    let (at, still_after) = (Timestamp::now(), began.elapsed());
    // A call of the file system that does not come back is left to itself; what it takes in the end is dropped.
    match timeout(TAKEN_WITHIN, spawn_blocking(move || drafts.take_rest())).await {
        Ok(Ok(taken)) => {
            let drafts = taken?;
            tracing::debug!(?still_after, taken_after = ?began.elapsed(), "copies are taken");
            Ok(Still { pauses, drafts, at, began })
        }
        Ok(Err(error)) => Err(not_taken(&error)),
        Err(_) => Err(trouble(format!(
            "the storage took longer than {} s: nothing is taken, and I/O goes on",
            TAKEN_WITHIN.as_secs()
        ))),
    }
}

/// Ends the pauses; what was taken is good if all of them held.
fn end(pauses: Vec<Pause>, drafts: Drafts, at: Timestamp, began: Instant) -> Result<Taken, Trouble> {
    let any = !pauses.is_empty();
    // Those that are not asked any more end as well.
    let steady = pauses.into_iter().all(Pause::end);
    let paused = if any { began.elapsed() } else { Duration::ZERO };
    if !steady {
        return Err(trouble("the LUN began to be served anew meanwhile: nothing is taken; trying again".to_owned()));
    }
    Ok(Taken { drafts, at, paused })
}

fn not_taken(error: &JoinError) -> Trouble {
    trouble(format!("taking the copy failed: {error}"))
}

fn trouble(message: String) -> Trouble {
    Trouble::new(reasons::NOT_STILL, message)
}

fn not_still(why: NoPause) -> Trouble {
    trouble(match why {
        NoPause::NotServed => "the Lun is not served now: it is copied when it is (kubectl describe lun)".to_owned(),
        NoPause::Busy => format!(
            "running commands of the Lun have not ended within {} s: nothing is taken, and I/O goes on; trying again",
            STILL_WITHIN.as_secs()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_held_for_longer_than_it_may_is_not_kept() {
        let pausers = Pausers::default();
        let held = |patience| hold(&pausers, Drafts::default(), patience);
        assert!(held(Duration::from_secs(3600)).await.unwrap().release().is_ok());
        let late = held(Duration::ZERO).await.unwrap().release().err().unwrap();
        assert_eq!(late.reason, reasons::NOT_STILL);
    }
}
