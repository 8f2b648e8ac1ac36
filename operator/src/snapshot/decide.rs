//! What the operator says of a LunSnapshot: pure decisions.
//!
//! A snapshot is taken by the node that serves its Lun, and stays there: its bytes are shared with the Lun's. One that
//! is being deleted goes when no node ever had it, or when the agent says of this very generation that its bytes are
//! gone, or when its author gives up.

use kube::ResourceExt;
use lunette_api::conditions::{self, PLACED, READY, RELEASED, reasons};
use lunette_api::{
    Barrier, Condition, FORCE_DELETE_ANNOTATION, Lun, LunSnapshot, LunSnapshotStatus, SnapshotSource, identity,
};
use serde::Serialize;

/// The operator's part of a snapshot's status.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OperatorStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SnapshotSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    barrier: Option<Barrier>,
    conditions: Vec<Condition>,
}

const OURS: [&str; 2] = [PLACED, RELEASED];

fn ours(status: &LunSnapshotStatus) -> Vec<Condition> {
    let mut ours: Vec<_> = status.conditions.iter().filter(|c| OURS.contains(&c.type_.as_str())).cloned().collect();
    ours.sort_by(|a, b| a.type_.cmp(&b.type_));
    ours
}

impl OperatorStatus {
    /// Whether the snapshot says all this already.
    pub fn is_in(&self, snapshot: &LunSnapshot) -> bool {
        snapshot.status.as_ref().is_some_and(|there| *self == Self::found(there))
    }

    fn found(there: &LunSnapshotStatus) -> Self {
        Self {
            node: there.node.clone(),
            pool: there.pool.clone(),
            source: there.source.clone(),
            barrier: there.barrier,
            conditions: ours(there),
        }
    }
}

/// Why a snapshot has no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoNode {
    /// The condition's reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

fn no_node(reason: &'static str, message: String) -> NoNode {
    NoNode { reason, message }
}

/// What a snapshot that is to be kept should say: where it is, or why nowhere. `lun` is the Lun that it names, `group`
/// are all snapshots of its group, itself too.
pub fn placed(
    snapshot: &LunSnapshot,
    lun: Option<&Lun>,
    group: &[LunSnapshot],
) -> (OperatorStatus, Result<(), NoNode>) {
    let there = snapshot.status.clone().unwrap_or_default();
    let mut status = OperatorStatus::found(&there);
    status.conditions.retain(|c| c.type_ != RELEASED);
    let chosen = match (&there.node, lun) {
        (Some(node), _) => Ok(node.clone()),
        (None, lun) => choose(snapshot, lun).map(|(node, lun)| {
            let uid = lun.uid().unwrap_or_default();
            status.pool = Some(lun.spec.pool.clone());
            status.source = Some(SnapshotSource { wwid: identity::wwid(&uid), block_size: lun.spec.block_size, uid });
            node
        }),
    };
    let (is, reason, message) = match &chosen {
        Ok(node) => (true, reasons::PLACED, format!("node {node} takes it and holds it")),
        Err(why) => (false, why.reason, why.message.clone()),
    };
    conditions::set(&mut status.conditions, PLACED, is, reason, message, snapshot.metadata.generation);
    status.node = chosen.clone().ok();
    status.barrier = barrier(snapshot, group);
    (status, chosen.map(drop))
}

fn choose<'a>(snapshot: &LunSnapshot, lun: Option<&'a Lun>) -> Result<(String, &'a Lun), NoNode> {
    let name = &snapshot.spec.lun;
    let lun = lun.ok_or_else(|| {
        no_node(
            reasons::SOURCE_NOT_FOUND,
            format!("Lun {name} does not exist in this namespace: name another, or create it"),
        )
    })?;
    if lun.metadata.deletion_timestamp.is_some() {
        return Err(no_node(reasons::SOURCE_UNUSABLE, format!("Lun {name} is being deleted")));
    }
    let node = lun.status.as_ref().and_then(|s| s.node.clone());
    let node = node.ok_or_else(|| no_node(reasons::SOURCE_UNUSABLE, format!("no node serves Lun {name} yet")))?;
    Ok((node, lun))
}

/// What is asked of the nodes, where several serve the group: none is asked before all members have a node, and none any
/// more once a member goes.
fn barrier(snapshot: &LunSnapshot, group: &[LunSnapshot]) -> Option<Barrier> {
    let there = snapshot.status.as_ref().and_then(|status| status.barrier);
    let spec = snapshot.spec.group.as_ref()?;
    let kept: Vec<_> = group.iter().filter(|other| other.metadata.deletion_timestamp.is_none()).collect();
    let status: Vec<&LunSnapshotStatus> = kept.iter().filter_map(|other| other.status.as_ref()).collect();
    let nodes: Vec<&str> = status.iter().filter_map(|status| status.node.as_deref()).collect();
    if u32::try_from(kept.len()) != Ok(spec.members) || nodes.len() != kept.len() {
        return there;
    }
    if nodes.iter().all(|node| *node == nodes[0]) {
        return there;
    }
    let answers: Vec<_> = status.iter().map(|status| status.hold).collect();
    Some(Barrier::next(status.iter().filter_map(|status| status.barrier).max(), &answers))
}

/// Whether a snapshot that is being deleted may go: why, or for which node it waits.
pub fn release(snapshot: &LunSnapshot) -> Result<String, String> {
    let Some(node) = snapshot.status.as_ref().and_then(|s| s.node.clone()) else {
        return Ok("no node ever took it".to_owned());
    };
    let all = snapshot.status.iter().flat_map(|s| &s.conditions);
    let generation = snapshot.metadata.generation;
    let gone = |c: &Condition| c.type_ == READY && c.reason == reasons::REMOVED && c.observed_generation >= generation;
    if all.into_iter().any(gone) {
        return Ok(format!("node {node} has removed its bytes"));
    }
    if snapshot.annotations().get(FORCE_DELETE_ANNOTATION).is_some_and(|v| v == "true") {
        return Ok(format!("given up by annotation: node {node} may still hold its bytes"));
    }
    Err(node)
}

/// What a snapshot that is being deleted says while it waits for that node.
pub fn waiting(snapshot: &LunSnapshot, node: &str, alive: bool) -> OperatorStatus {
    let mut status = OperatorStatus::found(&snapshot.status.clone().unwrap_or_default());
    let force = format!(
        "to give up, and leave on that node what it holds: \
         kubectl annotate lunsnapshot {} -n {} {FORCE_DELETE_ANNOTATION}=true",
        snapshot.name_any(),
        snapshot.namespace().unwrap_or_default(),
    );
    let message = match alive {
        true => format!("waiting for the agent of node {node} to remove its bytes"),
        false => {
            format!("waiting for the agent of node {node} to remove its bytes, which gives no sign of life; {force}")
        }
    };
    let generation = snapshot.metadata.generation;
    conditions::set(&mut status.conditions, RELEASED, false, reasons::WAITING_FOR_NODE, message, generation);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn snapshot(extra: &Value) -> LunSnapshot {
        let mut whole = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot",
            "metadata": {"name": "s", "namespace": "prod", "generation": 1}, "spec": {"lun": "db"}});
        for (pointer, value) in extra.as_object().expect("an object") {
            let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
            whole.pointer_mut(parent).expect("a parent")[field] = value.clone();
        }
        serde_json::from_value(whole).expect("a LunSnapshot")
    }

    fn lun(status: &Value) -> Lun {
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "namespace": "prod", "uid": "u"},
            "spec": {"pool": "fast", "size": "1Gi", "blockSize": 4096}, "status": status}))
        .expect("a Lun")
    }

    fn written(status: &OperatorStatus) -> LunSnapshot {
        snapshot(&json!({"/status": serde_json::to_value(status).expect("JSON")}))
    }

    #[test]
    fn a_snapshot_is_placed_where_its_lun_is_and_stays_there() {
        let (status, outcome) = placed(&snapshot(&json!({})), Some(&lun(&json!({"node": "a"}))), &[]);
        assert_eq!(outcome, Ok(()));
        let after = written(&status);
        let there = after.status.clone().expect("a status");
        assert_eq!((there.node.as_deref(), there.pool.as_deref()), (Some("a"), Some("fast")));
        let source = SnapshotSource { uid: "u".to_owned(), wwid: identity::wwid("u"), block_size: 4096 };
        assert_eq!(there.source, Some(source));
        for other in [None, Some(lun(&json!({"node": "b"})))] {
            assert!(placed(&after, other.as_ref(), &[]).0.is_in(&after), "it stays as it is");
        }
    }

    #[test]
    fn a_snapshot_without_a_node_says_why() {
        let why = |lun: Option<&Lun>| placed(&snapshot(&json!({})), lun, &[]).1.expect_err("no node");
        assert_eq!(why(None).reason, reasons::SOURCE_NOT_FOUND);
        assert_eq!(why(Some(&lun(&json!({})))).message, "no node serves Lun db yet");
    }

    /// A member of a group of two.
    fn member(node: &str, status: &Value) -> LunSnapshot {
        let mut whole = json!({"node": node});
        whole.as_object_mut().expect("an object").extend(status.as_object().expect("an object").clone());
        snapshot(&json!({"/spec/group": {"name": "g", "members": 2}, "/status": whole}))
    }

    #[test]
    fn nodes_of_one_group_are_asked_together_and_only_where_there_are_several() {
        let asked = |group: &[LunSnapshot]| placed(&group[0], None, group).0.barrier;
        assert_eq!(asked(&[member("a", &json!({}))]), None, "one is missing");
        assert_eq!(asked(&[member("a", &json!({})), member("a", &json!({}))]), None, "one node does it alone");
        let first = Some(Barrier::FIRST);
        let both = [member("a", &json!({})), member("b", &json!({}))];
        assert_eq!(asked(&both), first);
        let said = |is: &str| json!({"barrier": {"attempt": 1, "step": "Prepare"}, "hold": {"attempt": 1, "is": is}});
        let prepared = [member("a", &said("Prepared")), member("b", &said("Prepared"))];
        assert_eq!(asked(&prepared).map(|b| b.step), Some(lunette_api::Asked::Hold));
        let mut going = prepared.clone();
        let gone = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        going[1].metadata.deletion_timestamp = Some(gone);
        assert_eq!(asked(&going), first, "nothing more is asked when one goes");
    }

    #[test]
    fn a_snapshot_goes_when_its_bytes_are_gone_and_silence_is_not_taken_for_that() {
        let on = |extra: Value| release(&snapshot(&extra));
        let ready = |reason: &str, generation: i64| {
            json!({"/status": {"node": "a", "conditions": [{"type": "Ready", "status": "False", "reason": reason,
                "message": "", "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
        };
        assert_eq!(on(json!({})), Ok("no node ever took it".to_owned()));
        assert_eq!(on(ready("Removed", 1)), Ok("node a has removed its bytes".to_owned()));
        assert_eq!(on(ready("Removed", 0)), Err("a".to_owned()));
        assert_eq!(on(ready("PoolUnavailable", 1)), Err("a".to_owned()));
        let mut forced = ready("PoolUnavailable", 1);
        forced["/metadata/annotations"] = json!({FORCE_DELETE_ANNOTATION: "true"});
        assert!(on(forced).is_ok_and(|why| why.starts_with("given up by annotation")));
    }
}
