//! Copies taken at one instant: every LUN that they are of is held still, all are taken, and the LUNs go on.
//!
//! The order bounds the pause. What takes long (files, dirty pages, names) is done before, in the drafts, and after, when
//! they are kept; between lie the end of the running commands and one call of the file system for each copy. What
//! takes longer all the same is given up: a LUN that cannot be held still in time goes on, and nothing is taken.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::jiff::Timestamp;
use lunette_api::conditions::reasons;
use lunette_backend::{Draft, PoolError};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::lun::{NoPause, Pause, Pauser};
use crate::trouble::Trouble;

/// How long the running commands of the LUNs may take to end, and others wait for them.
const STILL_WITHIN: Duration = Duration::from_secs(2);
/// How long taking the copies may keep commands waiting: far below the 30 s that initiators grant one.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

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
    pub drafts: Vec<Box<dyn Draft>>,
    /// The time that they are of.
    pub at: Timestamp,
    /// For how long commands had to wait.
    pub paused: Duration,
}

/// Takes all of these at one instant of all of these LUNs.
///
/// # Errors
/// Why nothing was taken.
pub async fn take(
    pausers: &Pausers,
    drafts: Vec<Box<dyn Draft>>,
    luns: impl IntoIterator<Item = &str>,
) -> Result<Taken, Trouble> {
    let held: Vec<_> = luns.into_iter().map(|uid| pausers.get(uid).ok_or(NoPause::NotServed)).collect();
    let held = held.into_iter().collect::<Result<Vec<_>, _>>().map_err(not_still)?;
    let began = Instant::now();
    let pauses = try_join_all(held.iter().map(|pauser| pauser.pause(STILL_WITHIN))).await.map_err(not_still)?;
    let at = Timestamp::now();
    // A call of the file system that does not come back is left to itself; what it takes in the end is dropped.
    let taken = timeout(TAKEN_WITHIN, spawn_blocking(move || take_all(drafts))).await;
    // Those that are not asked any more end as well.
    let steady = pauses.into_iter().all(Pause::end);
    let paused = if held.is_empty() { Duration::ZERO } else { began.elapsed() };
    let drafts = match taken {
        Ok(Ok(taken)) => taken.map_err(Trouble::from)?,
        Ok(Err(error)) => return Err(still(format!("taking the copy failed: {error}"))),
        Err(_) => {
            return Err(still(format!(
                "the storage took longer than {} s: nothing is taken, and I/O goes on",
                TAKEN_WITHIN.as_secs()
            )));
        }
    };
    if !steady {
        return Err(still("the LUN began to be served anew meanwhile: nothing is taken; trying again".to_owned()));
    }
    Ok(Taken { drafts, at, paused })
}

fn take_all(mut drafts: Vec<Box<dyn Draft>>) -> Result<Vec<Box<dyn Draft>>, PoolError> {
    drafts.iter_mut().try_for_each(|draft| draft.take())?;
    Ok(drafts)
}

fn still(message: String) -> Trouble {
    Trouble::new(reasons::NOT_STILL, message)
}

fn not_still(why: NoPause) -> Trouble {
    still(match why {
        NoPause::NotServed => "the Lun is not served now: it is copied when it is (kubectl describe lun)".to_owned(),
        NoPause::Busy => format!(
            "running commands of the Lun have not ended within {} s: nothing is taken, and I/O goes on; trying again",
            STILL_WITHIN.as_secs()
        ),
    })
}
