//! Workers that begin together, as all do when an agent starts: each serves the ring that is there, and what else it has to
//! look at waits until the others serve theirs. A thousand LUNs would otherwise hold up one another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long to wait for others, whose storage may hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// One of those who begin together.
#[derive(Clone)]
pub struct Others {
    all: Arc<watch::Sender<()>>,
    /// Held until this one has begun.
    one: watch::Receiver<()>,
}

impl Others {
    /// The first; clones of it are the rest.
    pub fn new() -> Self {
        let (all, one) = watch::channel(());
        Self { all: Arc::new(all), one }
    }

    /// Says that this one has begun, and waits for the others.
    pub async fn wait(self) {
        let Self { all, one } = self;
        drop(one);
        // Those that take longer find enough time later.
        let _ = timeout(PATIENCE, all.closed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_wait_until_the_last_has_begun() {
        let first = Others::new();
        let (second, third) = (first.clone(), first.clone());
        let waiting = tokio::spawn(first.wait());
        tokio::task::yield_now().await;
        drop(second);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        third.wait().await;
        waiting.await.unwrap();
    }
}
