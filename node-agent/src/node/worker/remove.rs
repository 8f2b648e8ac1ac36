//! Towards nothing being left of a LUN: commands, target, backstore, and its data if they are to go.
//!
//! Commands are held off, the running ones end, and the ring is reset before the fabric is touched, so that
//! no step waits in the kernel for a command that nobody answers.

use std::sync::Arc;

use lunette_api::conditions::reasons;
use lunette_backend::VolumeId;
use lunette_lio::{ActionError, Configfs, Found, Phase, ResetAnswer};
use tokio::task::spawn_blocking;

use super::super::export;
use super::super::intent::Assignment;
use super::super::mode_record::ModeRecord;
use super::serve::{is_enabled, pool};
use super::{DRAIN_WITHIN, FIRST_PAUSE, Next, Worker};
use crate::attach::Refusal;
use crate::trouble::Trouble;

impl Worker {
    pub(super) async fn remove(&mut self, last: Option<Assignment>, reclaim: bool, gone: bool) -> Next {
        self.removing = true;
        self.last = last.or_else(|| self.last.take());
        self.attach = None;
        self.answer(&Err(Refusal::NotYet("the LUN is being removed: see `lunette-node status`".to_owned())));
        let last = self.last.clone();
        if let Some(last) = &last {
            self.reporter.removing(&last.lun, None).await;
        }
        if let Err(trouble) = self.make_removed(last.as_ref(), reclaim).await {
            if let Some(last) = last {
                self.reporter.removing(&last.lun, Some(&trouble)).await;
            }
            return Next::Trouble(trouble);
        }
        self.pause = FIRST_PAUSE;
        match last {
            last if gone => {
                self.reporter.gone(last.as_ref().map(|last| last.lun.as_ref()), reclaim).await;
                Next::Finished
            }
            Some(last) => {
                self.reporter.removed(&last.lun, reclaim).await;
                Next::Well
            }
            None => Next::Finished,
        }
    }

    /// Every step towards nothing being left, in order.
    async fn make_removed(&mut self, last: Option<&Assignment>, reclaim: bool) -> Result<(), Trouble> {
        // The ring will be reset, or is gone: nobody may go on with it.
        let _ = std::fs::remove_file(self.context.journal(&self.uid));
        let found = export::read_remains(&self.context, &self.uid).await?;
        if is_enabled(&found) {
            self.quiesce(&found).await?;
        } else if let Some(running) = self.thread.take() {
            running.thread.stop(DRAIN_WITHIN).await;
        }
        let plan = export::plan(&found, None)?;
        self.applied(&plan, &Phase::ALL).await?;
        match last {
            Some(last) if reclaim => self.reclaim(last).await,
            _ => Ok(()),
        }
    }

    /// Holds new commands off, lets the running ones end, and has the rest answered BUSY: afterwards no
    /// step of the removal waits for a command.
    async fn quiesce(&mut self, found: &Found) -> Result<(), Trouble> {
        self.act(found, |fs, found| lunette_lio::block_dev(fs, found, true)).await?;
        if let Some(running) = self.thread.take()
            && !running.thread.stop(DRAIN_WITHIN).await
        {
            tracing::warn!(uid = %self.uid, "commands still wait for storage: the LUN is removed over them");
        }
        self.act(found, |fs, found| lunette_lio::reset_ring(fs, found, ResetAnswer::Busy)).await
    }

    async fn act(
        &self,
        found: &Found,
        act: impl FnOnce(&dyn Configfs, &Found) -> Result<(), ActionError> + Send + 'static,
    ) -> Result<(), Trouble> {
        let (configfs, found) = (Arc::clone(&self.context.configfs), found.clone());
        let failed = |text: String| Trouble::new(reasons::CONFIGFS_FAILED, text);
        match spawn_blocking(move || act(configfs.as_ref(), &found)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn reclaim(&mut self, last: &Assignment) -> Result<(), Trouble> {
        let Some(volume) = VolumeId::parse(self.uid.as_str()) else { return Ok(()) };
        let pool = pool(last).map_err(|trouble| keeps_data(last, trouble))?;
        self.patiently(move || pool.remove(&volume)).await?.map_err(Trouble::from)?;
        ModeRecord::of(&self.context.state_dir, &self.uid).remove();
        Ok(())
    }
}

/// Nobody knows where the data are once their pool's description is gone.
fn keeps_data(last: &Assignment, trouble: Trouble) -> Trouble {
    if trouble.reason != reasons::POOL_NOT_FOUND {
        return trouble;
    }
    let name = &last.lun.spec.pool;
    let message = format!(
        "the target is gone, but its data cannot be deleted: there is no LunPool {name}; create it again, or set reclaimPolicy: Retain to leave them"
    );
    Trouble::new(reasons::POOL_NOT_FOUND, message)
}
