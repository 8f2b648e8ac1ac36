//! The worker of one LUN: looks at what is wanted and what is, does the next thing, says what became of it.
//!
//! One task for each LUN, so that one that waits (for storage, for the kernel, for a Secret) makes no
//! other wait. Whatever it was doing when the agent died, a new worker reads configfs and goes on.
//!
//! A pass is whole ([`serve`], [`remove`]) or a glance at who is logged in. Whole passes over a LUN that is
//! well are rare, since they read everything of it; a glance is a few files, and needs somebody who may log
//! in. A pass ends early only when the agent stops: every other change waits for its end, because what it
//! has asked of storage or of the kernel goes on meanwhile.

mod ask;
mod copy;
mod import;
mod local;
mod others;
mod remove;
mod serve;
mod thread;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use lunette_lio::Uid;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

pub use local::{local_initiator, not_listed};
pub use others::Others;
pub use serve::is_enabled;

use super::Context;
use super::export;
use super::intent::{Assignment, Intent};
use super::report::{Progress, Reporter};
use crate::attach::{Order, Request};
use crate::lun::State;
use crate::trouble::Trouble;
use thread::Running;

/// How often a LUN that is well is looked at whole: space, Secrets, changes made by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The same for a LUN that nobody may log in to.
const LOOK_AGAIN_UNUSED: Duration = Duration::from_secs(300);
/// How often it is looked who is logged in.
const GLANCE: Duration = Duration::from_secs(10);
/// All LUNs of a node together are not looked at more often than this, so that a thousand that do nothing cost nothing: what
/// is seen only by looking is seen later then.
const ONE_LOOK_EACH: Duration = Duration::from_secs(1);
/// The same of glances.
const ONE_GLANCE_EACH: Duration = Duration::from_millis(50);
/// The first pause after trouble; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How long running commands may take before a LUN is removed over them.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// The worker of one LUN.
pub struct Worker {
    context: Arc<Context>,
    uid: Uid,
    intents: watch::Receiver<Intent>,
    thread: Option<Running>,
    /// Why the last thread ended, until another is started.
    died: Option<String>,
    reporter: Reporter,
    /// The pause after the next trouble.
    pause: Duration,
    /// The pause before the next restart of a thread that ended: one that starts well and dies again and
    /// again is no better for having started.
    restart_pause: Duration,
    last: Option<Assignment>,
    /// How far the last whole pass came, or this one has come.
    progress: Progress,
    removing: bool,
    /// Orders about this machine's own disk of the LUN.
    orders: mpsc::UnboundedReceiver<Request>,
    /// Those that nobody has had an answer to yet.
    asked: Vec<Request>,
    /// The last of them; `None`: the disk is to be as it is.
    attach: Option<Order>,
    /// When the next whole pass is due, if nothing happens.
    whole_at: Instant,
    /// Those who began with this one, until it has begun.
    others: Option<Others>,
}

/// How much a pass looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Everything.
    Whole,
    /// Who is logged in.
    Glance,
}

/// What the worker does next.
#[derive(Debug)]
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
    pub fn new(context: Arc<Context>, uid: Uid, intents: watch::Receiver<Intent>, others: Others) -> Self {
        let reporter = Reporter::new(Arc::clone(&context), uid.clone());
        let orders = context.desk.open(uid.as_str());
        Self {
            context,
            uid,
            intents,
            thread: None,
            died: None,
            reporter,
            pause: FIRST_PAUSE,
            restart_pause: FIRST_PAUSE,
            last: None,
            progress: Progress::default(),
            removing: false,
            orders,
            asked: Vec::new(),
            attach: None,
            whole_at: Instant::now(),
            others: Some(others),
        }
    }

    /// Works until the LUN is gone or the agent stops. Whether it was served until then, and is held no more.
    pub async fn run(mut self) -> bool {
        let mut look = Look::Whole;
        loop {
            let leaving = told(&self.intents, |intent| matches!(intent, Intent::Leave));
            let passed = tokio::select! {
                biased;
                () = leaving => None,
                next = self.pass(look) => Some(next),
            };
            look = match passed {
                None => return self.leave().await,
                Some(Next::Finished) => return false,
                Some(Next::Well) => self.rest(look).await,
                Some(Next::Trouble(trouble)) => {
                    let pause = self.next_pause(&trouble);
                    self.wait(Instant::now() + pause).await;
                    Look::Whole
                }
            };
        }
    }

    async fn pass(&mut self, look: Look) -> Next {
        let intent = self.intents.borrow_and_update().clone();
        match (intent, look) {
            (Intent::Serve(assignment), Look::Glance) => self.glance(assignment).await,
            (Intent::Serve(assignment), Look::Whole) => self.serve(assignment).await,
            (Intent::Remove { last, reclaim, gone }, _) => {
                // Nobody is to wait for what will not be served.
                self.others = None;
                self.remove(last, reclaim, gone).await
            }
            // Leaving comes before any pass.
            (Intent::Leave, _) => Next::Finished,
        }
    }

    /// Looks who is logged in, and says so if that, or anything of ours that was not heard, is news.
    async fn glance(&mut self, assignment: Assignment) -> Next {
        let iqn = self.context.prefix.target(&self.uid);
        let sessions = export::sessions(&self.context, &self.uid, &iqn).await;
        let news = sessions.filter(|sessions| *sessions != self.progress.sessions);
        if news.is_some() || !self.reporter.is_told() {
            self.progress.sessions = news.unwrap_or_else(|| std::mem::take(&mut self.progress.sessions));
            self.reporter.serving(&assignment.lun, &self.progress, None).await;
        }
        Next::Well
    }

    /// Rests after a pass over a LUN that is well; how much the next one looks at.
    async fn rest(&mut self, looked: Look) -> Look {
        let now = Instant::now();
        if looked == Look::Whole {
            self.whole_at = now + early(self.look_again());
        }
        let told = self.reporter.is_told();
        let soon = now + among(self.context.board.count(), ONE_GLANCE_EACH, GLANCE);
        let next = match self.removing {
            // A report that was not heard is repeated by the pass that makes it.
            true if !told => (soon, Look::Whole),
            false if (!told || self.may_log_in()) && soon < self.whole_at => (soon, Look::Glance),
            _ => (self.whole_at, Look::Whole),
        };
        if self.wait(next.0).await { next.1 } else { Look::Whole }
    }

    fn look_again(&self) -> Duration {
        let alone = if self.removing || self.may_log_in() { LOOK_AGAIN } else { LOOK_AGAIN_UNUSED };
        among(self.context.board.count(), ONE_LOOK_EACH, alone)
    }

    fn may_log_in(&self) -> bool {
        self.last.as_ref().is_some_and(|last| !last.lun.spec.initiators.is_empty())
    }

    fn next_pause(&mut self, trouble: &Trouble) -> Duration {
        tracing::warn!(uid = %self.uid, reason = trouble.reason, "{}", trouble.message);
        doubled(&mut self.pause)
    }

    /// Waits for a new intent, an order, the end of the LUN's thread, or `until`; whether it was that.
    async fn wait(&mut self, until: Instant) -> bool {
        let thread_ends = ended(self.thread.as_ref().map(|running| running.thread.watch()));
        tokio::select! {
            Some(order) = self.orders.recv() => {
                self.take_order(order);
                false
            }
            changed = self.intents.changed() => {
                if changed.is_ok() {
                    self.pause = FIRST_PAUSE;
                }
                false
            }
            () = thread_ends => false,
            () = sleep_until(until) => true,
        }
    }

    async fn leave(&mut self) -> bool {
        let served = self.is_serving();
        match self.thread.take() {
            Some(running) => running.thread.stop(DRAIN_WITHIN).await && served,
            None => false,
        }
    }
}

/// Ends once the intent is such; also when there will be no more intents.
fn told(intents: &watch::Receiver<Intent>, such: fn(&Intent) -> bool) -> impl Future<Output = ()> + use<> {
    let mut intents = intents.clone();
    async move { drop(intents.wait_for(such).await) }
}

/// Ends with the thread, if there is one.
async fn ended(thread: Option<watch::Receiver<State>>) {
    match thread {
        Some(mut state) => drop(state.wait_for(|state| matches!(state, State::Ended(_))).await),
        None => std::future::pending().await,
    }
}

/// The pause to make now; the next one is twice as long, within bounds.
fn doubled(pause: &mut Duration) -> Duration {
    std::mem::replace(pause, (*pause * 2).min(LAST_PAUSE))
}

/// The time between two looks at one of so many LUNs, where all together may be looked at once in `each`, and one that is alone
/// once in `alone`.
fn among(luns: usize, each: Duration, alone: Duration) -> Duration {
    each.saturating_mul(u32::try_from(luns).unwrap_or(u32::MAX)).max(alone)
}

/// Up to a quarter less, at random, so that many LUNs are not all looked at in the same moment.
fn early(time: Duration) -> Duration {
    let chance = u32::from(RandomState::new().hash_one(0_u8).to_le_bytes()[0]);
    time - time / 4 * chance / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let mut pause = FIRST_PAUSE;
        let made: Vec<u64> = (0..9).map(|_| u64::try_from(doubled(&mut pause).as_millis()).unwrap()).collect();
        assert_eq!(made, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn the_more_luns_there_are_the_more_rarely_each_is_looked_at() {
        let looks = [1, 60, 1000].map(|luns| among(luns, ONE_LOOK_EACH, LOOK_AGAIN).as_secs());
        assert_eq!(looks, [60, 60, 1000]);
        let glances = [1, 200, 1000].map(|luns| among(luns, ONE_GLANCE_EACH, GLANCE).as_secs());
        assert_eq!(glances, [10, 10, 50]);
    }

    #[test]
    fn looks_come_up_to_a_quarter_early_and_not_all_at_once() {
        let waits: Vec<Duration> = (0..64).map(|_| early(LOOK_AGAIN)).collect();
        assert!(waits.iter().all(|wait| (LOOK_AGAIN * 3 / 4..=LOOK_AGAIN).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
