//! What is wanted of one LUN, reduced to what its worker acts on.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::ObjectMeta;
use lunette_api::{Lun, LunPool, LunPoolSpec, ReclaimPolicy};

use crate::source::View;

/// What is wanted of one LUN.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Serve it.
    Serve(Assignment),
    /// Take it off the fabric, and delete its data if `reclaim` says so.
    Remove {
        /// What it was, if that is known.
        last: Option<Assignment>,
        /// Whether its data go.
        reclaim: bool,
        /// Whether the worker has then nothing left to report.
        gone: bool,
    },
    /// The agent stops: leave the kernel's side as it is.
    Leave,
}

/// A LUN and its pool.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The object.
    pub lun: Arc<Lun>,
    /// Its pool, if there is one.
    pub pool: Option<Arc<LunPool>>,
    /// Which Secrets it was made with, if it needs any; see [`View::secrets`].
    secrets: Option<u64>,
    /// The initiator names of the nodes that it lists, as far as they are known.
    pub initiator_names: BTreeMap<String, String>,
    /// What it is to be made from, if it is, and that is here.
    pub origin: Option<Origin>,
}

/// A volume of this node that another is to be a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The volume: the UID of a snapshot or of a LUN.
    pub uid: String,
    /// Whether it is a LUN's, and has to be held still.
    pub is_lun: bool,
}

impl Origin {
    fn of(lun: &Lun, view: &View) -> Option<Self> {
        let source = lun.spec.source.as_ref()?;
        let is = |meta: &ObjectMeta, name: &Option<String>| {
            meta.namespace == lun.metadata.namespace && name.is_some() && meta.name == *name
        };
        let snapshot = view.snapshots.values().map(|s| &s.metadata).find(|meta| is(meta, &source.snapshot));
        let other = view.luns.values().map(|l| &l.metadata).find(|meta| is(meta, &source.lun));
        let uid = |meta: &ObjectMeta| meta.uid.clone();
        match (snapshot.and_then(uid), other.and_then(uid)) {
            (Some(uid), _) => Some(Self { uid, is_lun: false }),
            (None, uid) => uid.map(|uid| Self { uid, is_lun: true }),
        }
    }
}

impl Intent {
    /// What the view says of a LUN in it.
    pub fn of(lun: &Arc<Lun>, view: &View) -> Self {
        let pool = view.pools.get(&lun.spec.pool).cloned();
        let needs_secrets = lun.spec.initiators.iter().any(|initiator| initiator.chap_secret.is_some());
        let listed = lun.spec.initiators.iter().filter_map(|initiator| initiator.node_name.as_ref());
        let known = |node: &String| Some((node.clone(), view.initiator_names.get(node)?.clone()));
        let initiator_names = listed.filter_map(known).collect();
        let secrets = needs_secrets.then_some(view.secrets);
        let origin = Origin::of(lun, view);
        let assignment = Assignment { lun: Arc::clone(lun), pool, secrets, initiator_names, origin };
        if lun.metadata.deletion_timestamp.is_none() {
            return Self::Serve(assignment);
        }
        let reclaim = lun.spec.reclaim_policy == ReclaimPolicy::Delete;
        Self::Remove { last: Some(assignment), reclaim, gone: false }
    }

    /// An export that no object stands for.
    pub fn orphan() -> Self {
        Self::Remove { last: None, reclaim: false, gone: true }
    }

    /// Turns it into the removal of a LUN that is in no view any more; whether that changed anything.
    pub fn make_gone(&mut self, reclaims: bool) -> bool {
        match self {
            Self::Serve(assignment) => {
                let reclaim = reclaims && assignment.lun.spec.reclaim_policy == ReclaimPolicy::Delete;
                *self = Self::Remove { last: Some(assignment.clone()), reclaim, gone: true };
                true
            }
            Self::Remove { gone, .. } => !std::mem::replace(gone, true),
            Self::Leave => false,
        }
    }
}

impl PartialEq for Assignment {
    /// Status is what we write: it makes no difference.
    fn eq(&self, other: &Self) -> bool {
        fn pool(assignment: &Assignment) -> Option<&LunPoolSpec> {
            assignment.pool.as_ref().map(|pool| &pool.spec)
        }
        self.lun.metadata.generation == other.lun.metadata.generation
            && self.lun.metadata.uid == other.lun.metadata.uid
            && self.lun.spec == other.lun.spec
            && self.secrets == other.secrets
            && self.initiator_names == other.initiator_names
            && self.origin == other.origin
            && pool(self) == pool(other)
    }
}

impl PartialEq for Intent {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Serve(a), Self::Serve(b)) => a == b,
            (Self::Remove { last: a, reclaim: ar, gone: ag }, Self::Remove { last: b, reclaim: br, gone: bg }) => {
                a == b && ar == br && ag == bg
            }
            (Self::Leave, Self::Leave) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lun(extra: &Value) -> Arc<Lun> {
        let mut lun = json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "uid": "u", "generation": 1},
            "spec": {"pool": "files", "size": "1Gi", "reclaimPolicy": "Delete"},
        });
        for (pointer, value) in extra.as_object().unwrap() {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            lun.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        Arc::new(serde_json::from_value(lun).unwrap())
    }

    fn view(path: &str) -> View {
        let pool = json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "LunPool",
            "metadata": {"name": "files"}, "spec": {"directory": {"path": path}},
        });
        View {
            pools: [("files".to_owned(), Arc::new(serde_json::from_value(pool).unwrap()))].into(),
            ..View::default()
        }
    }

    #[test]
    fn status_makes_no_difference_and_spec_generation_and_pool_do() {
        let intent = |extra: &Value| Intent::of(&lun(extra), &view("/a"));
        let plain = intent(&json!({}));
        assert_eq!(plain.clone(), intent(&json!({"/status": {"state": "Ready"}})));
        for other in [json!({"/spec/size": "2Gi"}), json!({"/metadata/generation": 2}), json!({"/metadata/uid": "v"})] {
            assert!(plain != intent(&other), "{other}");
        }
        assert!(plain != Intent::of(&lun(&json!({})), &view("/b")));
        assert!(plain != Intent::of(&lun(&json!({})), &View::default()));
    }

    #[test]
    fn secrets_that_changed_concern_those_that_need_some() {
        let (before, after) = (view("/a"), View { secrets: 1, ..view("/a") });
        for (initiator, concerned) in [
            (json!({"iqn": "iqn.2026-01.a:b"}), false),
            (json!({"iqn": "iqn.2026-01.a:b", "chapSecret": {"name": "s"}}), true),
        ] {
            let lun = lun(&json!({"/spec/initiators": [initiator]}));
            assert_eq!(Intent::of(&lun, &before) != Intent::of(&lun, &after), concerned, "{initiator}");
        }
    }

    #[test]
    fn a_nodes_initiator_name_concerns_those_that_list_the_node() {
        let names = |name: &str| View { initiator_names: [("b".to_owned(), name.to_owned())].into(), ..view("/a") };
        for (listed, concerned) in [("b", true), ("c", false)] {
            let lun = lun(&json!({"/spec/initiators": [{"nodeName": listed}]}));
            let changed = Intent::of(&lun, &names("iqn.2026-01.a:x")) != Intent::of(&lun, &names("iqn.2026-01.a:y"));
            assert_eq!(changed, concerned, "{listed}");
        }
    }

    #[test]
    fn a_deleted_object_is_removed_by_its_policy_and_stays_until_it_is_gone() {
        let deleted = json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"});
        let mut intent = Intent::of(&lun(&deleted), &view("/a"));
        assert!(matches!(intent, Intent::Remove { reclaim: true, gone: false, last: Some(_) }));
        assert!(intent.make_gone(false));
        assert!(matches!(intent, Intent::Remove { reclaim: true, gone: true, last: Some(_) }));
        assert!(!intent.make_gone(false), "nothing new");
    }

    #[test]
    fn an_object_that_vanished_keeps_its_data_unless_leaving_it_out_deletes() {
        for (reclaims, policy, reclaim) in
            [(true, "Delete", true), (false, "Delete", false), (true, "Retain", false), (false, "Retain", false)]
        {
            let mut intent = Intent::of(&lun(&json!({"/spec/reclaimPolicy": policy})), &view("/a"));
            assert!(intent.make_gone(reclaims));
            let Intent::Remove { reclaim: found, gone: true, last: Some(last) } = intent else { panic!("{intent:?}") };
            assert_eq!((found, last.pool.is_some()), (reclaim, true), "{policy}");
        }
        assert!(!Intent::Leave.make_gone(true));
        assert!(matches!(Intent::orphan(), Intent::Remove { reclaim: false, gone: true, last: None }));
    }
}
