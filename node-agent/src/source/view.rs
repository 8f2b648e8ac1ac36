//! What is wanted of this node, as a source says it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lunette_api::{Lun, LunPool, LunSnapshot};

/// A Secret's values, by key.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// What is wanted of this node.
#[derive(Clone, Default)]
pub struct View {
    /// Its LUNs, by UID.
    pub luns: BTreeMap<String, Arc<Lun>>,
    /// The snapshots that it holds or is to take, by UID; each says in its status of what.
    pub snapshots: BTreeMap<String, Arc<LunSnapshot>>,
    /// All pools, by name.
    pub pools: BTreeMap<String, Arc<LunPool>>,
    /// The name under which each node logs in to others' targets, where it has said one.
    pub initiator_names: BTreeMap<String, String>,
    /// Changes with the Secrets, where the source sees them change. Elsewhere they are read again in time.
    pub secrets: u64,
    /// UIDs of LUNs that are wanted in a way that could not be understood: what is there of them stays.
    pub unread: BTreeSet<String>,
    /// Whether nothing is missing: only then is an export that no LUN wants removed.
    pub complete: bool,
}

impl View {
    /// Whether a LUN of that UID is wanted, understood or not.
    pub fn wants(&self, uid: &str) -> bool {
        self.luns.contains_key(uid) || self.unread.contains(uid)
    }
}
