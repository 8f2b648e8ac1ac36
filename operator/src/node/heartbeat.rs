//! Signs of life: each agent renews a Lease; one that has not been renewed for its duration is stale.
//!
//! Clocks of nodes are not trusted: after the first sight only the time between renewals, on this process's
//! own monotonic clock, counts. At first sight the Lease's own time must do, with as much again for the skew.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use lunette_api::NODE_LEASE_PREFIX;

/// Used where a Lease does not say how long it is good.
const DEFAULT_SECONDS: i32 = 40;

/// One agent's Lease as last seen.
#[derive(Clone, Copy, Debug)]
struct Beat {
    renewed: Timestamp,
    /// When this process saw it change; `None`: it has not changed since it was first seen.
    seen: Option<Instant>,
    good_for: Duration,
}

/// The agents' signs of life, by node.
#[derive(Debug, Default)]
pub struct Heartbeats {
    beats: HashMap<String, Beat>,
}

impl Heartbeats {
    /// Takes in a Lease. Returns the node's name when it is an agent's.
    pub fn observe(&mut self, lease: &Lease, now: Instant) -> Option<String> {
        let node = node_of(lease)?;
        let spec = lease.spec.as_ref()?;
        let renewed = spec.renew_time.as_ref()?.0;
        let seconds = spec.lease_duration_seconds.unwrap_or(DEFAULT_SECONDS).max(1);
        let good_for = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let seen = match self.beats.get(node) {
            Some(old) if old.renewed == renewed => old.seen,
            Some(_) => Some(now),
            None => None,
        };
        self.beats.insert(node.to_owned(), Beat { renewed, seen, good_for });
        Some(node.to_owned())
    }

    /// Forgets a node whose Lease was deleted.
    pub fn forget(&mut self, lease: &Lease) -> Option<String> {
        let node = node_of(lease)?;
        self.beats.remove(node);
        Some(node.to_owned())
    }

    /// Whether the node's agent has given a sign of life lately.
    pub fn is_fresh(&self, node: &str, now: Instant, wall: Timestamp) -> bool {
        let Some(beat) = self.beats.get(node) else { return false };
        match beat.seen {
            Some(seen) => now.saturating_duration_since(seen) <= beat.good_for,
            None => wall.duration_since(beat.renewed).unsigned_abs() <= beat.good_for * 2,
        }
    }

    /// When the agent last renewed its Lease, by the agent's clock.
    pub fn last(&self, node: &str) -> Option<Timestamp> {
        self.beats.get(node).map(|beat| beat.renewed)
    }

    /// The nodes whose agents have given a sign of life lately, sorted.
    pub fn fresh(&self, now: Instant, wall: Timestamp) -> Vec<String> {
        let mut nodes: Vec<_> = self.beats.keys().filter(|node| self.is_fresh(node, now, wall)).cloned().collect();
        nodes.sort();
        nodes
    }
}

fn node_of(lease: &Lease) -> Option<&str> {
    lease.metadata.name.as_deref()?.strip_prefix(NODE_LEASE_PREFIX)
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use kube::api::ObjectMeta;

    use super::*;

    fn lease(name: &str, renewed: Timestamp) -> Lease {
        let spec = LeaseSpec {
            lease_duration_seconds: Some(10),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: Some(spec) }
    }

    #[test]
    fn a_renewed_lease_is_fresh_for_its_duration_whatever_the_nodes_clock_says() {
        let (mut beats, start, wall) = (Heartbeats::default(), Instant::now(), Timestamp::now());
        let wrong = wall - 5.hours();
        assert_eq!(beats.observe(&lease("lunette-node-a", wrong), start), Some("a".to_owned()));
        assert!(!beats.is_fresh("a", start, wall), "never seen to change, and old by its own time");
        beats.observe(&lease("lunette-node-a", wrong + 3.seconds()), start);
        assert!(beats.is_fresh("a", start + Duration::from_secs(10), wall));
        assert!(!beats.is_fresh("a", start + Duration::from_secs(11), wall));
        beats.observe(&lease("lunette-node-a", wrong + 3.seconds()), start + Duration::from_secs(11));
        assert!(!beats.is_fresh("a", start + Duration::from_secs(11), wall), "the same renewal is no new sign of life");
    }

    #[test]
    fn a_lease_seen_for_the_first_time_is_judged_by_its_own_time() {
        let (mut beats, start, wall) = (Heartbeats::default(), Instant::now(), Timestamp::now());
        beats.observe(&lease("lunette-node-a", wall - 15.seconds()), start);
        beats.observe(&lease("lunette-node-b", wall - 25.seconds()), start);
        assert_eq!(beats.fresh(start, wall), ["a"]);
        beats.forget(&lease("lunette-node-a", wall));
        assert_eq!(beats.fresh(start, wall), [""; 0]);
    }

    #[test]
    fn other_leases_are_none_of_ours() {
        let mut beats = Heartbeats::default();
        assert_eq!(beats.observe(&lease("lunette-operator", Timestamp::now()), Instant::now()), None);
    }

    #[test]
    fn the_admission_policy_knows_the_same_prefix() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/install.yaml"));
        assert!(manifest.contains(&format!("variables.name == '{NODE_LEASE_PREFIX}' + variables.node")));
    }
}
