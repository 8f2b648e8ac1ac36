//! The cluster behind an API server: reads are asked of it, waits look at one watch of all Luns, and one of all
//! snapshots.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::reflector::{ObjectRef, Store, reflector, store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_stream};
use kube::{Api, Client, Resource, ResourceExt};
use lunette_api::csi::VolumeId;
use lunette_api::{Lun, LunNode, LunPool, LunSnapshot};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::chap::{Credentials, SECRET_TYPE};
use super::cluster::{self, Cluster, Creation, WaitError};
use super::deadline::Deadline;
use super::volume::{self, MANAGER};
use crate::context::Guarded;
use crate::error::Error;

/// The API server, and what its watch of Luns shows.
pub struct Kubernetes {
    client: Client,
    seen: Store<Guarded<Lun>>,
    /// Changes whenever `seen` does; true once it has seen all.
    changes: watch::Receiver<bool>,
    snapshots_seen: Store<Guarded<LunSnapshot>>,
    /// As `changes`, of snapshots.
    snapshot_changes: watch::Receiver<bool>,
}

impl Kubernetes {
    /// Begins to watch, for as long as the process lives.
    pub fn watching(client: Client) -> Self {
        let (seen, changes) = follow(Api::all(client.clone()));
        let (snapshots_seen, snapshot_changes) = follow(Api::all(client.clone()));
        Self { client, seen, changes, snapshots_seen, snapshot_changes }
    }

    fn luns_of(&self, namespace: &str) -> Api<Lun> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn snapshots_of(&self, namespace: &str) -> Api<LunSnapshot> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// That very snapshot, as [`look`](Self::look).
    async fn look_snapshot(&self, snapshot: &LunSnapshot) -> Result<Option<LunSnapshot>, Error> {
        let id = super::snapshot::id(snapshot);
        let seen = self.snapshots_seen.get(&ObjectRef::new(&id.name).within(&id.namespace));
        let seen = seen.as_ref().and_then(readable).filter(|seen| seen.uid() == snapshot.uid());
        match seen {
            Some(seen) => Ok(Some(seen)),
            None => Ok(self.snapshot(&id).await?.filter(|now| now.uid() == snapshot.uid())),
        }
    }

    fn secrets_of(&self, lun: &Lun) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &lun.namespace().unwrap_or_default())
    }

    /// That very Lun as the watch shows it; where it shows it not, as the API server says.
    async fn look(&self, lun: &Lun) -> Result<Option<Lun>, Error> {
        let id = volume::id(lun);
        let seen = self.seen.get(&ObjectRef::new(&id.name).within(&id.namespace));
        match seen.as_ref().and_then(readable).filter(|seen| seen.uid() == lun.uid()) {
            Some(seen) => Ok(Some(seen)),
            None => Ok(self.lun(&id).await?.filter(|now| now.uid() == lun.uid())),
        }
    }
}

fn readable<K: Clone>(object: &Arc<Guarded<K>>) -> Option<K> {
    object.0.as_ref().ok().cloned()
}

/// Watches a kind for as long as the process lives: what it shows, and what changes whenever that does, and is true once
/// all was seen.
fn follow<K>(api: Api<Guarded<K>>) -> (Store<Guarded<K>>, watch::Receiver<bool>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (seen, writer) = store();
    let (tell, changes) = watch::channel(false);
    let events = reflector(writer, watch_stream(api, watcher::Config::default()).default_backoff());
    tokio::spawn(events.for_each(move |event| {
        match event {
            Ok(event) => tell.send_modify(|all: &mut bool| *all |= matches!(event, Event::InitDone)),
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "the watch is interrupted; trying again"),
        }
        std::future::ready(())
    }));
    (seen, changes)
}

impl Cluster for Kubernetes {
    fn is_ready(&self) -> bool {
        *self.changes.borrow()
    }

    async fn lun(&self, id: &VolumeId) -> Result<Option<Lun>, Error> {
        self.luns_of(&id.namespace).get_opt(&id.name).await.map_err(Error::api(format!("read Lun {id}")))
    }

    fn luns(&self) -> Option<Vec<Lun>> {
        self.is_ready().then(|| self.seen.state().iter().filter_map(readable).collect())
    }

    async fn pool(&self, name: &str) -> Result<Option<LunPool>, Error> {
        let pools: Api<LunPool> = Api::all(self.client.clone());
        pools.get_opt(name).await.map_err(Error::api(format!("read LunPool {name}")))
    }

    async fn node(&self, name: &str) -> Result<Option<LunNode>, Error> {
        let nodes: Api<LunNode> = Api::all(self.client.clone());
        nodes.get_opt(name).await.map_err(Error::api(format!("read LunNode {name}")))
    }

    async fn nodes(&self) -> Result<Vec<LunNode>, Error> {
        let nodes: Api<LunNode> = Api::all(self.client.clone());
        let list = nodes.list(&ListParams::default()).await.map_err(Error::api("list the LunNodes"))?;
        Ok(list.items)
    }

    async fn create(&self, lun: &Lun) -> Result<Creation, Error> {
        let api = self.luns_of(&lun.namespace().unwrap_or_default());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&params, lun).await {
            Ok(lun) => Ok(Creation::Created(Box::new(lun))),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(Creation::Exists),
            Err(error) => Err(Error::api(format!("create Lun {}", lun.name_any()))(error)),
        }
    }

    async fn change(&self, lun: &Lun, mut patch: Value) -> Result<Lun, Error> {
        let api = self.luns_of(&lun.namespace().unwrap_or_default());
        patch["metadata"]["uid"] = json!(lun.uid());
        patch["metadata"]["resourceVersion"] = json!(lun.resource_version());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let name = lun.name_any();
        api.patch(&name, &params, &Patch::Merge(&patch)).await.map_err(Error::api(format!("change Lun {name}")))
    }

    async fn delete(&self, lun: &Lun) -> Result<(), Error> {
        let api = self.luns_of(&lun.namespace().unwrap_or_default());
        let preconditions = Some(Preconditions { uid: lun.uid(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        gone(api.delete(&lun.name_any(), &params).await, format!("delete Lun {}", lun.name_any()))
    }

    async fn write_secret(&self, lun: &Lun, name: &str, secret: &Credentials) -> Result<(), Error> {
        // Neither read nor overwritten: this process may do neither to any Secret.
        self.delete_secret(lun, name).await?;
        let value = |text: &str| ByteString(text.as_bytes().to_vec());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: lun.namespace(),
                labels: Some([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())].into()),
                owner_references: lun.owner_ref(&()).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            type_: Some(SECRET_TYPE.to_owned()),
            immutable: Some(true),
            data: Some(
                [("username".to_owned(), value(secret.username())), ("password".to_owned(), value(secret.password()))]
                    .into(),
            ),
            ..Secret::default()
        };
        let created = self.secrets_of(lun).create(&PostParams::default(), &secret).await;
        created.map(drop).map_err(Error::api(format!("create Secret {name}")))
    }

    async fn delete_secret(&self, lun: &Lun, name: &str) -> Result<(), Error> {
        let deleted = self.secrets_of(lun).delete(name, &DeleteParams::default()).await;
        gone(deleted, format!("delete Secret {name}"))
    }

    async fn wait(
        &self,
        lun: &Lun,
        deadline: Deadline,
        wanted: impl Fn(&Lun) -> bool + Send + Sync,
    ) -> Result<Option<Lun>, WaitError> {
        cluster::wait_until(self.changes.clone(), deadline, || self.look(lun), wanted).await
    }

    async fn snapshot(&self, id: &VolumeId) -> Result<Option<LunSnapshot>, Error> {
        let found = self.snapshots_of(&id.namespace).get_opt(&id.name).await;
        found.map_err(Error::api(format!("read LunSnapshot {id}")))
    }

    fn snapshots(&self) -> Option<Vec<LunSnapshot>> {
        let all_seen = *self.snapshot_changes.borrow();
        all_seen.then(|| self.snapshots_seen.state().iter().filter_map(readable).collect())
    }

    async fn create_snapshot(&self, snapshot: &LunSnapshot) -> Result<Creation<LunSnapshot>, Error> {
        let api = self.snapshots_of(&snapshot.namespace().unwrap_or_default());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&params, snapshot).await {
            Ok(snapshot) => Ok(Creation::Created(Box::new(snapshot))),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(Creation::Exists),
            Err(error) => Err(Error::api(format!("create LunSnapshot {}", snapshot.name_any()))(error)),
        }
    }

    async fn delete_snapshot(&self, snapshot: &LunSnapshot) -> Result<(), Error> {
        let api = self.snapshots_of(&snapshot.namespace().unwrap_or_default());
        let preconditions = Some(Preconditions { uid: snapshot.uid(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let name = snapshot.name_any();
        gone(api.delete(&name, &params).await, format!("delete LunSnapshot {name}"))
    }

    async fn wait_snapshot(
        &self,
        snapshot: &LunSnapshot,
        deadline: Deadline,
        wanted: impl Fn(&LunSnapshot) -> bool + Send + Sync,
    ) -> Result<Option<LunSnapshot>, WaitError<LunSnapshot>> {
        let changes = self.snapshot_changes.clone();
        cluster::wait_until(changes, deadline, || self.look_snapshot(snapshot), wanted).await
    }
}

fn gone<T>(result: kube::Result<T>, action: String) -> Result<(), Error> {
    match result.map_err(Error::api(action)) {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}
