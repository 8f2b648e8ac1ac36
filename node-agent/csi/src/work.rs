//! A call's work: it goes on to its end although its caller has left, so that what was begun is known to be going on.

use std::time::Duration;

use lunette_csi_service::deadline::Deadline;
use lunette_csi_service::failure::{Failure, Kind};
use tokio::task::spawn_blocking;
use tokio::time::{timeout, timeout_at};

/// Longer than anything takes that ever ends: mkfs or a check of a large disk over a slow network.
const LONGEST: Duration = Duration::from_secs(1800);

/// Work that has no outcome, or none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// Its caller's time is up.
    #[error("it goes on: make the call again")]
    GoesOn,
    /// Storage or kernel do not answer.
    #[error("given up after {} min: does the LUN's storage answer? (`lunette-node status`, `dmesg`)", LONGEST.as_secs() / 60)]
    GivenUp,
    /// A bug of ours.
    #[error("the call's work ended in a panic: see the agent's log")]
    Panicked,
}

impl Failure for Unfinished {
    fn kind(&self) -> Kind {
        match self {
            Self::GoesOn => Kind::Deadline,
            Self::GivenUp => Kind::Unavailable,
            Self::Panicked => Kind::Internal,
        }
    }
}

/// Does the work to its end, and tells its outcome if that comes before the deadline.
///
/// # Errors
/// The work's own, or that there is no outcome.
pub async fn to_its_end<T, E>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Unfinished> + Send + 'static,
{
    let work = tokio::spawn(timeout(LONGEST, work));
    match timeout_at(deadline.instant(), work).await {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(_))) => Err(Unfinished::GivenUp.into()),
        Ok(Err(_)) => Err(Unfinished::Panicked.into()),
        Err(_) => Err(Unfinished::GoesOn.into()),
    }
}

/// Does what blocks.
///
/// # Errors
/// The work's own.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Unfinished> + Send + 'static,
{
    spawn_blocking(work).await.unwrap_or_else(|_| Err(Unfinished::Panicked.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_when_its_caller_has_left() {
        let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (go_on, ended) = (go.clone(), done.clone());
        let work = async move {
            go_on.notified().await;
            ended.notify_one();
            Ok::<(), Unfinished>(())
        };
        let outcome = to_its_end(Deadline::after(Duration::from_millis(1)), work).await;
        assert_eq!(outcome, Err(Unfinished::GoesOn));
        go.notify_one();
        done.notified().await;
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let work = async { blocking(|| -> Result<(), Unfinished> { panic!("a bug") }).await };
        let outcome = to_its_end(Deadline::after(Duration::from_secs(60)), work).await;
        assert_eq!(outcome, Err(Unfinished::Panicked));
    }
}
