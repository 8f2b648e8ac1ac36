//! An API server as the source: watches the Luns placed on this node, and all pools.
//!
//! A LUN goes on being served while the API server is away, also over a restart of the agent: what was
//! wanted last is kept in a checkpoint. Secrets are only ever read by the name that a Lun gives, and
//! held in memory for a while, so that a short absence of the API server changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use lunette_api::conditions::reasons;
use lunette_api::{AGENT_MANAGER, Lun, LunPool, LunStatus};
use serde_json::json;
use tokio::sync::watch::Sender;

use super::checkpoint::Checkpoint;
use crate::node::{SecretData, Trouble, View};

/// How long a Secret's data are taken as read; a rotated secret takes effect this late at most.
const FRESH: Duration = Duration::from_secs(60);

/// An API server.
pub struct Kubernetes {
    client: Client,
    node: String,
    checkpoint: Checkpoint,
    secrets: Mutex<HashMap<(String, String), (Instant, SecretData)>>,
}

type Guarded<K> = Arc<DeserializeGuard<K>>;

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
        let mut events = futures::stream::select(lun_events, pool_events);
        while events.next().await.is_some() {
            let listed = luns.wait_until_ready();
            if futures::future::FutureExt::now_or_never(listed).is_none()
                || futures::future::FutureExt::now_or_never(pools.wait_until_ready()).is_none()
            {
                continue;
            }
            let view = view(&luns, &pools);
            self.checkpoint.save(&view);
            views.send_replace(view);
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
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let data = match (api.get_opt(name).await, known) {
            (Ok(Some(secret)), _) => secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect(),
            (Err(error), Some((_, data))) => {
                tracing::debug!(%error, "the API server does not give a Secret now: the last one stays in force");
                data
            }
            (Ok(None), _) => {
                return Err(no_secret(format!("there is no Secret {name} in namespace {namespace}: create it")));
            }
            (Err(error), None) => {
                return Err(no_secret(format!("Secret {name} in namespace {namespace} cannot be read: {error}")));
            }
        };
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (Instant::now(), data.clone()));
        Ok(data)
    }

    /// Writes our part of a LUN's status; whether the API server has it.
    pub async fn report(&self, lun: &Lun, status: &LunStatus) -> bool {
        let api: Api<Lun> = Api::namespaced(self.client.clone(), &lun.namespace().unwrap_or_default());
        let body = json!({
            "apiVersion": Lun::api_version(&()),
            "kind": Lun::kind(&()),
            // The UID keeps this from landing on a later object of the same name.
            "metadata": { "name": lun.name_any(), "uid": lun.metadata.uid },
            "status": status,
        });
        let params = PatchParams::apply(AGENT_MANAGER).force();
        match api.patch_status(&lun.name_any(), &params, &Patch::Apply(&body)).await {
            Ok(_) => true,
            Err(kube::Error::Api(refusal)) if refusal.code == 404 || refusal.code == 409 => true,
            Err(error) => {
                tracing::warn!(%error, lun = lun.name_any(), "the API server did not take a status; it is told again");
                false
            }
        }
    }
}

fn no_secret(message: String) -> Trouble {
    Trouble::new(reasons::SECRET_UNUSABLE, message)
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

fn view(luns: &Store<DeserializeGuard<Lun>>, pools: &Store<DeserializeGuard<LunPool>>) -> View {
    let luns = understood(luns.state()).map(|lun| (lun.metadata.uid.clone().unwrap_or_default(), Arc::new(lun)));
    let pools: BTreeMap<_, _> = understood(pools.state()).map(|pool| (pool.name_any(), Arc::new(pool))).collect();
    View { luns: luns.collect(), pools, complete: true }
}

fn understood<K: Resource<DynamicType = ()> + Clone>(objects: Vec<Guarded<K>>) -> impl Iterator<Item = K> {
    objects.into_iter().filter_map(|object| match &object.0 {
        Ok(object) => Some(object.clone()),
        Err(error) => {
            tracing::warn!(object = %error.metadata.name.as_deref().unwrap_or_default(), error = %error.error, "not understood, and left alone");
            None
        }
    })
}
