//! This node in the API: its LunNode, written when it changes, and a Lease that is renewed as a heartbeat.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Resource};
use lunette_api::conditions::{self, reasons};
use lunette_api::{AGENT_MANAGER, LunNode, LunNodeStatus, LunPool, NODE_LEASE_PREFIX};
use lunette_lio::Preflight;
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::View;
use super::pools::Pools;
use crate::check;

/// How often the node looks at itself and says that it lives.
const BEAT: Duration = Duration::from_secs(10);
/// Seconds after which a node that says nothing counts as gone.
const LEASE_SECONDS: i32 = 40;
/// How often it says what it is like although nothing changed: someone may have deleted its object.
const SAY_AGAIN: Duration = Duration::from_secs(300);

/// This node in the API.
pub struct Presence {
    client: Client,
    node: String,
    namespace: String,
    portals: Vec<String>,
}

impl Presence {
    /// `namespace` is where the Lease lives.
    pub fn new(client: Client, node: String, namespace: String, portals: Vec<String>) -> Self {
        Self { client, node, namespace, portals }
    }

    /// Keeps the node's objects true, for ever. The heartbeat waits for nothing else: storage that does not
    /// answer is no reason to take the node for lost.
    pub async fn keep(&self, views: tokio::sync::watch::Receiver<View>) {
        tokio::join!(self.keep_node(views), self.keep_lease());
    }

    async fn keep_lease(&self) {
        loop {
            self.beat().await;
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn keep_node(&self, mut views: tokio::sync::watch::Receiver<View>) {
        let mut looks = Pools::default();
        let mut said = None;
        let mut said_at = Instant::now();
        loop {
            let pools = views.borrow_and_update().pools.clone();
            let status = self.look(&mut looks, pools.values(), said.as_ref()).await;
            let news = said.as_ref() != Some(&status) || said_at.elapsed() > SAY_AGAIN;
            if news && self.say(&status).await {
                (said, said_at) = (Some(status), Instant::now());
            }
            let next = tokio::time::sleep(if said.is_some() { BEAT } else { BEAT / 5 });
            // A new pool is looked at on the spot: its first LUN may be waiting to be placed.
            tokio::select! {
                () = next => {}
                changed = views.wait_for(|view| !same_pools(&view.pools, &pools)) => if changed.is_err() { return },
            }
        }
    }

    async fn look<'a>(
        &self,
        looks: &mut Pools,
        pools: impl Iterator<Item = &'a Arc<LunPool>>,
        before: Option<&LunNodeStatus>,
    ) -> LunNodeStatus {
        let mut status = self.kernel().await;
        let mine = |pool: &&LunPool| pool.spec.nodes.is_empty() || pool.spec.nodes.contains(&self.node);
        status.pools = looks.look(pools.map(Arc::as_ref).filter(mine)).await;
        if let Some(before) = before {
            keep_transition_times(&mut status, before);
        }
        status
    }

    async fn kernel(&self) -> LunNodeStatus {
        let findings = spawn_blocking(|| Preflight::here().check()).await.unwrap_or_default();
        let modules = check::MODULES.iter().map(|name| ((*name).to_owned(), check::module_is_loaded(name))).collect();
        let mut status = LunNodeStatus {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: read_line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            modules,
            initiator_name: check::initiator_name(),
            portals: self.portals.clone(),
            pools: BTreeMap::new(),
            conditions: Vec::new(),
        };
        let missing = check::blocking(&findings);
        let (ready, reason) =
            if missing.is_empty() { (true, reasons::NODE_READY) } else { (false, reasons::KERNEL_NOT_READY) };
        let message = if ready { "the node can serve LUNs".to_owned() } else { missing.join("; ") };
        conditions::set(&mut status.conditions, conditions::READY, ready, reason, message, None);
        status
    }

    async fn say(&self, status: &LunNodeStatus) -> bool {
        let api: Api<LunNode> = Api::all(self.client.clone());
        let params = PatchParams::apply(AGENT_MANAGER).force();
        let head = json!({ "name": self.node });
        let (version, kind) = (LunNode::api_version(&()), LunNode::kind(&()));
        let node = json!({ "apiVersion": version, "kind": kind, "metadata": head, "spec": {} });
        let body = json!({ "apiVersion": version, "kind": kind, "metadata": head, "status": status });
        let made = api.patch(&self.node, &params, &Patch::Apply(&node)).await;
        let told = match made {
            Ok(_) => api.patch_status(&self.node, &params, &Patch::Apply(&body)).await,
            Err(error) => Err(error),
        };
        told.inspect_err(|error| tracing::warn!(%error, "the API server did not take this node's LunNode")).is_ok()
    }

    async fn beat(&self) {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = format!("{NODE_LEASE_PREFIX}{}", self.node);
        let lease = Lease {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.node.clone()),
                lease_duration_seconds: Some(LEASE_SECONDS),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        let params = PatchParams::apply(AGENT_MANAGER).force();
        match timeout(BEAT, api.patch(&name, &params, &Patch::Apply(&lease))).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the API server did not take this node's heartbeat"),
            Err(_) => tracing::warn!("the API server does not answer this node's heartbeat"),
        }
    }
}

fn same_pools(a: &BTreeMap<String, Arc<LunPool>>, b: &BTreeMap<String, Arc<LunPool>>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((x, p), (y, q))| x == y && p.spec == q.spec)
}

fn keep_transition_times(status: &mut LunNodeStatus, before: &LunNodeStatus) {
    for condition in &mut status.conditions {
        if let Some(old) = conditions::find(&before.conditions, &condition.type_)
            && old.status == condition.status
        {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
}

fn read_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
