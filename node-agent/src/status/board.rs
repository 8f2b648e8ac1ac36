//! What became of every LUN, and what else a person should know: read by `lunette-node status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lunette_api::{Lun, LunSnapshot, LunStatus};

use super::Steps;
use crate::lun::meter::Ledger;

/// One LUN on the board.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The object as its author wrote it.
    pub lun: Arc<Lun>,
    /// What became of it, whole: the operator's part and ours.
    pub status: LunStatus,
}

/// All LUNs and snapshots of this node, by UID, and notices about things that are no LUN.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<BTreeMap<String, Entry>>,
    ledgers: Mutex<BTreeMap<String, Arc<Ledger>>>,
    snapshots: Mutex<BTreeMap<String, LunSnapshot>>,
    notices: Mutex<Vec<String>>,
    steps: Steps,
}

impl Board {
    /// How the steps of configfs ended.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Writes what became of a LUN.
    pub fn put(&self, uid: &str, entry: Entry) {
        lock(&self.entries).insert(uid.to_owned(), entry);
    }

    /// Takes a LUN off.
    pub fn remove(&self, uid: &str) {
        lock(&self.entries).remove(uid);
        lock(&self.ledgers).remove(uid);
    }

    /// Writes what became of a snapshot.
    pub fn put_snapshot(&self, uid: &str, snapshot: LunSnapshot) {
        lock(&self.snapshots).insert(uid.to_owned(), snapshot);
    }

    /// Takes a snapshot off.
    pub fn remove_snapshot(&self, uid: &str) {
        lock(&self.snapshots).remove(uid);
    }

    /// All snapshots, by namespace and name.
    pub fn snapshots(&self) -> Vec<LunSnapshot> {
        let mut all: Vec<LunSnapshot> = lock(&self.snapshots).values().cloned().collect();
        all.sort_by_cached_key(|snapshot| (snapshot.metadata.namespace.clone(), snapshot.metadata.name.clone()));
        all
    }

    /// What is counted of a LUN.
    pub fn ledger(&self, uid: &str) -> Arc<Ledger> {
        Arc::clone(lock(&self.ledgers).entry(uid.to_owned()).or_default())
    }

    /// Whether this node serves that LUN, or is about to.
    pub fn has(&self, uid: &str) -> bool {
        lock(&self.entries).contains_key(uid)
    }

    /// How many LUNs it serves, or is about to.
    pub fn count(&self) -> usize {
        lock(&self.entries).len()
    }

    /// All LUNs, by namespace and name, each with what is counted of it.
    pub fn measured(&self) -> Vec<(Entry, Arc<Ledger>)> {
        let ledger = |entry: &Entry| self.ledger(entry.lun.metadata.uid.as_deref().unwrap_or_default());
        self.entries().into_iter().map(|entry| (entry.clone(), ledger(&entry))).collect()
    }

    /// All LUNs, by namespace and name.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = lock(&self.entries).values().cloned().collect();
        entries.sort_by_cached_key(|entry| (entry.lun.metadata.namespace.clone(), entry.lun.metadata.name.clone()));
        entries
    }

    /// Replaces the notices: what is wrong with something that is no LUN, such as a manifest.
    pub fn set_notices(&self, notices: Vec<String>) {
        *lock(&self.notices) = notices;
    }

    /// Those of `notices` that are not on the board yet.
    pub fn notices_new_in(&self, notices: &[String]) -> Vec<String> {
        let known = lock(&self.notices);
        notices.iter().filter(|notice| !known.contains(notice)).cloned().collect()
    }

    /// The notices.
    pub fn notices(&self) -> Vec<String> {
        lock(&self.notices).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
