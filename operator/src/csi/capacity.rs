//! GetCapacity: what a pool still holds, for pods of a node.
//!
//! A LUN can be reached from every node that has an initiator, whichever node serves it: for pods there, the room of all
//! nodes counts. A node without one can use only what it serves itself, and a node without an agent nothing. A volume lies on
//! one node, so the largest volume is what the best node can hold.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use lunette_api::csi::TOPOLOGY_NODE;
use lunette_api::{Lun, LunNode, LunPool, NodePool};
use lunette_proto::csi;
use thiserror::Error;

use super::Driver;
use super::class::{Class, ClassError};
use super::cluster::{self, Cluster};
use super::failure::{Failure, Kind};
use super::parse::{Use, UseError};
use crate::error::Error;

/// Why nothing is known.
#[derive(Debug, Error)]
pub enum CapacityError {
    /// The parameters are wrong.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// The Luns have not been seen yet.
    #[error("the Luns have not been seen yet: the driver has just started, or does not reach the API server")]
    NotSeen,
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for CapacityError {
    fn kind(&self) -> Kind {
        match self {
            Self::Class(error) => error.kind(),
            Self::NotSeen => Kind::Unavailable,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

/// What can be had, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Of all volumes together.
    pub available: u64,
    /// Of one volume.
    pub largest: u64,
}

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Request {
    /// The pool; `None`: every pool.
    pub pool: Option<String>,
    /// The image that volumes are to begin as.
    pub image: Option<String>,
    /// The node of the pods; `None`: any.
    pub node: Option<String>,
    /// Whether volumes can be used so at all.
    pub usable: Result<(), UseError>,
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What in its parameters is unknown or impossible.
    pub fn read(call: &csi::GetCapacityRequest) -> Result<Self, CapacityError> {
        let (pool, image) = if call.parameters.is_empty() {
            (None, None)
        } else {
            let class = Class::read(&call.parameters, &std::collections::HashMap::new())?;
            (Some(class.pool), class.image)
        };
        let node = call.accessible_topology.as_ref().and_then(|topology| topology.segments.get(TOPOLOGY_NODE).cloned());
        let usable = call.volume_capabilities.iter().try_for_each(|c| Use::read(c).map(drop));
        Ok(Self { pool, image, node, usable })
    }
}

/// Asks the nodes' reports.
///
/// # Errors
/// When the API server does not answer.
pub async fn capacity<C: Cluster>(driver: &Driver<C>, request: &Request) -> Result<Capacity, CapacityError> {
    if request.usable.is_err() {
        return Ok(Capacity::default());
    }
    let nodes = driver.cluster.nodes().await?;
    let luns = driver.cluster.luns().ok_or(CapacityError::NotSeen)?;
    let mut pools = BTreeMap::new();
    for name in names(&nodes, request.pool.as_deref()) {
        // One that is gone is in the nodes' reports for a moment.
        pools.extend(driver.cluster.pool(&name).await?.map(|pool| (name, pool)));
    }
    Ok(of(&reachable(&nodes, request.node.as_deref()), &pools, &luns, request.image.as_deref()))
}

/// The pools that count.
fn names(nodes: &[LunNode], only: Option<&str>) -> BTreeSet<String> {
    let all = nodes.iter().flat_map(|node| node.status.iter().flat_map(|status| status.pools.keys()));
    all.filter(|name| only.is_none_or(|only| only == *name)).cloned().collect()
}

/// The nodes whose LUNs pods of that node can use.
fn reachable<'a>(nodes: &'a [LunNode], node: Option<&str>) -> Vec<&'a LunNode> {
    let Some(name) = node else { return nodes.iter().collect() };
    match nodes.iter().find(|node| node.name_any() == name) {
        None => Vec::new(),
        Some(own) if has_initiator(own) => nodes.iter().collect(),
        Some(own) => vec![own],
    }
}

/// Whether it can use LUNs of other nodes.
pub fn has_initiator(node: &LunNode) -> bool {
    node.status.as_ref().is_some_and(|status| status.initiator_name.is_some())
}

fn of(nodes: &[&LunNode], pools: &BTreeMap<String, LunPool>, luns: &[Lun], image: Option<&str>) -> Capacity {
    let mut sum = Capacity::default();
    for node in nodes {
        let reported = node.status.iter().flat_map(|status| &status.pools);
        for (name, there) in reported.filter(|(_, there)| image.is_none_or(|image| there.images.contains_key(image))) {
            let Some(pool) = pools.get(name) else { continue };
            let room = room(&node.name_any(), pool, there, luns);
            sum.available = sum.available.saturating_add(room.available);
            sum.largest = sum.largest.max(room.largest);
        }
    }
    sum
}

/// What a node can still hold in a pool, by the rules of placement.
fn room(node: &str, pool: &LunPool, there: &NodePool, luns: &[Lun]) -> Capacity {
    let listed = pool.spec.nodes.is_empty() || pool.spec.nodes.iter().any(|name| name == node);
    if !listed || !there.ready || there.available == 0 {
        return Capacity::default();
    }
    let Some(percent) = pool.spec.overcommit_percent else {
        return Capacity { available: there.available, largest: there.max_volume };
    };
    let limit = u128::from(there.capacity) * u128::from(percent) / 100;
    let left = u64::try_from(limit).unwrap_or(u64::MAX).saturating_sub(promised(node, &pool.name_any(), luns));
    Capacity { available: left, largest: left.min(there.max_volume) }
}

/// Bytes of the Luns that the node serves from the pool.
fn promised(node: &str, pool: &str, luns: &[Lun]) -> u64 {
    let is_there = |lun: &&Lun| {
        lun.spec.pool == pool && lun.status.as_ref().and_then(|status| status.node.as_deref()) == Some(node)
    };
    luns.iter().filter(is_there).map(|lun| lun.spec.size.bytes().unwrap_or(0)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, initiator: Option<&str>, pools: &Value) -> LunNode {
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode",
            "metadata": {"name": name}, "spec": {}, "status": {"pools": pools, "initiatorName": initiator}}))
        .expect("a LunNode")
    }

    fn pools(spec: &Value) -> BTreeMap<String, LunPool> {
        let pool = |name: &str| -> LunPool {
            let mut whole = json!({"directory": {"path": "/a"}});
            whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
            let metadata = json!({"name": name});
            serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunPool", "metadata": metadata,
                "spec": whole}))
            .expect("a LunPool")
        };
        ["fast", "slow"].map(|name| (name.to_owned(), pool(name))).into()
    }

    fn lun(node: &str, bytes: u64) -> Lun {
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "x"},
            "spec": {"pool": "fast", "size": bytes}, "status": {"node": node}}))
        .expect("a Lun")
    }

    fn nodes() -> [LunNode; 3] {
        let pool = |ready: bool, available: u64, most: u64| json!({"ready": ready, "capacity": 100, "available": available, "maxVolume": most});
        [
            node("a", Some("iqn.a"), &json!({"fast": pool(true, 10, 70), "slow": pool(true, 5, 90)})),
            node("b", None, &json!({"fast": pool(true, 20, 60)})),
            node("c", Some("iqn.c"), &json!({"fast": pool(false, 40, 99)})),
        ]
    }

    fn asked(pool: Option<&str>, node: Option<&str>, spec: &Value, luns: &[Lun]) -> (u64, u64) {
        let nodes = nodes();
        let mut pools = pools(spec);
        pools.retain(|name, _| names(&nodes, pool).contains(name));
        let found = of(&reachable(&nodes, node), &pools, luns, None);
        (found.available, found.largest)
    }

    #[test]
    fn ready_nodes_add_up_and_the_best_bounds_a_volume() {
        let any = json!({});
        assert_eq!(asked(Some("fast"), None, &any, &[]), (30, 70));
        assert_eq!(asked(None, None, &any, &[]), (35, 90));
        assert_eq!(asked(Some("none"), None, &any, &[]), (0, 0));
        assert_eq!(asked(Some("fast"), None, &json!({"nodes": ["b"]}), &[]), (20, 60));
    }

    #[test]
    fn a_node_without_an_initiator_has_its_own_room_and_one_without_an_agent_none() {
        let any = json!({});
        assert_eq!(asked(Some("fast"), Some("a"), &any, &[]), (30, 70));
        assert_eq!(asked(Some("fast"), Some("c"), &any, &[]), (30, 70), "it serves none and can use those of others");
        assert_eq!(asked(Some("fast"), Some("b"), &any, &[]), (20, 60));
        assert_eq!(asked(Some("slow"), Some("b"), &any, &[]), (0, 0));
        assert_eq!(asked(Some("fast"), Some("elsewhere"), &any, &[]), (0, 0));
    }

    #[test]
    fn what_is_promised_is_gone_where_promises_are_limited() {
        let limited = json!({"overcommitPercent": 150});
        assert_eq!(asked(Some("fast"), None, &limited, &[]), (300, 70));
        let luns = [lun("a", 100), lun("b", 149), lun("b", 1)];
        assert_eq!(asked(Some("fast"), None, &limited, &luns), (50, 50));
        assert_eq!(asked(Some("fast"), None, &json!({}), &luns), (30, 70));
    }

    #[test]
    fn only_nodes_that_have_the_image_of_a_class_count() {
        let mut nodes = nodes();
        let pools = pools(&json!({}));
        let all: Vec<&LunNode> = nodes.iter().collect();
        assert_eq!(of(&all, &pools, &[], Some("debian.raw")), Capacity::default());
        let images = &mut nodes[1].status.as_mut().expect("a status").pools.get_mut("fast").expect("a pool").images;
        images.insert("debian.raw".to_owned(), 1);
        let all: Vec<&LunNode> = nodes.iter().collect();
        assert_eq!(of(&all, &pools, &[], Some("debian.raw")), Capacity { available: 20, largest: 60 });
    }
}
