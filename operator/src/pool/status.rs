//! What the operator says of a pool: a pure decision over the nodes and the Luns.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use lunette_api::conditions::{self, READY, RELEASED, SNAPSHOTS, reasons};
use lunette_api::{GROUP, LunNode, LunPool, LunPoolStatus, OPERATOR_MANAGER, VERSION};

use crate::error::Error;
use crate::lun::place::Refusal;
use crate::node::view;

/// So many users of a pool, or nodes, are named in a message.
const NAMED: usize = 10;

/// Who has data in a pool: each as `namespace/name`, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Luns that name it.
    pub luns: Vec<String>,
    /// Snapshots that were taken in it.
    pub snapshots: Vec<String>,
}

impl Users {
    /// Whether nobody has.
    pub fn are_none(&self) -> bool {
        self.luns.is_empty() && self.snapshots.is_empty()
    }
}

/// What the status of a pool should be, with these nodes (each with whether its agent gives signs of life)
/// and these users.
pub fn status(pool: &LunPool, nodes: &[(LunNode, bool)], users: &Users) -> LunPoolStatus {
    let name = pool.name_any();
    let mut ready = Vec::new();
    let mut not = Vec::new();
    for (node, fresh) in nodes {
        let node_name = node.name_any();
        match trouble(pool, &name, node, *fresh) {
            None => ready.push(node_name),
            Some(why) => not.push(format!("{node_name}: {why}")),
        }
    }
    ready.sort();
    not.sort();
    let snapshots = nodes.iter().filter(|(node, _)| ready.contains(&node.name_any())).map(|(node, _)| {
        let there = node.status.as_ref().and_then(|s| s.pools.get(&name));
        (node.name_any(), there.is_some_and(|pool| pool.snapshots))
    });
    let without: Vec<String> = snapshots.filter(|(_, can)| !can).map(|(node, _)| node).collect();
    let old = pool.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
    LunPoolStatus {
        luns: u32::try_from(users.luns.len()).unwrap_or(u32::MAX),
        conditions: snapshots_of(pool, conditions_of(pool, old, &ready, &not, users), &ready, &without),
        nodes: ready,
    }
}

fn conditions_of(
    pool: &LunPool,
    mut all: Vec<conditions::Condition>,
    ready: &[String],
    not: &[String],
    users: &Users,
) -> Vec<conditions::Condition> {
    let generation = pool.metadata.generation;
    all.retain(|c| {
        [READY, SNAPSHOTS].contains(&c.type_.as_str())
            || (c.type_ == RELEASED && pool.metadata.deletion_timestamp.is_some())
    });
    if ready.is_empty() {
        let why = if not.is_empty() { "no node has joined".to_owned() } else { some_of(not, "; ") };
        let message = format!("no node can serve it: {why}");
        conditions::set(&mut all, READY, false, reasons::POOL_UNAVAILABLE, message, generation);
    } else {
        let message = format!("served by {}", some_of(ready, ", "));
        conditions::set(&mut all, READY, true, reasons::POOL_READY, message, generation);
    }
    if pool.metadata.deletion_timestamp.is_some() && !users.are_none() {
        conditions::set(&mut all, RELEASED, false, reasons::IN_USE, in_use(users), generation);
    }
    all
}

/// Adds whether the pool's storage takes snapshots; nothing while no node serves it.
fn snapshots_of(
    pool: &LunPool,
    mut all: Vec<conditions::Condition>,
    ready: &[String],
    without: &[String],
) -> Vec<conditions::Condition> {
    let generation = pool.metadata.generation;
    if ready.is_empty() {
        all.retain(|c| c.type_ != SNAPSHOTS);
    } else if without.is_empty() {
        let message = "snapshots and clones can be made";
        conditions::set(&mut all, SNAPSHOTS, true, reasons::SNAPSHOTS, message, generation);
    } else {
        let message = format!(
            "on {} the file system shares no extents between files: no snapshots and clones there; XFS (made with \
             reflink=1, the default) and btrfs do",
            some_of(without, ", ")
        );
        conditions::set(&mut all, SNAPSHOTS, false, reasons::NO_SNAPSHOTS, message, generation);
    }
    all
}

/// Says who keeps a pool from going.
pub fn in_use(users: &Users) -> String {
    let used = |count: usize, one: &str, several: &str| {
        if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
    };
    let luns = used(users.luns.len(), "Lun uses it", "Luns use it");
    let snapshots = used(users.snapshots.len(), "LunSnapshot is in it", "LunSnapshots are in it");
    let said: Vec<String> = [(luns, &users.luns), (snapshots, &users.snapshots)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", some_of(names, ", ")))
        .collect();
    let goes = if users.luns.len() + users.snapshots.len() == 1 { "it goes" } else { "they go" };
    format!("{}; the pool goes when {goes}", said.join("; "))
}

fn some_of(list: &[String], separator: &str) -> String {
    let named = list.iter().take(NAMED).cloned().collect::<Vec<_>>().join(separator);
    match list.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}{separator}and {more} more"),
    }
}

/// Why that node cannot serve the pool.
fn trouble(pool: &LunPool, name: &str, node: &LunNode, fresh: bool) -> Option<Refusal> {
    if !pool.spec.nodes.is_empty() && !pool.spec.nodes.contains(&node.name_any()) {
        return Some(Refusal::NotListed);
    }
    if let Some(trouble) = view::trouble(node, fresh) {
        return Some(Refusal::Trouble(trouble));
    }
    match node.status.as_ref().and_then(|s| s.pools.get(name)) {
        None => Some(Refusal::NoPool),
        Some(there) if !there.ready => Some(Refusal::PoolNotReady(there.message.clone())),
        Some(_) => None,
    }
}

/// Writes the status.
///
/// # Errors
/// When the API server refuses; a conflict means that the pool was changed since it was read.
pub async fn apply(api: &Api<LunPool>, pool: &LunPool, status: &LunPoolStatus) -> Result<(), Error> {
    let name = pool.name_any();
    let patch = serde_json::json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "LunPool",
        "metadata": {"name": name, "uid": pool.uid(), "resourceVersion": pool.resource_version()},
        "status": status,
    });
    let params = PatchParams::apply(OPERATOR_MANAGER).force();
    let done = api.patch_status(&name, &params, &Patch::Apply(&patch)).await;
    done.map(|_| ()).map_err(Error::api(format!("write the status of LunPool {name}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::lun::place::Trouble;

    fn pool(deleting: bool, nodes: &[&str]) -> LunPool {
        let deleted = if deleting { json!("2026-01-02T03:04:05Z") } else { Value::Null };
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "LunPool",
            "metadata": {"name": "fast", "generation": 2, "deletionTimestamp": deleted},
            "spec": {"directory": {"path": "/srv/pool"}, "nodes": nodes},
        }))
        .expect("a LunPool")
    }

    fn luns(names: &[&str]) -> Users {
        Users { luns: names.iter().map(|name| (*name).to_owned()).collect(), ..Users::default() }
    }

    fn node(name: &str, ready: bool) -> (LunNode, bool) {
        let node = serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": name}, "spec": {},
            "status": {"pools": {"fast": {"ready": ready, "message": "no such directory"}},
                "conditions": [{"type": "Ready", "status": "True", "reason": "NodeReady", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }));
        (node.expect("a LunNode"), true)
    }

    fn said<'a>(status: &'a LunPoolStatus, type_: &str) -> Option<(&'a str, &'a str)> {
        conditions::find(&status.conditions, type_).map(|c| (c.reason.as_str(), c.message.as_str()))
    }

    #[test]
    fn a_pool_is_ready_where_a_node_can_serve_it() {
        let some = status(&pool(false, &[]), &[node("b", true), node("a", true), node("c", false)], &luns(&["p/x"]));
        assert_eq!((some.nodes.clone(), some.luns), (vec!["a".to_owned(), "b".to_owned()], 1));
        assert_eq!(said(&some, READY), Some(("PoolReady", "served by a, b")));
        let none = status(&pool(false, &["b"]), &[node("a", true), node("b", false)], &Users::default());
        let message = "no node can serve it: a: the pool's spec.nodes leaves it out; \
                       b: it cannot serve the pool: no such directory";
        assert_eq!(said(&none, READY), Some(("PoolUnavailable", message)));
        let empty = status(&pool(false, &[]), &[], &Users::default());
        assert_eq!(said(&empty, READY), Some(("PoolUnavailable", "no node can serve it: no node has joined")));
    }

    #[test]
    fn a_pool_that_is_in_use_says_by_whom() {
        let users = Users { luns: (0..12).map(|i| format!("prod/db-{i:02}")).collect(), snapshots: Vec::new() };
        let busy = status(&pool(true, &[]), &[], &users);
        let (reason, message) = said(&busy, RELEASED).expect("a condition");
        assert_eq!(reason, "InUse");
        assert!(message.starts_with("12 Luns use it: prod/db-00, prod/db-01,"), "{message}");
        assert!(message.ends_with("prod/db-09, and 2 more; the pool goes when they go"), "{message}");
        assert_eq!(in_use(&luns(&["prod/db-00"])), "1 Lun uses it: prod/db-00; the pool goes when it goes");
        let both = Users { snapshots: vec!["prod/s".to_owned()], ..luns(&["prod/a"]) };
        let message = "1 Lun uses it: prod/a; 1 LunSnapshot is in it: prod/s; the pool goes when they go";
        assert_eq!(in_use(&both), message);
        assert_eq!(said(&status(&pool(false, &[]), &[], &users), RELEASED), None);
    }

    #[test]
    fn a_pool_says_whether_its_storage_takes_snapshots() {
        let with = |snapshots: bool| {
            let (mut node, fresh) = node("a", true);
            node.status.as_mut().and_then(|s| s.pools.get_mut("fast")).expect("a pool").snapshots = snapshots;
            status(&pool(false, &[]), &[(node, fresh)], &Users::default())
        };
        assert_eq!(said(&with(true), SNAPSHOTS).map(|s| s.0), Some(reasons::SNAPSHOTS));
        let (reason, message) = said(&with(false), SNAPSHOTS).map(|s| (s.0.to_owned(), s.1.to_owned())).expect("said");
        assert_eq!(reason, reasons::NO_SNAPSHOTS);
        assert!(message.starts_with("on a the file system shares no extents between files"), "{message}");
        assert_eq!(said(&status(&pool(false, &[]), &[], &Users::default()), SNAPSHOTS), None);
    }

    #[test]
    fn a_silent_agent_serves_no_pool() {
        let silent = (node("a", true).0, false);
        let status = status(&pool(false, &[]), &[silent], &Users::default());
        let why = Refusal::Trouble(Trouble::Silent).to_string();
        assert_eq!(said(&status, READY).map(|s| s.1.to_owned()), Some(format!("no node can serve it: a: {why}")));
    }
}
