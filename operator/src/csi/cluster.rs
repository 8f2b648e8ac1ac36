//! What the calls need of the cluster, and nothing else: tests have one in memory.

use std::future::Future;

use lunette_api::csi::VolumeId;
use lunette_api::{Lun, LunNode, LunPool, LunSnapshot};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::chap::Credentials;
use super::deadline::Deadline;
use super::failure::Kind;
use crate::error::{Error, ErrorKind};

/// What became of an object that was to be created.
#[derive(Clone, Debug)]
pub enum Creation<K = Lun> {
    /// It is there.
    Created(Box<K>),
    /// There was one of that name.
    Exists,
}

/// A wait that brought nothing.
#[derive(Debug, Error)]
pub enum WaitError<K = Lun> {
    /// The time is up. The object as it was last seen.
    #[error("the time is up")]
    TimedOut(Box<K>),
    /// The API server could not be asked.
    #[error(transparent)]
    Api(#[from] Error),
}

/// The Luns, snapshots, pools, nodes and Secrets of the cluster.
pub trait Cluster: Send + Sync + 'static {
    /// Whether it can be relied on: its Luns have been seen.
    fn is_ready(&self) -> bool;

    /// The Lun as it is stored now.
    fn lun(&self, id: &VolumeId) -> impl Future<Output = Result<Option<Lun>, Error>> + Send;

    /// Every Lun; `None` before they have been seen.
    fn luns(&self) -> Option<Vec<Lun>>;

    /// The pool of that name.
    fn pool(&self, name: &str) -> impl Future<Output = Result<Option<LunPool>, Error>> + Send;

    /// The node of that name.
    fn node(&self, name: &str) -> impl Future<Output = Result<Option<LunNode>, Error>> + Send;

    /// Every node.
    fn nodes(&self) -> impl Future<Output = Result<Vec<LunNode>, Error>> + Send;

    /// Creates a Lun.
    fn create(&self, lun: &Lun) -> impl Future<Output = Result<Creation, Error>> + Send;

    /// Changes a Lun that is still what was read: a merge patch. A conflict means that it was changed since.
    fn change(&self, lun: &Lun, patch: Value) -> impl Future<Output = Result<Lun, Error>> + Send;

    /// Begins the deletion of that very Lun; one that is gone is as good.
    fn delete(&self, lun: &Lun) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes a Secret of the Lun anew, in place of one that may be there.
    fn write_secret(
        &self,
        lun: &Lun,
        name: &str,
        secret: &Credentials,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a Secret of the Lun; one that is gone is as good.
    fn delete_secret(&self, lun: &Lun, name: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits until that very Lun is as wanted; `None` when it is gone.
    fn wait(
        &self,
        lun: &Lun,
        deadline: Deadline,
        wanted: impl Fn(&Lun) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Option<Lun>, WaitError>> + Send;

    /// The snapshot as it is stored now.
    fn snapshot(&self, id: &VolumeId) -> impl Future<Output = Result<Option<LunSnapshot>, Error>> + Send;

    /// Every snapshot; `None` before they have been seen.
    fn snapshots(&self) -> Option<Vec<LunSnapshot>>;

    /// Creates a snapshot.
    fn create_snapshot(
        &self,
        snapshot: &LunSnapshot,
    ) -> impl Future<Output = Result<Creation<LunSnapshot>, Error>> + Send;

    /// Begins the deletion of that very snapshot; one that is gone is as good.
    fn delete_snapshot(&self, snapshot: &LunSnapshot) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits until that very snapshot is as wanted; `None` when it is gone.
    fn wait_snapshot(
        &self,
        snapshot: &LunSnapshot,
        deadline: Deadline,
        wanted: impl Fn(&LunSnapshot) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Option<LunSnapshot>, WaitError<LunSnapshot>>> + Send;
}

/// Waits until what `look` finds is as wanted, looking again with each change; `None` when it finds none.
///
/// # Errors
/// The time is up, or it could not be looked for.
pub async fn wait_until<K, T, F>(
    mut changes: watch::Receiver<T>,
    deadline: Deadline,
    look: impl Fn() -> F,
    wanted: impl Fn(&K) -> bool,
) -> Result<Option<K>, WaitError<K>>
where
    F: Future<Output = Result<Option<K>, Error>>,
{
    loop {
        changes.borrow_and_update();
        let Some(now) = look().await? else { return Ok(None) };
        if wanted(&now) {
            return Ok(Some(now));
        }
        // Also where nothing is watched any more: then no change would ever be seen.
        if !matches!(timeout_at(deadline.instant(), changes.changed()).await, Ok(Ok(()))) {
            return Err(WaitError::TimedOut(Box::new(now)));
        }
    }
}

/// What kind of failure an API server's is for a caller of CSI.
pub fn kind(error: &Error) -> Kind {
    match error.kind() {
        ErrorKind::Malformed => Kind::Internal,
        ErrorKind::Conflict => Kind::Busy,
        ErrorKind::Forbidden => Kind::Forbidden,
        ErrorKind::Refused => Kind::Precondition,
        ErrorKind::Unavailable => Kind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_wait_ends_when_nothing_is_watched_any_more() {
        let (watch, changes) = watch::channel(());
        drop(watch);
        let look = || async { Ok(Some(1)) };
        let waited = wait_until(changes, Deadline::after(Duration::from_secs(3600)), look, |now| *now == 2).await;
        assert!(matches!(waited, Err(WaitError::TimedOut(last)) if *last == 1));
    }
}
