//! An API server as the source: watches the Luns placed on this node, all pools, and what nodes say of themselves.
//!
//! A LUN goes on being served while the API server is away, also over a restart of the agent: what was
//! wanted last is kept in a checkpoint. Secrets are only ever read by the name that a Lun gives, and
//! held in memory for a while, so that a short absence of the API server changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{DeserializeGuard, error_boundary::InvalidObject};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use lunette_api::conditions::reasons;
use lunette_api::{AGENT_MANAGER, Lun, LunNode, LunPool, LunSnapshot, LunSnapshotStatus, LunStatus};
use serde_json::json;
use tokio::sync::watch::Sender;
use tokio::time::timeout;

use super::checkpoint::Checkpoint;
use super::{SecretData, View};
use crate::trouble::Trouble;

/// How long a Secret's data are taken as read: less than the time between two looks at a LUN, so that each
/// look sees a rotated secret.
const FRESH: Duration = Duration::from_secs(30);
/// How long a Secret that nobody asks for is remembered.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// How long the API server may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What happens within this time of a view comes with the next one.
const SETTLE: Duration = Duration::from_millis(50);

/// An API server.
pub struct Kubernetes {
    client: Client,
    node: String,
    checkpoint: Checkpoint,
    secrets: Mutex<HashMap<(String, String), (Instant, SecretData)>>,
}

impl Kubernetes {
    /// The API server that `client` talks to.
    pub fn new(client: Client, node: String, state_dir: &Path) -> Self {
        let checkpoint = Checkpoint::new(state_dir.join("last-known.json"));
        Self { client, node, checkpoint, secrets: Mutex::default() }
    }

    /// Follows the API server: a view whenever it says something else; before the first answer, what it
    /// said last.
    pub async fn follow(&self, views: &Sender<View>) {
        if let Some(view) = self.checkpoint.load() {
            tracing::info!(luns = view.luns.len(), "serving what was wanted last, until the API server answers");
            views.send_replace(view);
        }
        let mine = watcher::Config::default().fields(&format!("status.node={}", self.node));
        let (luns, lun_events) = reflected::<Lun>(Api::all(self.client.clone()), mine);
        let (pools, pool_events) = reflected::<LunPool>(Api::all(self.client.clone()), watcher::Config::default());
        let (nodes, node_events) = reflected::<LunNode>(Api::all(self.client.clone()), watcher::Config::default());
        let mine = watcher::Config::default().fields(&format!("status.node={}", self.node));
        let (snapshots, snapshot_events) = reflected::<LunSnapshot>(Api::all(self.client.clone()), mine);
        let others = futures::stream::select(node_events, snapshot_events);
        let mut events = futures::stream::select(lun_events, futures::stream::select(pool_events, others));
        while events.next().await.is_some() {
            // Many events make one view.
            while let Some(Some(())) = events.next().now_or_never() {}
            if !(is_ready(&luns) && is_ready(&pools) && is_ready(&nodes)) {
                continue;
            }
            let mut view = view(&luns, &pools, &views.borrow());
            view.initiator_names = initiator_names(&nodes, &views.borrow());
            view.snapshots = snapshots_of(&snapshots);
            self.checkpoint.save(&view);
            views.send_replace(view);
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// The data of one Secret.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, Trouble> {
        let key = (namespace.to_owned(), name.to_owned());
        let known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((read, data)) = &known
            && read.elapsed() < FRESH
        {
            return Ok(data.clone());
        }
        let data = match (self.read_secret(namespace, name).await, known) {
            (Ok(Some(data)), _) => data,
            (Err(error), Some((_, data))) => {
                tracing::debug!(error, "the API server does not give a Secret now: the last one stays in force");
                data
            }
            (Ok(None), _) => {
                self.secrets.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                return Err(no_secret(format!("there is no Secret {name} in namespace {namespace}: create it")));
            }
            (Err(error), None) => {
                return Err(no_secret(format!("Secret {name} in namespace {namespace} cannot be read: {error}")));
            }
        };
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.retain(|_, (read, _)| read.elapsed() < FORGOTTEN);
        secrets.insert(key, (Instant::now(), data.clone()));
        Ok(data)
    }

    async fn read_secret(&self, namespace: &str, name: &str) -> Result<Option<SecretData>, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = answered(api.get_opt(name)).await?;
        Ok(secret.map(|secret| secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect()))
    }

    /// A Lun, wherever it is served.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn lun(&self, namespace: &str, name: &str) -> Result<Option<Lun>, Trouble> {
        let api: Api<Lun> = Api::namespaced(self.client.clone(), namespace);
        let failed = |error| format!("Lun {namespace}/{name} cannot be read: {error}");
        answered(api.get_opt(name)).await.map_err(|error| Trouble::new(reasons::INVALID_SPEC, failed(error)))
    }

    /// Writes our part of a snapshot's status; whether the API server has it.
    pub async fn report_snapshot(&self, snapshot: &LunSnapshot, status: &LunSnapshotStatus) -> bool {
        let namespace = snapshot.namespace().unwrap_or_default();
        let api: Api<LunSnapshot> = Api::namespaced(self.client.clone(), &namespace);
        let body = json!({
            "apiVersion": LunSnapshot::api_version(&()),
            "kind": LunSnapshot::kind(&()),
            "metadata": { "name": snapshot.name_any(), "uid": snapshot.metadata.uid },
            "status": status,
        });
        let (name, params) = (snapshot.name_any(), PatchParams::apply(AGENT_MANAGER).force());
        let told = answered(api.patch_status(&name, &params, &Patch::Apply(&body))).await;
        told.inspect_err(|error| tracing::warn!(error, snapshot = name, "the API server did not take a status")).is_ok()
    }

    /// Writes our part of a LUN's status; whether the API server has it. An object that is gone, or another
    /// of its name, does not take it either; its worker will hear of that and say no more.
    pub async fn report(&self, lun: &Lun, status: &LunStatus) -> bool {
        let api: Api<Lun> = Api::namespaced(self.client.clone(), &lun.namespace().unwrap_or_default());
        let body = json!({
            "apiVersion": Lun::api_version(&()),
            "kind": Lun::kind(&()),
            // The UID keeps this from landing on a later object of the same name.
            "metadata": { "name": lun.name_any(), "uid": lun.metadata.uid },
            "status": status,
        });
        let (name, params) = (lun.name_any(), PatchParams::apply(AGENT_MANAGER).force());
        match answered(api.patch_status(&name, &params, &Patch::Apply(&body))).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(error, lun = name, "the API server did not take a status; it is told again");
                false
            }
        }
    }
}

/// What is not understood is left as it is. A cluster whose CRDs are older than this agent has no snapshots, and its
/// Luns are served all the same.
fn snapshots_of(store: &Store<DeserializeGuard<LunSnapshot>>) -> BTreeMap<String, Arc<LunSnapshot>> {
    let all = store.state();
    let understood = all.iter().filter_map(|snapshot| snapshot.0.as_ref().inspect_err(|riddle| note(riddle)).ok());
    understood.map(|s| (s.metadata.uid.clone().unwrap_or_default(), Arc::new(s.clone()))).collect()
}

fn no_secret(message: String) -> Trouble {
    Trouble::new(reasons::SECRET_UNUSABLE, message)
}

fn is_ready<K>(store: &Store<K>) -> bool
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    store.wait_until_ready().now_or_never().is_some()
}

/// The name of a node whose LunNode is away for the moment stays: its session is not to end for that.
fn initiator_names(nodes: &Store<DeserializeGuard<LunNode>>, before: &View) -> BTreeMap<String, String> {
    let mut names = before.initiator_names.clone();
    for node in nodes.state() {
        let Ok(node) = &node.0 else { continue };
        names.extend(node.status.as_ref().and_then(|status| Some((node.name_any(), status.initiator_name.clone()?))));
    }
    names
}

/// A store that follows a watch, and the stream that keeps it so. What cannot be understood is left out
/// and does not stop the watch.
fn reflected<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
) -> (Store<DeserializeGuard<K>>, impl futures::Stream<Item = ()> + Unpin)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = reflector::reflector(writer, watcher(api, config).default_backoff().modify(drop_managed_fields))
        .map_err(|error| tracing::warn!(%error, "watching the API server"))
        .map(drop)
        .boxed();
    (store, events)
}

fn drop_managed_fields<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// A LUN that cannot be understood (an older agent's view of a newer object) is wanted as it was `before`,
/// but for what its metadata say: whether it is being deleted.
fn view(luns: &Store<DeserializeGuard<Lun>>, pools: &Store<DeserializeGuard<LunPool>>, before: &View) -> View {
    let mut view = View { complete: true, ..View::default() };
    for lun in luns.state() {
        match &lun.0 {
            Ok(lun) => keep(&mut view, lun.clone()),
            Err(riddle) => {
                note(riddle);
                let uid = riddle.metadata.uid.clone().unwrap_or_default();
                match before.luns.get(&uid) {
                    Some(known) => keep(&mut view, Lun { metadata: riddle.metadata.clone(), ..Lun::clone(known) }),
                    None => drop(view.unread.insert(uid)),
                }
            }
        }
    }
    for pool in pools.state() {
        match &pool.0 {
            Ok(pool) => drop(view.pools.insert(pool.name_any(), Arc::new(pool.clone()))),
            Err(riddle) => {
                note(riddle);
                let name = riddle.metadata.name.clone().unwrap_or_default();
                view.pools.extend(before.pools.get(&name).map(|known| (name, Arc::clone(known))));
            }
        }
    }
    view
}

fn keep(view: &mut View, lun: Lun) {
    view.luns.insert(lun.metadata.uid.clone().unwrap_or_default(), Arc::new(lun));
}

fn note(riddle: &InvalidObject) {
    let object = riddle.metadata.name.as_deref().unwrap_or_default();
    tracing::warn!(object, error = riddle.error, "not understood, and left as it is");
}

/// What the API server says, within bounds: a worker that waits for it does nothing else for its LUN.
async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    match timeout(ANSWER_WITHIN, request).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the API server has not answered for {} s", ANSWER_WITHIN.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn object<K>(kind: &str, metadata: &Value, spec: &Value) -> DeserializeGuard<K>
    where
        DeserializeGuard<K>: serde::de::DeserializeOwned,
    {
        let version = "lunette.io/v1alpha1";
        let object = json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec });
        serde_json::from_value(object).unwrap()
    }

    fn store<K>(objects: Vec<DeserializeGuard<K>>) -> Store<DeserializeGuard<K>>
    where
        K: Resource<DynamicType = ()> + Clone + 'static,
    {
        let (store, mut writer) = reflector::store();
        for object in objects {
            writer.apply_watcher_event(&watcher::Event::Apply(object));
        }
        store
    }

    fn lun(name: &str, spec: &Value) -> DeserializeGuard<Lun> {
        object("Lun", &json!({"name": name, "namespace": "n", "uid": format!("uid-{name}")}), spec)
    }

    #[test]
    fn a_node_that_is_away_keeps_its_initiator_name_and_one_that_says_another_gets_it() {
        let node = |name: &str, iqn: &str| -> DeserializeGuard<LunNode> {
            serde_json::from_value(json!({
                "apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": name}, "spec": {},
                "status": {"initiatorName": iqn},
            }))
            .unwrap()
        };
        let first = initiator_names(&store(vec![node("a", "iqn.x:a"), node("b", "iqn.x:b")]), &View::default());
        let before = View { initiator_names: first, ..View::default() };
        let names = initiator_names(&store(vec![node("a", "iqn.x:new")]), &before);
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            [("a", "iqn.x:new"), ("b", "iqn.x:b")].map(|(n, i)| (n.to_owned(), i.to_owned()))
        );
    }

    /// A field of a version to come: an older agent must not take the LUN for unwanted.
    #[test]
    fn an_object_that_cannot_be_understood_is_wanted_as_it_was() {
        let good = json!({"pool": "files", "size": "1Gi"});
        let newer = json!({"pool": "files", "size": "2Gi", "tier": "hot"});
        let pools = || store(vec![object("LunPool", &json!({"name": "files"}), &json!({"directory": {"path": "/a"}}))]);
        let before = view(&store(vec![lun("a", &good), lun("b", &good)]), &pools(), &View::default());
        assert_eq!((before.luns.len(), before.complete), (2, true));
        let deleted =
            json!({"name": "b", "namespace": "n", "uid": "uid-b", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let luns = store(vec![lun("a", &newer), object("Lun", &deleted, &newer), lun("c", &newer)]);
        let odd_pool = store(vec![object("LunPool", &json!({"name": "files"}), &json!({"tape": {}}))]);
        let after = view(&luns, &odd_pool, &before);
        assert_eq!(after.luns["uid-a"].spec, before.luns["uid-a"].spec);
        assert!(after.luns["uid-b"].metadata.deletion_timestamp.is_some(), "it is to go all the same");
        assert_eq!(after.unread.iter().collect::<Vec<_>>(), ["uid-c"]);
        assert_eq!(after.pools["files"].spec, before.pools["files"].spec);
        assert!(view(&store(vec![]), &pools(), &before).luns.is_empty(), "what is gone is gone");
    }
}
