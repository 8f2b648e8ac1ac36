//! Asking storage and the kernel, which may never answer: reported once when it takes long, and waited for.
//!
//! Nothing that was asked is asked again over itself, so a worker that waits here starts nothing else. Only
//! the end of the agent cuts the wait short.

use std::time::Duration;

use lunette_api::conditions::reasons;
use lunette_lio::{Phase, Plan};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::super::export::{self, Unapplied};
use super::{FIRST_PAUSE, Worker};
use crate::trouble::Trouble;

/// How long storage may take for a request of the control side before that is reported.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// Asks storage something that may block.
    pub(super) async fn patiently<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        let mut asked = spawn_blocking(ask);
        let failed = |error| Trouble::new(reasons::POOL_UNAVAILABLE, format!("asking the pool failed: {error}"));
        if let Ok(answered) = timeout(STORAGE_PATIENCE, &mut asked).await {
            return answered.map_err(failed);
        }
        let seconds = STORAGE_PATIENCE.as_secs();
        let message = format!(
            "the pool's storage has not answered for {seconds} s: see that its file system is not frozen, full or gone; waiting on"
        );
        self.say_waiting(&Trouble::new(reasons::POOL_UNAVAILABLE, message)).await;
        asked.await.map_err(failed)
    }

    /// Applies, and waits out a step that is overdue.
    pub(super) async fn applied(&mut self, plan: &Plan, phases: &[Phase]) -> Result<(), Trouble> {
        match export::apply(&self.context, plan, phases).await {
            Ok(()) => Ok(()),
            Err(Unapplied::Failed(trouble)) => Err(trouble),
            Err(Unapplied::Stuck(stuck)) => {
                let trouble = Trouble::new(reasons::CONFIGFS_STUCK, stuck.to_string());
                self.say_waiting(&trouble).await;
                while !stuck.is_over() {
                    sleep(FIRST_PAUSE).await;
                }
                Err(trouble)
            }
        }
    }

    /// Reports what is waited for in the midst of a pass, with what the pass has found so far.
    pub(super) async fn say_waiting(&mut self, trouble: &Trouble) {
        let Some(last) = self.last.clone() else { return };
        if self.removing {
            self.reporter.removing(&last.lun, Some(trouble)).await;
        } else {
            self.progress.serving = self.is_serving();
            self.reporter.serving(&last.lun, &self.progress, Some(trouble)).await;
        }
    }
}
