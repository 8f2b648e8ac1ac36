//! This node: which LUNs it must serve, and one worker for each that makes it so.
//!
//! A source (the API server, or a directory of manifests) says what is wanted as a [`View`]; [`Node`]
//! gives each LUN's part of it to that LUN's [`worker`]; what became of it is written on the [`Board`],
//! from where the source reports it and `lunette-node status` shows it. Level-triggered throughout: a
//! worker looks at what is and what is wanted, never at what changed.

mod access;
mod credentials;
mod export;
mod foresight;
mod handover;
mod instant;
mod intent;
mod lost;
mod mode_record;
mod noted;
mod remote;
mod report;
mod snapshots;
mod wanted;
mod worker;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lunette_initiator::Machine;
use lunette_lio::{Configfs, IqnPrefix, Portal, Preflight, Uid};
use tokio::sync::{mpsc, watch};

pub use foresight::{Foresight, foresee};
pub use instant::Pausers;
pub use lost::let_go_of_lost;
pub use remote::{attach as attach_remote, detach as detach_remote, order as order_remote, unknown as unknown_lun};
pub use wanted::check;

use intent::Intent;
use snapshots::Snapshots;
use worker::{Others, Worker};

use crate::attach::Desk;
use crate::handover::{Baton, Candidate, Served, Successors};
use crate::lun::Kernel;
use crate::source::{Source, View};
use crate::status::Board;

/// How long running commands may take when the agent stops; below what supervisors grant before SIGKILL.
const LEAVE_WITHIN: Duration = Duration::from_secs(8);

/// What does not change while the agent runs.
pub struct Context {
    /// This node's name.
    pub node: String,
    /// Where targets listen.
    pub portals: Vec<Portal>,
    /// LIO's configfs.
    pub configfs: Arc<dyn Configfs>,
    /// Where to look for what the kernel lacks.
    pub preflight: Preflight,
    /// What our targets' names begin with.
    pub prefix: IqnPrefix,
    /// Where the kernel's devices are.
    pub kernel: Kernel,
    /// Who says what is wanted.
    pub source: Source,
    /// Where what became of it is written.
    pub board: Arc<Board>,
    /// What can hold the LUNs still that are served here.
    pub pausers: Pausers,
    /// What was read of LUNs that another agent still serves.
    pub foresight: Foresight,
    /// Where someone on this machine asks for LUNs as local disks.
    pub desk: Arc<Desk>,
    /// Where local disks appear.
    pub machine: Machine,
    /// Where what must outlive the agent is kept.
    pub state_dir: PathBuf,
    /// Where what must outlive the agent but not the boot is kept.
    pub run_dir: PathBuf,
    /// Where it is told, while we succeed another agent, what is served.
    pub served: mpsc::UnboundedSender<Served>,
}

impl Context {
    /// Where what a LUN has in flight is written down.
    fn journal(&self, uid: &Uid) -> PathBuf {
        self.run_dir.join("journals").join(uid.to_string())
    }
}

/// The workers of this node's LUNs.
pub struct Node {
    context: Arc<Context>,
    workers: HashMap<String, watch::Sender<Intent>>,
    finished: mpsc::UnboundedReceiver<Finished>,
    finish: mpsc::UnboundedSender<Finished>,
    successors: Successors,
    /// Who stands by to go on when we are told to stop.
    heir: Option<Candidate>,
    snapshots: Snapshots,
    orphans_sought: bool,
}

/// A worker that has ended.
struct Finished {
    uid: String,
    /// Whether its LUN was served until now and is held by nobody any more.
    let_go: bool,
}

impl Node {
    /// A node that serves nothing yet, and will hand over to who comes from `successors`.
    pub fn new(context: Arc<Context>, successors: Successors) -> Self {
        let (finish, finished) = mpsc::unbounded_channel();
        let snapshots = Snapshots::new(Arc::clone(&context));
        Self {
            context,
            workers: HashMap::new(),
            finished,
            finish,
            successors,
            heir: None,
            snapshots,
            orphans_sought: false,
        }
    }

    /// Follows the views until `stop` is set, then hands over to who stands by; or stops every LUN's thread and leaves
    /// the kernel's side as it is, so that initiators wait for the next agent. Once all is handed over: what is left to
    /// give.
    pub async fn run(mut self, mut views: watch::Receiver<View>, mut stop: watch::Receiver<bool>) -> Option<Baton> {
        loop {
            let view = views.borrow_and_update().clone();
            self.follow(&view).await;
            let candidate = tokio::select! {
                Ok(()) = views.changed() => None,
                Some(finished) = self.finished.recv() => {
                    self.forget(&finished.uid);
                    None
                }
                Some(candidate) = self.successors.recv() => Some(candidate),
                _ = stop.wait_for(|stop| *stop) => break,
            };
            if let Some(candidate) = candidate
                && let Some(baton) = self.met(candidate).await
            {
                return Some(baton);
            }
        }
        if let Some(baton) = self.hand_to_heir().await {
            return Some(baton);
        }
        self.stop_all().await;
        None
    }

    async fn follow(&mut self, view: &View) {
        let others = Others::new();
        for (uid, lun) in &view.luns {
            self.tell(uid, Intent::of(lun, view), &others);
        }
        drop(others);
        let gone: Vec<String> = self.workers.keys().filter(|uid| !view.wants(uid)).cloned().collect();
        for uid in gone.into_iter().filter(|_| view.complete) {
            self.tell_gone(&uid);
        }
        if view.complete {
            self.snapshots.follow(view);
        }
        if view.complete && !self.orphans_sought {
            self.orphans_sought = self.seek_orphans(view).await;
        }
    }

    fn tell(&mut self, uid: &str, intent: Intent, others: &Others) {
        match self.workers.get(uid) {
            Some(worker) => {
                worker.send_if_modified(|old| {
                    let changed = *old != intent;
                    // Even where that is nothing to act on: it brings the status as the source shows it.
                    *old = intent;
                    changed
                });
            }
            None => self.start_worker(uid, intent, others.clone()),
        }
    }

    /// The LUN is not wanted any more. A directory of manifests says so by leaving it out, and then its
    /// own policy holds; an API server shows a LUN until it is unexported, so one that just vanished was
    /// moved or torn out, and its data stay.
    fn tell_gone(&mut self, uid: &str) {
        let reclaims = self.context.source.leaving_out_deletes();
        if let Some(worker) = self.workers.get(uid) {
            worker.send_if_modified(|old| old.make_gone(reclaims));
        }
    }

    fn start_worker(&mut self, uid: &str, intent: Intent, others: Others) {
        let Ok(parsed) = Uid::parse(uid) else {
            tracing::warn!(uid, "a Lun has a UID that is no UUID: it is not served");
            return;
        };
        let (sender, receiver) = watch::channel(intent);
        self.workers.insert(uid.to_owned(), sender);
        let (finish, name) = (self.finish.clone(), uid.to_owned());
        let worker = Worker::new(Arc::clone(&self.context), parsed, receiver, others);
        tokio::spawn(async move {
            let let_go = worker.run().await;
            // The receiver is gone only when the whole node is.
            let _ = finish.send(Finished { uid: name, let_go });
        });
    }

    fn forget(&mut self, uid: &str) {
        if self.workers.get(uid).is_some_and(|worker| worker.is_closed()) {
            self.workers.remove(uid);
        }
    }

    /// Exports of ours that no LUN wants: left by an agent that died before it could remove them. Their
    /// data stay. Returns whether the kernel's configuration could be read.
    async fn seek_orphans(&mut self, view: &View) -> bool {
        let (configfs, prefix) = (Arc::clone(&self.context.configfs), self.context.prefix.clone());
        let read = tokio::task::spawn_blocking(move || lunette_lio::owners(configfs.as_ref(), &prefix)).await;
        let owners = match read {
            Ok(Ok(owners)) => owners,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot look for exports that nothing wants");
                return false;
            }
            Err(_) => return false,
        };
        for uid in owners.iter().map(ToString::to_string).filter(|uid| !view.wants(uid)) {
            tracing::info!(uid, "an export that no Lun wants is removed; its data stay");
            self.tell(&uid, Intent::orphan(), &Others::new());
        }
        true
    }

    async fn stop_all(&mut self) {
        self.snapshots.stop();
        for worker in self.workers.values() {
            worker.send_replace(Intent::Leave);
        }
        let all = async {
            while !self.workers.is_empty() {
                match self.finished.recv().await {
                    Some(finished) => drop(self.workers.remove(&finished.uid)),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(LEAVE_WITHIN, all).await.is_err() {
            tracing::warn!(
                luns = self.workers.len(),
                "some LUNs still wait for their storage; leaving them as they are"
            );
        }
    }
}

#[cfg(test)]
mod tests;
