//! A cluster in memory, for tests: Luns with generations, and an agent that serves what it is told to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use kube::core::Status;
use lunette_api::csi::VolumeId;
use lunette_api::{Lun, LunNode, LunPool, LunSnapshot};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::chap::Credentials;
use super::cluster::{self, Cluster, Creation, WaitError};
use super::deadline::Deadline;
use super::volume;
use crate::error::Error;

const GI: u64 = 1 << 30;

/// What is in it.
#[derive(Default)]
pub struct State {
    pub luns: BTreeMap<VolumeId, Lun>,
    pub snapshots: BTreeMap<VolumeId, LunSnapshot>,
    /// The pool's file system cannot.
    pub takes_no_snapshots: bool,
    /// Passwords, by the Secrets' names.
    pub secrets: BTreeMap<String, String>,
    pub pool_namespaces: Vec<String>,
    /// The agent does nothing, for the time being.
    pub agent_is_silent: bool,
    /// Every change fails from now on, after so many.
    pub fail_after: Option<usize>,
    /// So often is a Lun changed by others between being read and written.
    pub overtaken: usize,
    uids: u64,
}

/// A pool `fast` and nodes `a`, `b` and `s` that can hold 100 GiB each; `s` serves every Lun, and has no initiator.
pub struct Memory {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Memory {
    pub fn new() -> Self {
        Self { state: Mutex::default(), changes: watch::channel(0).0 }
    }

    /// Looks at it, or changes it.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|n| *n += 1);
        result
    }

    /// The agent works again, and catches up.
    pub fn wake_agent(&self) {
        self.with(|state| {
            state.agent_is_silent = false;
            let ids: Vec<VolumeId> = state.luns.keys().cloned().collect();
            ids.iter().for_each(|id| state.serve(id));
            let ids: Vec<VolumeId> = state.snapshots.keys().cloned().collect();
            ids.iter().for_each(|id| state.take(id));
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What operator and agent make of a Lun.
    fn serve(&mut self, id: &VolumeId) {
        if self.agent_is_silent {
            return;
        }
        let Some(lun) = self.luns.get_mut(id) else { return };
        if lun.metadata.deletion_timestamp.is_some() {
            self.luns.remove(id);
            return;
        }
        let condition = |type_: &str| {
            json!({"type": type_, "status": "True", "reason": type_, "message": "",
                "observedGeneration": lun.metadata.generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let status = json!({"node": "s", "epoch": 1, "wwid": "naa.6", "capacity": volume::bytes(lun),
            "target": {"iqn": "iqn.t", "lun": 0, "portals": ["192.0.2.1:3260"]},
            "conditions": [condition("Placed"), condition("Exported"), condition("Ready")]});
        lun.status = Some(serde_json::from_value(status).expect("a status"));
    }

    /// What operator and agent make of a snapshot.
    fn take(&mut self, id: &VolumeId) {
        if self.agent_is_silent {
            return;
        }
        let Some(snapshot) = self.snapshots.get_mut(id) else { return };
        if snapshot.metadata.deletion_timestamp.is_some() {
            self.snapshots.remove(id);
            return;
        }
        let of = VolumeId { name: snapshot.spec.lun.clone(), ..id.clone() };
        let Some(lun) = self.luns.get(&of) else { return };
        let status = json!({"node": "s", "pool": lun.spec.pool, "readyToUse": true, "size": volume::bytes(lun),
            "creationTime": "2026-01-02T03:04:05Z",
            "source": {"uid": lun.uid(), "wwid": "naa.6", "blockSize": lun.spec.block_size}});
        snapshot.status = Some(serde_json::from_value(status).expect("a status"));
    }

    fn may_write(&mut self) -> Result<(), Error> {
        match &mut self.fail_after {
            Some(0) => Err(api_error(503, "ServiceUnavailable")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn api_error(code: u16, reason: &str) -> Error {
    let status = Status { code, reason: reason.to_owned(), message: reason.to_owned(), ..Status::default() };
    Error::api("do it")(kube::Error::Api(Box::new(status)))
}

/// RFC 7396.
fn merge(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().map(|map| map.remove(key));
        } else {
            merge(&mut into[key], value);
        }
    }
}

impl Cluster for Memory {
    fn is_ready(&self) -> bool {
        true
    }

    async fn lun(&self, id: &VolumeId) -> Result<Option<Lun>, Error> {
        Ok(self.lock().luns.get(id).cloned())
    }

    fn luns(&self) -> Option<Vec<Lun>> {
        Some(self.lock().luns.values().cloned().collect())
    }

    async fn pool(&self, name: &str) -> Result<Option<LunPool>, Error> {
        let spec = json!({"directory": {"path": "/p"}, "namespaces": self.lock().pool_namespaces});
        let pool =
            json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunPool", "metadata": {"name": name}, "spec": spec});
        Ok((name == "fast").then(|| serde_json::from_value(pool).expect("a pool")))
    }

    async fn node(&self, name: &str) -> Result<Option<LunNode>, Error> {
        Ok(self.nodes().await?.into_iter().find(|node| node.name_any() == name))
    }

    async fn nodes(&self) -> Result<Vec<LunNode>, Error> {
        let snapshots = !self.lock().takes_no_snapshots;
        let node = |name: &str| {
            let pool = json!({"ready": true, "snapshots": snapshots, "capacity": 100 * GI, "available": 100 * GI, "maxVolume": 100 * GI,
                "images": if name == "s" { json!({"debian.raw": 3 * GI + 1}) } else { json!({}) }});
            let initiator = (name != "s").then(|| format!("iqn.2026-01.a:{name}"));
            let status = json!({"initiatorName": initiator, "pools": {"fast": pool}});
            let node = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": name},
                "spec": {}, "status": status});
            serde_json::from_value(node).expect("a node")
        };
        Ok(vec![node("a"), node("b"), node("s")])
    }

    async fn create(&self, lun: &Lun) -> Result<Creation, Error> {
        self.with(|state| {
            state.may_write()?;
            let (id, mut lun) = (volume::id(lun), lun.clone());
            if state.luns.contains_key(&id) {
                return Ok(Creation::Exists);
            }
            state.uids += 1;
            lun.metadata.uid = Some(format!("uid-{}", state.uids));
            lun.metadata.generation = Some(1);
            lun.metadata.resource_version = Some("1".to_owned());
            state.luns.insert(id.clone(), lun.clone());
            state.serve(&id);
            Ok(Creation::Created(Box::new(lun)))
        })
    }

    async fn change(&self, lun: &Lun, patch: Value) -> Result<Lun, Error> {
        self.with(|state| {
            state.may_write()?;
            let id = volume::id(lun);
            let stored = state.luns.get_mut(&id).ok_or_else(|| api_error(404, "NotFound"))?;
            if state.overtaken > 0 {
                state.overtaken -= 1;
                stored.metadata.resource_version = Some(format!("overtaken-{}", state.overtaken));
            }
            if stored.metadata.resource_version != lun.metadata.resource_version {
                return Err(api_error(409, "Conflict"));
            }
            let mut json = serde_json::to_value(&*stored).expect("JSON");
            merge(&mut json, &patch);
            let mut changed: Lun = serde_json::from_value(json).expect("a Lun");
            changed.metadata.generation = stored.metadata.generation.map(|g| g + 1);
            changed.metadata.resource_version = changed.metadata.generation.map(|g| g.to_string());
            *stored = changed.clone();
            state.serve(&id);
            Ok(changed)
        })
    }

    async fn delete(&self, lun: &Lun) -> Result<(), Error> {
        self.with(|state| {
            state.may_write()?;
            let id = volume::id(lun);
            if let Some(lun) = state.luns.get_mut(&id) {
                let now = "2026-01-01T00:00:00Z".parse().expect("a time");
                lun.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
            }
            state.serve(&id);
            Ok(())
        })
    }

    async fn write_secret(&self, _: &Lun, name: &str, secret: &Credentials) -> Result<(), Error> {
        self.with(|state| {
            state.may_write()?;
            state.secrets.insert(name.to_owned(), secret.password().to_owned());
            Ok(())
        })
    }

    async fn delete_secret(&self, _: &Lun, name: &str) -> Result<(), Error> {
        self.with(|state| {
            state.may_write()?;
            state.secrets.remove(name);
            Ok(())
        })
    }

    async fn wait(
        &self,
        lun: &Lun,
        deadline: Deadline,
        wanted: impl Fn(&Lun) -> bool + Send + Sync,
    ) -> Result<Option<Lun>, WaitError> {
        let look = || async { Ok(self.lun(&volume::id(lun)).await?.filter(|now| now.uid() == lun.uid())) };
        cluster::wait_until(self.changes.subscribe(), deadline, look, wanted).await
    }

    async fn snapshot(&self, id: &VolumeId) -> Result<Option<LunSnapshot>, Error> {
        Ok(self.lock().snapshots.get(id).cloned())
    }

    fn snapshots(&self) -> Option<Vec<LunSnapshot>> {
        Some(self.lock().snapshots.values().cloned().collect())
    }

    async fn create_snapshot(&self, snapshot: &LunSnapshot) -> Result<Creation<LunSnapshot>, Error> {
        self.with(|state| {
            state.may_write()?;
            let (id, mut snapshot) = (super::snapshot::id(snapshot), snapshot.clone());
            if state.snapshots.contains_key(&id) {
                return Ok(Creation::Exists);
            }
            state.uids += 1;
            snapshot.metadata.uid = Some(format!("uid-{}", state.uids));
            state.snapshots.insert(id.clone(), snapshot.clone());
            state.take(&id);
            Ok(Creation::Created(Box::new(snapshot)))
        })
    }

    async fn delete_snapshot(&self, snapshot: &LunSnapshot) -> Result<(), Error> {
        self.with(|state| {
            state.may_write()?;
            let id = super::snapshot::id(snapshot);
            if let Some(snapshot) = state.snapshots.get_mut(&id) {
                let now = "2026-01-01T00:00:00Z".parse().expect("a time");
                snapshot.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
            }
            state.take(&id);
            Ok(())
        })
    }

    async fn wait_snapshot(
        &self,
        snapshot: &LunSnapshot,
        deadline: Deadline,
        wanted: impl Fn(&LunSnapshot) -> bool + Send + Sync,
    ) -> Result<Option<LunSnapshot>, WaitError<LunSnapshot>> {
        let id = super::snapshot::id(snapshot);
        let look = || async { Ok(self.snapshot(&id).await?.filter(|now| now.uid() == snapshot.uid())) };
        cluster::wait_until(self.changes.subscribe(), deadline, look, wanted).await
    }
}
