//! From the objects of the cluster to what a placement looks at.

use std::collections::HashMap;

use lunette_api::conditions::{self, READY};
use lunette_api::{Lun, LunNode};

use crate::lun::place::{NodeView, Trouble};

/// A placement: written already, or decided a moment ago and not yet seen in the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The node.
    pub node: String,
    /// The pool.
    pub pool: String,
    /// The Lun's size.
    pub bytes: u64,
}

impl Taken {
    /// What a Lun takes on the node that serves it; `None` when none does.
    pub fn of(lun: &Lun) -> Option<Self> {
        let node = lun.status.as_ref()?.node.clone()?;
        Some(Self { node, pool: lun.spec.pool.clone(), bytes: lun.spec.size.bytes().unwrap_or(0) })
    }
}

/// Placements decided by this process that the watch may not show yet, by the Lun's UID.
#[derive(Debug, Default)]
pub struct Assumed(HashMap<String, Taken>);

impl Assumed {
    /// Remembers a placement from before it is written.
    pub fn insert(&mut self, uid: String, taken: Taken) {
        self.0.insert(uid, taken);
    }

    /// Forgets one that was not written after all.
    pub fn remove(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Everything taken: by the Luns that the watch shows placed, and by those that it does not show placed
    /// yet. What it shows, and what is gone, is forgotten here.
    pub fn merge<'a>(&mut self, luns: impl Iterator<Item = &'a Lun>) -> Vec<Taken> {
        let mut all = Vec::new();
        let mut pending = HashMap::new();
        for lun in luns {
            let uid = lun.metadata.uid.as_deref().unwrap_or_default();
            if let Some(taken) = Taken::of(lun) {
                all.push(taken);
            } else if let Some(taken) = self.0.remove(uid) {
                all.push(taken.clone());
                pending.insert(uid.to_owned(), taken);
            }
        }
        self.0 = pending;
        all
    }
}

/// What a placement in that pool must know of a node.
pub fn node_view(node: &LunNode, pool: &str, fresh: bool, taken: &[Taken]) -> NodeView {
    let name = node.metadata.name.clone().unwrap_or_default();
    let here = || taken.iter().filter(|t| t.node == name);
    let promised = here().filter(|t| t.pool == pool).map(|t| t.bytes).fold(0, u64::saturating_add);
    NodeView {
        trouble: trouble(node, fresh),
        pool: node.status.as_ref().and_then(|s| s.pools.get(pool).cloned()),
        luns: here().count(),
        promised,
        name,
    }
}

/// Why the node's agent cannot be relied on now.
pub fn trouble(node: &LunNode, fresh: bool) -> Option<Trouble> {
    if !fresh {
        return Some(Trouble::Silent);
    }
    let ready = node.status.as_ref().and_then(|s| conditions::find(&s.conditions, READY));
    match ready {
        Some(condition) if condition.status == "True" => None,
        Some(condition) => Some(Trouble::NotReady(condition.message.clone())),
        None => Some(Trouble::NotReady("its agent has not reported yet".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lun(uid: &str, node: Option<&str>) -> Lun {
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": uid, "uid": uid},
            "spec": {"pool": "fast", "size": "1Gi"}, "status": {"node": node},
        }))
        .expect("a Lun")
    }

    #[test]
    fn a_placement_counts_once_before_and_after_the_watch_shows_it() {
        let taken = Taken { node: "a".to_owned(), pool: "fast".to_owned(), bytes: 1 << 30 };
        let mut assumed = Assumed::default();
        assumed.insert("1".to_owned(), taken.clone());
        assert_eq!(assumed.merge([lun("1", None), lun("2", None)].iter()), std::slice::from_ref(&taken));
        assert_eq!(assumed.merge([lun("1", Some("a"))].iter()), [taken]);
        assert_eq!(assumed.merge([lun("2", None)].iter()), []);
    }

    #[test]
    fn a_node_is_relied_on_when_it_is_alive_and_says_that_it_is_ready() {
        let node = |status: &str| -> LunNode {
            serde_json::from_value(json!({
                "apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": "a"}, "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": status, "reason": "R", "message": "why",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .expect("a LunNode")
        };
        assert_eq!(trouble(&node("True"), true), None);
        assert_eq!(trouble(&node("True"), false), Some(Trouble::Silent));
        assert_eq!(trouble(&node("False"), true), Some(Trouble::NotReady("why".to_owned())));
    }
}
