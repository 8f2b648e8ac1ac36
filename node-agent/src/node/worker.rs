//! The worker of one LUN: looks at what is wanted and what is, does the next thing, says what became of it.
//!
//! One task for each LUN, so that one that waits (for storage, for the kernel, for a Secret) makes no
//! other wait. Whatever it was doing when the agent died, a new worker reads configfs and goes on.
//!
//! The order matters. A ring that is there is served before anything else is looked at: initiators wait
//! for it. Removal holds commands off, lets the running ones end, and resets the ring before the fabric
//! is touched, so that no step waits in the kernel for a command that nobody answers.

use std::sync::Arc;
use std::time::Duration;

use lunette_api::conditions::reasons;
use lunette_backend::OpenOptions;
use lunette_lio::{Export, Found, Phase, ResetAnswer, Uid};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::Context;
use super::export::{self, Unapplied};
use super::intent::{Assignment, Intent};
use super::mode_record::ModeRecord;
use super::report::{Progress, Reporter};
use super::trouble::Trouble;
use super::wanted::Wanted;
use crate::lun::{Ended, Job, LunThread, Order, State};
use crate::storage::AnyPool;

/// How often a LUN that is well is looked at again: sessions, space, Secrets, changes made by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The first pause after trouble; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How long a ring's thread may take to open its volume and take the ring over.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long running commands may take before a LUN is removed over them.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How long storage may take for a request of the control side before that is reported.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);
/// A thread that served this long had a good start: its next failure is a first one again.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// The worker of one LUN.
pub struct Worker {
    context: Arc<Context>,
    uid: Uid,
    intents: watch::Receiver<Intent>,
    thread: Option<Running>,
    reporter: Reporter,
    pause: Duration,
    last: Option<Assignment>,
}

struct Running {
    thread: LunThread,
    options: OpenOptions,
    size: u64,
    since: Instant,
}

/// What the worker does next.
enum Next {
    /// It is as it is wanted.
    Well,
    /// Something is in the way: try again after a pause.
    Trouble(Trouble),
    /// There is nothing left to do, ever.
    Finished,
}

impl Worker {
    /// A worker that has not looked yet.
    pub fn new(context: Arc<Context>, uid: Uid, intents: watch::Receiver<Intent>) -> Self {
        let reporter = Reporter::new(Arc::clone(&context), uid.clone());
        Self { context, uid, intents, thread: None, reporter, pause: FIRST_PAUSE, last: None }
    }

    /// Works until the LUN is gone or the agent stops.
    pub async fn run(mut self) {
        loop {
            let intent = self.intents.borrow_and_update().clone();
            let next = match intent {
                Intent::Leave => return self.leave().await,
                Intent::Serve(assignment) => self.serve(assignment).await,
                Intent::Remove { last, reclaim, gone } => self.remove(last, reclaim, gone).await,
            };
            let wait = match next {
                Next::Finished => return,
                Next::Well => LOOK_AGAIN,
                Next::Trouble(trouble) => self.next_pause(&trouble),
            };
            self.wait(wait).await;
        }
    }

    fn next_pause(&mut self, trouble: &Trouble) -> Duration {
        tracing::warn!(uid = %self.uid, reason = trouble.reason, "{}", trouble.message);
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_PAUSE);
        pause
    }

    /// Waits for a new intent, the end of the LUN's thread, or the time to look again.
    async fn wait(&mut self, at_most: Duration) {
        let ended = self.thread.as_ref().map(|running| running.thread.watch());
        let thread_ends = async move {
            match ended {
                Some(mut state) => drop(state.wait_for(|state| matches!(state, State::Ended(_))).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.intents.changed() => if changed.is_ok() { self.pause = FIRST_PAUSE },
            () = thread_ends => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    async fn leave(&mut self) {
        if let Some(running) = self.thread.take() {
            running.thread.stop(DRAIN_WITHIN).await;
        }
    }

    async fn serve(&mut self, assignment: Assignment) -> Next {
        self.last = Some(assignment.clone());
        let mut progress = Progress::default();
        let served = self.make_served(&assignment, &mut progress).await;
        let trouble = served.err();
        self.reporter.serving(&assignment.lun, &progress, trouble.as_ref()).await;
        match trouble {
            Some(trouble) => Next::Trouble(trouble),
            None => {
                self.pause = FIRST_PAUSE;
                Next::Well
            }
        }
    }

    /// Every step towards a served LUN, in order; `progress` says how far it came.
    async fn make_served(&mut self, assignment: &Assignment, progress: &mut Progress) -> Result<(), Trouble> {
        let lun = &assignment.lun;
        let died = self.bury_thread();
        let wanted = Wanted::read(&self.uid, lun)?;
        let found = export::read(&self.context, &self.uid).await?;
        progress.exported = stands(&found);
        let pool = pool(assignment)?;
        if is_enabled(&found) {
            self.ensure_thread(&wanted, &pool, &found, died.as_deref()).await?;
            progress.serving = true;
        }
        self.ensure_volume(&wanted, &pool).await?;
        let found = self.ensure_backstore(&wanted, found).await?;
        self.ensure_thread(&wanted, &pool, &found, died.as_deref()).await?;
        progress.serving = true;
        self.ensure_target(&wanted, assignment, &found).await?;
        progress.exported = true;
        progress.capacity = Some(wanted.spec.size);
        progress.allocated = self.allocated(&wanted, &pool).await;
        progress.sessions = export::sessions(&self.context, &wanted.iqn).await;
        Ok(())
    }

    /// Lets go of a thread that has ended; why it did, if not because it was told to.
    fn bury_thread(&mut self) -> Option<String> {
        let running = self.thread.take_if(|running| matches!(running.thread.state(), State::Ended(_)))?;
        if running.since.elapsed() > GOOD_RUN {
            self.pause = FIRST_PAUSE;
        }
        match running.thread.state() {
            State::Ended(Ended::Failed(why)) => Some(why),
            State::Ended(Ended::Removed) => Some("its backstore was removed by someone else".to_owned()),
            _ => None,
        }
    }

    async fn ensure_volume(&mut self, wanted: &Wanted, pool: &AnyPool) -> Result<(), Trouble> {
        let (pool, volume, spec) = (pool.clone(), wanted.volume.clone(), wanted.spec.clone());
        self.patiently(move || {
            pool.create(&volume, &spec)?;
            pool.grow(&volume, spec.size)
        })
        .await?
        .map_err(Trouble::from)
    }

    /// Asks storage something that may block: reports once when it takes long, and waits on.
    async fn patiently<T: Send + 'static>(&mut self, ask: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
        let mut asked = spawn_blocking(ask);
        let failed = |error| Trouble::new(reasons::POOL_UNAVAILABLE, format!("asking the pool failed: {error}"));
        if let Ok(answered) = timeout(STORAGE_PATIENCE, &mut asked).await {
            return answered.map_err(failed);
        }
        let seconds = STORAGE_PATIENCE.as_secs();
        let message = format!(
            "the pool's storage has not answered for {seconds} s: see that its file system is not frozen, full or gone; waiting on"
        );
        let trouble = Trouble::new(reasons::POOL_UNAVAILABLE, message);
        if let Some(last) = self.last.clone() {
            let progress = Progress { serving: self.thread.is_some(), ..Progress::default() };
            self.reporter.serving(&last.lun, &progress, Some(&trouble)).await;
        }
        asked.await.map_err(failed)
    }

    async fn ensure_backstore(&mut self, wanted: &Wanted, found: Found) -> Result<Found, Trouble> {
        let target = found.export.target.clone();
        let want = Export { backstore: Some(wanted.backstore()), target };
        let plan = export::plan(&found, Some(&want))?;
        if plan.steps(Phase::Backstore).is_empty() {
            return Ok(found);
        }
        self.applied(&plan, &[Phase::Backstore]).await?;
        if let Some(running) = &mut self.thread
            && running.size != wanted.spec.size
        {
            running.thread.order(Order::Resized);
            running.size = wanted.spec.size;
        }
        export::read(&self.context, &self.uid).await
    }

    async fn ensure_thread(
        &mut self,
        wanted: &Wanted,
        pool: &AnyPool,
        found: &Found,
        died: Option<&str>,
    ) -> Result<(), Trouble> {
        self.stop_if_opened_otherwise(wanted).await;
        if self.thread.is_some() {
            return Ok(());
        }
        if let Some(why) = died {
            let trouble =
                Trouble::new(reasons::RESTARTING, format!("the LUN's thread ended and is started again: {why}"));
            let pause = self.next_pause(&trouble);
            if let Some(last) = self.last.clone() {
                self.reporter
                    .serving(&last.lun, &Progress { exported: true, ..Progress::default() }, Some(&trouble))
                    .await;
            }
            tokio::time::sleep(pause).await;
        }
        let thread = self.start_thread(wanted, pool, found)?;
        let mut state = thread.watch();
        let options = wanted.options.clone();
        self.thread = Some(Running { thread, options, size: wanted.spec.size, since: Instant::now() });
        let started = timeout(START_WITHIN, state.wait_for(|state| *state != State::Starting)).await;
        let state = match started {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => State::Ended(Ended::Failed("its thread vanished".to_owned())),
            Err(_) => State::Starting,
        };
        match state {
            State::Serving => Ok(()),
            State::Starting => Err(Trouble::new(
                reasons::POOL_UNAVAILABLE,
                "the LUN's volume has not opened for a minute: see that the pool's storage answers; waiting on",
            )),
            State::Ended(ended) => {
                self.thread = None;
                Err(Trouble::new(reasons::POOL_UNAVAILABLE, format!("the LUN cannot be served: {}", text(&ended))))
            }
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

    fn start_thread(&self, wanted: &Wanted, pool: &AnyPool, found: &Found) -> Result<LunThread, Trouble> {
        let (for_thread, record) = (wanted.clone(), ModeRecord::of(&self.context.state_dir, &self.uid));
        let job = Job {
            found: found.clone(),
            volume: wanted.volume.clone(),
            options: wanted.options.clone(),
            config: Box::new(move || for_thread.scsi(record)),
            configfs: Arc::clone(&self.context.configfs),
            kernel: self.context.kernel.clone(),
        };
        let name = wanted.spec.owner.rsplit('/').next().unwrap_or_default();
        pool.serve(name, job).map_err(|error| {
            Trouble::new(
                reasons::RESTARTING,
                format!("no thread for the LUN ({error}): raise the limits of tasks and open files"),
            )
        })
    }

    async fn ensure_target(&mut self, wanted: &Wanted, assignment: &Assignment, found: &Found) -> Result<(), Trouble> {
        let target = export::target(&self.context, wanted, &assignment.lun).await?;
        let want = Export { backstore: Some(wanted.backstore()), target: Some(target) };
        let plan = export::plan(found, Some(&want))?;
        self.applied(&plan, &[Phase::Target]).await
    }

    /// Applies, and waits out a step that is overdue, after saying so.
    async fn applied(&mut self, plan: &lunette_lio::Plan, phases: &[Phase]) -> Result<(), Trouble> {
        match export::apply(&self.context, plan, phases).await {
            Ok(()) => Ok(()),
            Err(Unapplied::Failed(trouble)) => Err(trouble),
            Err(Unapplied::Stuck(stuck)) => {
                let trouble = Trouble::new(reasons::CONFIGFS_STUCK, stuck.to_string());
                if let Some(last) = self.last.clone() {
                    let progress = Progress { serving: self.thread.is_some(), ..Progress::default() };
                    self.reporter.serving(&last.lun, &progress, Some(&trouble)).await;
                }
                while !stuck.is_over() {
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                Err(trouble)
            }
        }
    }

    async fn allocated(&mut self, wanted: &Wanted, pool: &AnyPool) -> Option<u64> {
        let (pool, volume) = (pool.clone(), wanted.volume.clone());
        let usage = self.patiently(move || pool.usage(&volume)).await.ok()?.ok()?;
        Some(usage.allocated)
    }

    async fn remove(&mut self, last: Option<Assignment>, reclaim: bool, gone: bool) -> Next {
        let last = last.or_else(|| self.last.clone());
        if let Some(last) = &last {
            self.reporter.removing(&last.lun, None).await;
        }
        let removed = self.make_removed(last.as_ref(), reclaim).await;
        match (removed, last) {
            (Err(trouble), last) => {
                if let Some(last) = last {
                    self.reporter.removing(&last.lun, Some(&trouble)).await;
                }
                Next::Trouble(trouble)
            }
            (Ok(()), last) if gone => {
                self.reporter.gone(last.as_ref().map(|last| last.lun.as_ref()), reclaim).await;
                Next::Finished
            }
            (Ok(()), Some(last)) => {
                self.reporter.removed(&last.lun, reclaim).await;
                Next::Well
            }
            (Ok(()), None) => Next::Finished,
        }
    }

    /// Every step towards nothing being left, in order.
    async fn make_removed(&mut self, last: Option<&Assignment>, reclaim: bool) -> Result<(), Trouble> {
        let found = export::read(&self.context, &self.uid).await?;
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
        act: impl FnOnce(&dyn lunette_lio::Configfs, &Found) -> Result<(), lunette_lio::ActionError> + Send + 'static,
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
        let wanted = Wanted::read(&self.uid, &last.lun)?;
        let pool = pool(last)?;
        self.patiently(move || pool.remove(&wanted.volume)).await?.map_err(Trouble::from)?;
        ModeRecord::of(&self.context.state_dir, &self.uid).remove();
        Ok(())
    }
}

fn pool(assignment: &Assignment) -> Result<AnyPool, Trouble> {
    let name = &assignment.lun.spec.pool;
    let pool = assignment.pool.as_ref().ok_or_else(|| {
        let message = format!("there is no LunPool {name}: create it, or name another");
        Trouble::new(reasons::POOL_NOT_FOUND, message)
    })?;
    Ok(AnyPool::new(&pool.spec)?)
}

fn is_enabled(found: &Found) -> bool {
    found.export.backstore.as_ref().is_some_and(|backstore| backstore.enabled)
}

/// Whether initiators can log in.
fn stands(found: &Found) -> bool {
    found.export.target.as_ref().is_some_and(|target| target.tpgs.values().any(|tpg| tpg.enabled))
}

fn text(ended: &Ended) -> &str {
    match ended {
        Ended::Stopped => "it was stopped",
        Ended::Removed => "its backstore was removed",
        Ended::Failed(why) => why,
    }
}
