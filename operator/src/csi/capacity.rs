//! GetCapacity: what a pool still holds.
//!
//! A LUN can be reached from every node, whichever serves it; so what can be had from one node can be had from
//! all, and the topology of the call makes no difference. A volume lies on one node, so the largest volume is what
//! the best node can hold.

use lunette_api::LunNode;
use lunette_proto::csi;
use thiserror::Error;

use super::Driver;
use super::class::{Class, ClassError};
use super::cluster::{self, Cluster};
use super::create::largest;
use super::failure::{Failure, Kind};
use super::parse::{Use, UseError};
use crate::error::Error;

/// Why nothing is known.
#[derive(Debug, Error)]
pub enum CapacityError {
    /// The parameters are wrong.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for CapacityError {
    fn kind(&self) -> Kind {
        match self {
            Self::Class(error) => error.kind(),
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
    /// Whether volumes can be used so at all.
    pub usable: Result<(), UseError>,
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What in its parameters is unknown or impossible.
    pub fn read(call: &csi::GetCapacityRequest) -> Result<Self, CapacityError> {
        let pool = if call.parameters.is_empty() {
            None
        } else {
            Some(Class::read(&call.parameters, &std::collections::HashMap::new())?.pool)
        };
        let usable = call.volume_capabilities.iter().try_for_each(|c| Use::read(c).map(drop));
        Ok(Self { pool, usable })
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
    Ok(of(&driver.cluster.nodes().await?, request.pool.as_deref()))
}

fn of(nodes: &[LunNode], pool: Option<&str>) -> Capacity {
    let pools = nodes.iter().flat_map(|node| node.status.iter().flat_map(|s| &s.pools));
    let ready = pools.filter(|(name, there)| there.ready && pool.is_none_or(|pool| pool == *name));
    let names: std::collections::BTreeSet<&String> = ready.clone().map(|(name, _)| name).collect();
    Capacity {
        available: ready.map(|(_, there)| there.available).fold(0, u64::saturating_add),
        largest: names.into_iter().filter_map(|name| largest(nodes, name)).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(pools: &Value) -> LunNode {
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode",
            "metadata": {"name": "a"}, "spec": {}, "status": {"pools": pools}}))
        .expect("a LunNode")
    }

    #[test]
    fn ready_nodes_add_up_and_the_best_bounds_a_volume() {
        let pool = |ready: bool, available: u64, most: u64| json!({"ready": ready, "capacity": 100, "available": available, "maxVolume": most});
        let nodes = [
            node(&json!({"fast": pool(true, 10, 70), "slow": pool(true, 5, 90)})),
            node(&json!({"fast": pool(true, 20, 60)})),
            node(&json!({"fast": pool(false, 40, 99)})),
        ];
        assert_eq!(of(&nodes, Some("fast")), Capacity { available: 30, largest: 70 });
        assert_eq!(of(&nodes, None), Capacity { available: 35, largest: 90 });
        assert_eq!(of(&nodes, Some("none")), Capacity::default());
    }
}
