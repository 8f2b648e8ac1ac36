//! What every reconcile needs: the API server, what the watches show, and what this process remembers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use lunette_api::{Lun, LunNode, LunPool};

use crate::backoff::Backoff;
use crate::error::Error;
use crate::events::Events;
use crate::lun::grant::{Agents, Grants};
use crate::metrics::Metrics;
use crate::node::heartbeat::Heartbeats;
use crate::node::view::Assumed;

/// An object that may not fit its type: one such must not stop the watch of the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// What the watches show.
#[derive(Clone)]
pub struct Stores {
    /// Luns of every namespace.
    pub luns: Store<Guarded<Lun>>,
    /// Pools.
    pub pools: Store<Guarded<LunPool>>,
    /// Nodes.
    pub nodes: Store<Guarded<LunNode>>,
}

/// What every reconcile needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the watches show.
    pub stores: Stores,
    /// The agents' signs of life.
    pub heartbeats: Mutex<Heartbeats>,
    /// Placements that the watches do not show yet. Held while one is decided and written, so that two
    /// Luns never count on the same free space.
    pub assumed: tokio::sync::Mutex<Assumed>,
    /// What the agents may read.
    pub grants: Grants,
    /// Events on objects.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long failed objects wait.
    pub backoff: Backoff,
    /// The namespace of operator and agents.
    pub namespace: String,
    /// The agents' ServiceAccount there.
    pub agent_service_account: String,
}

impl Context {
    /// Whom grants are for.
    pub fn agents(&self) -> Agents<'_> {
        Agents { namespace: &self.namespace, service_account: &self.agent_service_account }
    }

    /// Every Lun that can be read.
    pub fn luns(&self) -> Vec<Lun> {
        self.stores.luns.state().iter().filter_map(|l| l.0.as_ref().ok().cloned()).collect()
    }

    /// Every node that can be read.
    pub fn nodes(&self) -> Vec<LunNode> {
        self.stores.nodes.state().iter().filter_map(|n| n.0.as_ref().ok().cloned()).collect()
    }

    /// The pool of that name, where there is one.
    pub fn pool(&self, name: &str) -> Option<Arc<Guarded<LunPool>>> {
        self.stores.pools.get(&ObjectRef::new(name))
    }

    /// Whether there is a node of that name.
    pub fn has_node(&self, name: &str) -> bool {
        self.stores.nodes.get(&ObjectRef::new(name)).is_some()
    }

    /// Whether the agent of that node gives signs of life.
    pub fn is_fresh(&self, node: &str) -> bool {
        self.beats(|beats| beats.is_fresh(node, Instant::now(), Timestamp::now()))
    }

    /// Looks at the signs of life.
    pub fn beats<T>(&self, look: impl FnOnce(&mut Heartbeats) -> T) -> T {
        look(&mut self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The failure that an object is when it does not fit its type.
pub fn malformed(kind: &str, invalid: &InvalidObject) -> Error {
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let object = match &invalid.metadata.namespace {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    };
    Error::Malformed { object, reason: invalid.error.clone() }
}

/// The object's name in logs, and its key where failures are counted.
pub fn label<K: ResourceExt>(kind: &str, object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}
