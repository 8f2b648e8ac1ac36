//! What every reconcile needs: the API server, what the watches show, and what this process remembers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use lunette_api::conditions::reasons;
use lunette_api::{Lun, LunNode, LunPool, LunSnapshot};
use tokio::time::timeout;

use crate::args::ControllerArgs;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::events::{Events, Weight};
use crate::lun::grant::{Agents, Grants};
use crate::lun::origin::{self, NoOrigin, Origin};
use crate::metrics::Metrics;
use crate::node::heartbeat::Heartbeats;
use crate::node::view::{Assumed, Taken};

/// How long nothing is decided because no snapshots have been seen.
const SNAPSHOTS_WITHIN: Duration = Duration::from_secs(30);

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
    /// Snapshots of every namespace.
    pub snapshots: Store<Guarded<LunSnapshot>>,
}

impl Stores {
    /// Waits until all that there is of each kind was seen once: whoever decides before takes what was not seen yet for
    /// absent. In a cluster whose CRDs are older than this operator there may be no snapshots to see: Luns do not wait for
    /// them for ever.
    pub async fn seen(&self) {
        // A watch that ends before takes the process with it.
        let (_, _, _, snapshots) = futures::join!(
            self.luns.wait_until_ready(),
            self.pools.wait_until_ready(),
            self.nodes.wait_until_ready(),
            timeout(SNAPSHOTS_WITHIN, self.snapshots.wait_until_ready()),
        );
        if snapshots.is_err() {
            tracing::warn!(
                "no LunSnapshots are seen, and none are taken: does the cluster have their CRD, and is it current?"
            );
        }
    }
}

/// What every reconcile needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the watches show.
    pub stores: Stores,
    /// The agents' signs of life.
    heartbeats: Mutex<Heartbeats>,
    /// Placements that the watches do not show yet, so that two Luns never count on the same free space.
    assumed: Mutex<Assumed>,
    /// What the agents may read.
    pub grants: Grants,
    /// Events on objects.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How long failed objects wait.
    pub backoff: Backoff,
    /// The namespace of operator and agents.
    namespace: String,
    /// The agents' ServiceAccount there.
    agent_service_account: String,
}

impl Context {
    /// A context that remembers nothing yet.
    pub fn new(client: Client, args: &ControllerArgs, identity: &str, metrics: Arc<Metrics>, stores: Stores) -> Self {
        Self {
            events: Events::new(client.clone(), identity),
            client,
            stores,
            heartbeats: Mutex::default(),
            assumed: Mutex::default(),
            grants: Grants::default(),
            metrics,
            backoff: Backoff::default(),
            namespace: args.namespace.clone(),
            agent_service_account: args.agent_service_account.clone(),
        }
    }

    /// Whom grants are for.
    pub fn agents(&self) -> Agents<'_> {
        Agents { namespace: &self.namespace, service_account: &self.agent_service_account }
    }

    /// Every node that can be read, and whether its agent gives signs of life.
    pub fn nodes(&self) -> Vec<(LunNode, bool)> {
        let nodes = self.stores.nodes.state();
        let readable = nodes.iter().filter_map(|node| node.0.as_ref().ok());
        readable.map(|node| (node.clone(), self.is_fresh(&ResourceExt::name_any(node)))).collect()
    }

    /// Decides a placement with what all Luns take, and takes it: the next one is decided with it.
    ///
    /// # Errors
    /// What the decision says.
    pub fn take<E>(&self, uid: &str, decide: impl FnOnce(&[Taken]) -> Result<Taken, E>) -> Result<Taken, E> {
        let luns = self.stores.luns.state();
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = decide(&assumed.merge(luns.iter().filter_map(|lun| lun.0.as_ref().ok())))?;
        assumed.insert(uid.to_owned(), taken.clone());
        Ok(taken)
    }

    /// Gives back what was taken and could not be written.
    pub fn give_back(&self, uid: &str) {
        self.assumed.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// The pool of that name, where there is one.
    pub fn pool(&self, name: &str) -> Option<Arc<Guarded<LunPool>>> {
        self.stores.pools.get(&ObjectRef::new(name))
    }

    /// The Lun of that name, as the watch shows it.
    pub fn lun(&self, namespace: &str, name: &str) -> Option<Lun> {
        let found = self.stores.luns.get(&ObjectRef::new(name).within(namespace));
        found.and_then(|lun| lun.0.as_ref().ok().cloned())
    }

    /// The snapshot of that name, as the watch shows it.
    pub fn snapshot(&self, namespace: &str, name: &str) -> Option<LunSnapshot> {
        let found = self.stores.snapshots.get(&ObjectRef::new(name).within(namespace));
        found.and_then(|snapshot| snapshot.0.as_ref().ok().cloned())
    }

    /// What a Lun is to be made from, if it is to be made from anything.
    ///
    /// # Errors
    /// When that is not there, or not ready.
    pub fn origin(&self, lun: &Lun) -> Result<Option<Origin>, NoOrigin> {
        let namespace = ResourceExt::namespace(lun).unwrap_or_default();
        match origin::named(lun) {
            (Some(name), _) => Origin::of_snapshot(&name, self.snapshot(&namespace, &name).as_ref()).map(Some),
            (None, Some(name)) => Origin::of_lun(&name, self.lun(&namespace, &name).as_ref()).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Whether there is a node of that name.
    pub fn has_node(&self, name: &str) -> bool {
        self.stores.nodes.get(&ObjectRef::new(name)).is_some()
    }

    /// Whether the agent of that node gives signs of life.
    pub fn is_fresh(&self, node: &str) -> bool {
        self.beats(|beats| beats.is_fresh(node, Instant::now(), Timestamp::now()))
    }

    /// The failure that an object is when it does not fit its type, told to its author in an event.
    pub async fn malformed<K>(&self, kind: &str, object: &K, invalid: &InvalidObject) -> Error
    where
        K: Resource<DynamicType = ()>,
    {
        let error = Error::Malformed { object: label(kind, object), reason: invalid.error.clone() };
        let about = object.object_ref(&());
        self.events.publish(&about, Weight::Warning, reasons::INVALID_SPEC, "Reconcile", &error.to_string()).await;
        error
    }

    /// Looks at the signs of life.
    pub fn beats<T>(&self, look: impl FnOnce(&mut Heartbeats) -> T) -> T {
        look(&mut self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The object's name in logs, and its key where failures are counted.
pub fn label<K: ResourceExt>(kind: &str, object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use futures::FutureExt as _;
    use kube::runtime::reflector::store;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;

    use super::*;

    /// Has a watch show that there is nothing.
    fn show<K>(mut writer: Writer<Guarded<K>>) -> Writer<Guarded<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + 'static,
    {
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        writer
    }

    #[tokio::test]
    async fn nothing_is_decided_before_every_kind_was_seen() {
        let ((luns, all_luns), (pools, all_pools)) = (store(), store());
        let ((nodes, all_nodes), (snapshots, all_snapshots)) = (store(), store());
        let stores = Stores { luns, pools, nodes, snapshots };
        let seen = || stores.seen().now_or_never().is_some();
        let _pools = (show(all_pools), assert!(!seen()));
        let _nodes = (show(all_nodes), assert!(!seen()));
        let _snapshots = (show(all_snapshots), assert!(!seen(), "a snapshot's Lun would be said not to exist"));
        let _luns = show(all_luns);
        assert!(seen());
    }
}
