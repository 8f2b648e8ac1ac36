//! A directory of manifests as the source: the same YAML that `kubectl apply` takes, watched for changes.
//!
//! A file that cannot be read or understood changes nothing: what it said before stays in force (also over
//! a restart, by a checkpoint), the trouble is noted where `lunette-node status` shows it, and no export is taken for an orphan
//! meanwhile. Leaving a LUN out unexports it; its data go only if its `reclaimPolicy` says Delete.

mod catalog;
mod incarnations;
mod parse;
mod watch;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lunette_api::conditions::{self, reasons};
use lunette_api::{Lun, LunStatus, Target, identity};
use tokio::sync::{Notify, watch::Sender};

use super::checkpoint::Checkpoint;
use super::{SecretData, View};
use crate::status::Board;
use crate::trouble::Trouble;
use catalog::Catalog;
use incarnations::Incarnations;

/// A change that inotify does not tell of (a network file system) is seen this late at most.
const RESCAN: Duration = Duration::from_secs(5);
/// What is written together is read together.
const SETTLE: Duration = Duration::from_millis(50);

/// The Luns of a text of manifests.
///
/// # Errors
/// What is wrong with the first document that is.
pub fn read_manifests(text: &str) -> Result<Vec<Lun>, String> {
    parse::documents(text).map(|objects| objects.luns)
}

/// A directory of manifests.
pub struct Manifests {
    directory: PathBuf,
    node: String,
    catalog: Mutex<Catalog>,
    incarnations: Mutex<Incarnations>,
    checkpoint: Checkpoint,
    changed: Arc<Notify>,
    /// Whether a name has come to mean another LUN since the last view.
    renamed: AtomicBool,
}

impl Manifests {
    /// The manifests in `directory`; identities that must not come back are kept in `state_dir`.
    ///
    /// # Errors
    /// When the record of identities cannot be read.
    pub fn new(directory: PathBuf, node: String, state_dir: &std::path::Path) -> anyhow::Result<Self> {
        let incarnations = Mutex::new(Incarnations::open(&state_dir.join("incarnations.json"))?);
        let checkpoint = Checkpoint::new(state_dir.join("last-known.json"));
        let changed = Arc::new(Notify::new());
        let (catalog, renamed) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { directory, node, catalog, incarnations, checkpoint, changed, renamed })
    }

    /// Follows the directory: a view whenever it says something else.
    pub async fn follow(&self, views: &Sender<View>, board: &Board) {
        watch::notify_of_changes(self.directory.clone(), Arc::clone(&self.changed));
        let mut first = true;
        loop {
            if self.read() || std::mem::take(&mut first) {
                let (view, notices) = self.load();
                for notice in board.notices_new_in(&notices) {
                    tracing::warn!("{notice}");
                }
                board.set_notices(notices);
                views.send_if_modified(|old| replace_if_other(old, view));
            }
            let _ = tokio::time::timeout(RESCAN, self.changed.notified()).await;
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// The data of one Secret among the manifests.
    ///
    /// # Errors
    /// When there is none.
    pub fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, Trouble> {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        catalog.secret(namespace, name).ok_or_else(|| {
            let directory = self.directory.display();
            let message =
                format!("there is no Secret {name} in namespace {namespace}: add its manifest to {directory}");
            Trouble::new(reasons::SECRET_UNUSABLE, message)
        })
    }

    /// That nothing is left of a LUN: if its data are gone, its name means another LUN from now on, unless
    /// it does so already.
    pub fn gone(&self, lun: &Lun, reclaimed: bool) {
        let mut incarnations = self.incarnations.lock().unwrap_or_else(PoisonError::into_inner);
        if !reclaimed || lun.metadata.uid != Some(self.uid(lun, &incarnations)) {
            return;
        }
        if let Err(error) = incarnations.advance(&catalog::key(lun)) {
            tracing::error!(%error, "a LUN was deleted, but that could not be noted: a new one of that name will have its identity");
        }
        self.renamed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// The UID of a LUN that was given none.
    fn uid(&self, lun: &Lun, incarnations: &Incarnations) -> String {
        let key = catalog::key(lun);
        identity::local_uid(&self.node, &key.0, &key.1, incarnations.of(&key))
    }

    /// Whether there is anything new since the last view.
    fn read(&self) -> bool {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        catalog.read(&self.directory) | self.renamed.swap(false, Ordering::Acquire)
    }

    fn load(&self) -> (View, Vec<String>) {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let incarnations = self.incarnations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = catalog.view(&self.node, |lun| self.uid(lun, &incarnations));
        if view.complete {
            self.checkpoint.save(&view);
        } else {
            self.fill_in(&mut view);
        }
        (view, catalog.notices())
    }

    /// Adds what was wanted when every file could last be understood, so that a restart with a broken
    /// file leaves no LUN unserved.
    fn fill_in(&self, view: &mut View) {
        let Some(known) = self.checkpoint.load() else { return };
        for (uid, lun) in known.luns {
            view.luns.entry(uid).or_insert(lun);
        }
        for (name, pool) in known.pools {
            view.pools.entry(name).or_insert(pool);
        }
    }
}

/// Views are compared by what they say of each LUN, pool and snapshot.
fn replace_if_other(old: &mut View, new: View) -> bool {
    let same_luns = old.luns.len() == new.luns.len()
        && old.luns.iter().zip(&new.luns).all(|((a, x), (b, y))| {
            a == b
                && x.spec == y.spec
                && x.metadata.name == y.metadata.name
                && x.metadata.generation == y.metadata.generation
        });
    let same_pools = old.pools.len() == new.pools.len()
        && old.pools.iter().zip(&new.pools).all(|((a, x), (b, y))| a == b && x.spec == y.spec);
    let same_snapshots = old.snapshots == new.snapshots;
    let same = same_luns && same_pools && same_snapshots && (old.secrets, old.complete) == (new.secrets, new.complete);
    if !same {
        *old = new;
    }
    !same
}

/// What the operator would say of a LUN that this node serves.
pub fn placed_here(node: &str, lun: &Lun) -> LunStatus {
    let uid = lun.metadata.uid.clone().unwrap_or_default();
    let mut status = LunStatus {
        node: Some(node.to_owned()),
        epoch: Some(1),
        target: Some(Target { iqn: Some(identity::iqn(&uid)), lun: Some(identity::LUN_NUMBER), portals: Vec::new() }),
        wwid: Some(identity::wwid(&uid)),
        ..LunStatus::default()
    };
    let message = format!("served from manifests by {node}");
    conditions::set(
        &mut status.conditions,
        conditions::PLACED,
        true,
        reasons::PLACED,
        message,
        lun.metadata.generation,
    );
    let since = lun.metadata.creation_timestamp.clone();
    for condition in &mut status.conditions {
        if let Some(since) = &since {
            condition.last_transition_time = since.clone();
        }
    }
    status
}

#[cfg(test)]
mod tests;
