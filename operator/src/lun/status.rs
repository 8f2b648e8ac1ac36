//! The operator's part of a Lun's status: what it should be, whether it is, and its server-side apply.
//!
//! The operator owns `node`, `epoch`, `target.iqn`, `target.lun`, `wwid`, `state` and its own condition
//! types; the agent owns the rest, and neither sends what is the other's. Nothing is written that is there
//! already, and every write names the version of the object that it was decided on.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use lunette_api::conditions::{self, OPERATOR_TYPES};
use lunette_api::{Condition, EPOCH_ANNOTATION, GROUP, Lun, LunStatus, OPERATOR_MANAGER, VERSION, identity};
use serde::Serialize;

use crate::error::Error;

/// What the operator says of a Lun.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OperatorStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<OperatorTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wwid: Option<String>,
    state: String,
    conditions: Vec<Condition>,
}

/// The operator's part of the target.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
struct OperatorTarget {
    iqn: String,
    lun: u32,
}

/// One thing that the operator says of a Lun: a condition of one of its types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The condition's type.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: bool,
    /// Why: one of `conditions::reasons`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What a fencing generation may be at most, so that there is always a next one.
const LAST_EPOCH: u64 = 1 << 53;

/// The fencing generation of a Lun that has a node: the first is 1, and it follows what is asked for.
pub fn epoch(lun: &Lun) -> u64 {
    let current = lun.status.as_ref().and_then(|s| s.epoch).unwrap_or(1);
    let asked = lun.annotations().get(EPOCH_ANNOTATION).and_then(|epoch| epoch.parse().ok());
    asked.filter(|epoch| *epoch < LAST_EPOCH).map_or(current, |asked: u64| asked.max(current))
}

impl OperatorStatus {
    /// What the status should be of a Lun on that node (or on none) about which these remarks are to be made.
    pub fn new(lun: &Lun, node: Option<&str>, remarks: &[Remark]) -> Self {
        let uid = lun.uid().unwrap_or_default();
        let now = lun.status.clone().unwrap_or_default();
        let mut all = now.conditions;
        all.retain(|c| !is_ours(c) || remarks.iter().any(|r| r.type_ == c.type_));
        for r in remarks {
            conditions::set(&mut all, r.type_, r.status, r.reason, r.message.clone(), lun.metadata.generation);
        }
        let state = conditions::state_of(&all, lun.metadata.deletion_timestamp.is_some());
        all.retain(is_ours);
        Self {
            node: node.map(str::to_owned),
            epoch: node.map(|_| epoch(lun)),
            target: node.map(|_| OperatorTarget { iqn: identity::iqn(&uid), lun: identity::LUN_NUMBER }),
            wwid: node.map(|_| identity::wwid(&uid)),
            state: state.to_owned(),
            conditions: all,
        }
    }

    /// Whether the Lun says all this, and nothing else in the operator's name.
    pub fn is_in(&self, lun: &Lun) -> bool {
        lun.status.as_ref().is_some_and(|status| *self == Self::found(status))
    }

    /// The operator's part of a status, whoever wrote it.
    fn found(status: &LunStatus) -> Self {
        let target = status.target.as_ref().and_then(|t| Some(OperatorTarget { iqn: t.iqn.clone()?, lun: t.lun? }));
        let mut conditions: Vec<Condition> = status.conditions.iter().filter(|c| is_ours(c)).cloned().collect();
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        Self {
            node: status.node.clone(),
            epoch: status.epoch,
            target,
            wwid: status.wwid.clone(),
            state: status.state.clone().unwrap_or_default(),
            conditions,
        }
    }

    /// The remarks that are news: whose status or reason the Lun does not show yet.
    pub fn news<'a>(lun: &Lun, remarks: &'a [Remark]) -> Vec<&'a Remark> {
        let shown = lun.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        let same = |r: &Remark| {
            conditions::find(shown, r.type_).is_some_and(|c| (c.status == "True") == r.status && c.reason == r.reason)
        };
        remarks.iter().filter(|r| !same(r)).collect()
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the API server refuses; a conflict means that the Lun was changed since it was read.
    pub async fn apply(&self, api: &Api<Lun>, lun: &Lun) -> Result<(), Error> {
        let name = lun.name_any();
        let patch = serde_json::json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "Lun",
            "metadata": {"name": name, "uid": lun.uid(), "resourceVersion": lun.resource_version()},
            "status": self,
        });
        let params = PatchParams::apply(OPERATOR_MANAGER).force();
        let done = api.patch_status(&name, &params, &Patch::Apply(&patch)).await;
        done.map(|_| ()).map_err(Error::api(format!("write the status of Lun {name}")))
    }
}

fn is_ours(condition: &Condition) -> bool {
    OPERATOR_TYPES.contains(&condition.type_.as_str())
}

#[cfg(test)]
mod tests {
    use lunette_api::conditions::{EXPORTED, PLACED, READY, RELEASED, reasons, states};
    use serde_json::json;

    use super::*;

    fn lun() -> Lun {
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "uid": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "generation": 3},
            "spec": {"pool": "fast", "size": "1Gi"},
        }))
        .expect("a Lun")
    }

    fn placed() -> [Remark; 1] {
        [Remark { type_: PLACED, status: true, reason: reasons::PLACED, message: "on a".to_owned() }]
    }

    /// The Lun as the API server holds it after the write.
    fn written(lun: &Lun, status: &OperatorStatus) -> Lun {
        let mut json = serde_json::to_value(lun).expect("JSON");
        json["status"] = serde_json::to_value(status).expect("JSON");
        serde_json::from_value(json).expect("a Lun")
    }

    #[test]
    fn what_was_written_is_not_written_again() {
        let lun = lun();
        let status = OperatorStatus::new(&lun, Some("a"), &placed());
        assert!(!status.is_in(&lun));
        let after = written(&lun, &status);
        assert_eq!(after.status.as_ref().and_then(|s| s.state.as_deref()), Some(states::PLACED));
        assert!(OperatorStatus::new(&after, Some("a"), &placed()).is_in(&after));
    }

    #[test]
    fn what_another_hand_changed_is_put_back_and_the_agents_part_is_left_alone() {
        let lun = lun();
        let mut after = written(&lun, &OperatorStatus::new(&lun, Some("a"), &placed()));
        let mut status = after.status.clone().expect("a status");
        status.wwid = Some("naa.6001405000".to_owned());
        conditions::set(&mut status.conditions, EXPORTED, true, reasons::EXPORTED, "", Some(3));
        conditions::set(&mut status.conditions, READY, true, reasons::SERVING, "", Some(3));
        conditions::set(&mut status.conditions, RELEASED, true, "Nonsense", "", Some(3));
        after.status = Some(status);
        let wanted = OperatorStatus::new(&after, Some("a"), &placed());
        assert!(!wanted.is_in(&after));
        assert_eq!(wanted.wwid, Some(identity::wwid("3fa85f64-5717-4562-b3fc-2c963f66afa6")));
        assert_eq!(wanted.state, states::READY);
        assert_eq!(wanted.conditions.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), [PLACED]);
    }

    #[test]
    fn only_a_change_is_news() {
        let lun = lun();
        let after = written(&lun, &OperatorStatus::new(&lun, Some("a"), &placed()));
        assert_eq!(OperatorStatus::news(&lun, &placed()).len(), 1);
        let mut again = placed();
        again[0].message = "other words".to_owned();
        assert_eq!(OperatorStatus::news(&after, &again).len(), 0);
        again[0].reason = reasons::NO_NODE;
        assert_eq!(OperatorStatus::news(&after, &again).len(), 1);
    }

    #[test]
    fn an_epoch_begins_at_one_and_follows_what_is_asked_for_but_never_back() {
        let with = |current: Option<u64>, asked: Option<&str>| {
            let mut lun = lun();
            lun.status = Some(LunStatus { epoch: current, ..LunStatus::default() });
            lun.metadata.annotations = asked.map(|asked| [(EPOCH_ANNOTATION.to_owned(), asked.to_owned())].into());
            epoch(&lun)
        };
        assert_eq!((with(None, None), with(Some(7), None)), (1, 7));
        assert_eq!((with(None, Some("2")), with(Some(7), Some("8")), with(Some(7), Some("3"))), (2, 8, 7));
        for nonsense in ["", "-1", "x", "18446744073709551615"] {
            assert_eq!(with(Some(7), Some(nonsense)), 7, "{nonsense}");
        }
    }

    #[test]
    fn the_admission_policy_knows_the_same_condition_types() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/install.yaml"));
        let list = OPERATOR_TYPES.map(|t| format!("'{t}'")).join(", ");
        assert!(manifest.contains(&format!("[{list}]")));
    }
}
