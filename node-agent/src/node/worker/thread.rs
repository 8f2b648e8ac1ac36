//! The LUN's thread, from its worker's point of view: started, started again when it ended, told of sizes.

use std::sync::Arc;
use std::time::Duration;

use lunette_api::conditions::reasons;
use lunette_backend::OpenOptions;
use lunette_lio::Found;
use lunette_scsi::Access;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::super::access;
use super::super::intent::Intent;
use super::super::mode_record::ModeRecord;
use super::super::wanted::Wanted;
use super::{DRAIN_WITHIN, FIRST_PAUSE, Worker, doubled, told};
use crate::lun::{Ended, Job, LunThread, Order, Rates, State};
use crate::storage::AnyPool;
use crate::trouble::Trouble;

/// How long a ring's thread may take to open its volume and take the ring over.
const START_WITHIN: Duration = Duration::from_secs(60);
/// A thread that served this long had a good start: its next failure is a first one again.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// A thread and what it was started with.
pub struct Running {
    pub thread: LunThread,
    options: OpenOptions,
    /// The size that it was last told to look for.
    size: Option<u64>,
    /// How it was last told to be reached.
    access: Option<Access>,
    /// The limits that it was last told to keep.
    limits: Option<Rates>,
    since: Instant,
}

impl Worker {
    /// Lets go of a thread that has ended, and notes why it did if not because it was told to.
    pub(super) fn bury_thread(&mut self) {
        let is_over = |running: &mut Running| matches!(running.thread.state(), State::Ended(_));
        let Some(running) = self.thread.take_if(is_over) else { return };
        if running.since.elapsed() > GOOD_RUN {
            self.restart_pause = FIRST_PAUSE;
        }
        self.died = match running.thread.state() {
            State::Ended(Ended::Failed(why)) => Some(why),
            State::Ended(Ended::Removed) => Some("its backstore was removed by someone else".to_owned()),
            _ => None,
        };
    }

    /// Whether commands are answered.
    pub(super) fn is_serving(&self) -> bool {
        self.thread.as_ref().is_some_and(|running| running.thread.state() == State::Serving)
    }

    /// A thread that serves, opened as it is wanted. Through which ports the LUN is reached it reads itself unless that is
    /// given.
    pub(super) async fn ensure_thread(
        &mut self,
        wanted: &Wanted,
        pool: &AnyPool,
        found: &Found,
        access: Option<Access>,
    ) -> Result<(), Trouble> {
        self.stop_if_opened_otherwise(wanted).await;
        if self.thread.is_none() {
            self.pause_before_restart().await?;
            let thread = self.start_thread(wanted, pool, found, access)?;
            self.context.board.ledger(self.uid.as_str()).open(thread.meter());
            self.context.pausers.put(self.uid.as_str(), thread.pauser());
            let options = wanted.options.clone();
            let since = Instant::now();
            self.thread = Some(Running { thread, options, size: None, access: None, limits: None, since });
        }
        self.ensure_limits(wanted.limits);
        self.wait_until_serving().await?;
        self.progress.serving = true;
        Ok(())
    }

    /// Has the thread look at its volume's size once more, unless it has since this was wanted. A volume may
    /// have grown before the thread was started, by an agent that died before it could say so.
    pub(super) fn ensure_size_is_known(&mut self, size: u64) {
        if let Some(running) = &mut self.thread
            && running.size != Some(size)
        {
            running.thread.order(Order::Resized);
            running.size = Some(size);
        }
    }

    /// Tells the thread through which ports the LUN is reached, and in which state they are, unless it has been
    /// told so. The kernel makes ports with the targets, which is later than the thread.
    pub(super) async fn ensure_access_is_known(&mut self, wanted: &Wanted, found: Found) {
        let (configfs, target) = (Arc::clone(&self.context.configfs), wanted.iqn.clone());
        let read = spawn_blocking(move || access::read(configfs.as_ref(), &found, &target)).await;
        if let (Ok(Some(access)), Some(running)) = (read, &mut self.thread)
            && running.access.as_ref() != Some(&access)
        {
            running.thread.order(Order::Reached(access.clone()));
            running.access = Some(access);
        }
    }

    /// Has the thread keep the limits that are wanted, unless it was told to before. A thread that has just been
    /// started hears of them before it takes its first command.
    fn ensure_limits(&mut self, limits: Option<Rates>) {
        if let Some(running) = &mut self.thread
            && running.limits != limits
        {
            running.thread.order(Order::Limit(limits));
            running.limits = limits;
        }
    }

    /// A volume keeps the manner in which it was opened: another one needs another thread. Initiators wait
    /// for the moment that it takes.
    async fn stop_if_opened_otherwise(&mut self, wanted: &Wanted) {
        if let Some(running) = self.thread.take_if(|running| running.options != wanted.options)
            && !running.thread.stop(DRAIN_WITHIN).await
        {
            tracing::warn!(uid = %self.uid, "commands still wait for storage: the volume is opened anew when they end");
        }
    }

    async fn pause_before_restart(&mut self) -> Result<(), Trouble> {
        let Some(why) = self.died.take() else { return Ok(()) };
        let message = format!("the LUN's thread ended and is started again: {why}");
        let trouble = Trouble::new(reasons::RESTARTING, message);
        let pause = doubled(&mut self.restart_pause);
        tracing::warn!(uid = %self.uid, ?pause, "{}", trouble.message);
        self.say_waiting(&trouble).await;
        tokio::select! {
            () = sleep(pause) => Ok(()),
            () = told(&self.intents, is_no_service) => Err(trouble),
        }
    }

    async fn wait_until_serving(&mut self) -> Result<(), Trouble> {
        let Some(running) = &self.thread else { return Ok(()) };
        let mut state = running.thread.watch();
        let state = tokio::select! {
            started = state.wait_for(|state| *state != State::Starting) => started.map(|state| state.clone()),
            () = told(&self.intents, is_no_service) => Ok(State::Starting),
            () = sleep(START_WITHIN) => Ok(State::Starting),
        };
        let ended = match state {
            Ok(State::Serving) => return Ok(()),
            Ok(State::Starting) => {
                let message =
                    "the LUN's volume has not opened for a minute: see that the pool's storage answers; waiting on";
                return Err(Trouble::new(reasons::POOL_UNAVAILABLE, message));
            }
            Ok(State::Ended(ended)) => ended,
            Err(_) => Ended::Failed("its thread vanished".to_owned()),
        };
        self.thread = None;
        Err(Trouble::new(reasons::POOL_UNAVAILABLE, format!("the LUN cannot be served: {}", text(&ended))))
    }

    fn start_thread(
        &self,
        wanted: &Wanted,
        pool: &AnyPool,
        found: &Found,
        access: Option<Access>,
    ) -> Result<LunThread, Trouble> {
        let (for_thread, record) = (wanted.clone(), ModeRecord::of(&self.context.state_dir, &self.uid));
        let (configfs, standing) = (Arc::clone(&self.context.configfs), found.clone());
        let job = Job {
            found: found.clone(),
            volume: wanted.volume.clone(),
            options: wanted.options.clone(),
            config: Box::new(move || {
                let access = access.or_else(|| access::read(configfs.as_ref(), &standing, &for_thread.iqn));
                for_thread.scsi(record, access)
            }),
            configfs: Arc::clone(&self.context.configfs),
            kernel: self.context.kernel.clone(),
            journal: self.context.journal(&self.uid),
        };
        let name = wanted.spec.owner.rsplit('/').next().unwrap_or_default();
        pool.serve(name, job).map_err(|error| {
            Trouble::new(
                reasons::RESTARTING,
                format!("no thread for the LUN ({error}): raise the limits of tasks and open files"),
            )
        })
    }
}

fn is_no_service(intent: &Intent) -> bool {
    !matches!(intent, Intent::Serve(_))
}

fn text(ended: &Ended) -> &str {
    match ended {
        Ended::Stopped => "it was stopped",
        Ended::Removed => "its backstore was removed",
        Ended::Failed(why) => why,
    }
}
