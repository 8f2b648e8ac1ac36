//! When a Lun that is being deleted may go: a pure decision.
//!
//! It goes when no node ever had it, or when the agent of its node says of this very generation that the
//! export (and, where the policy says so, the data) is gone; deletion is a generation of its own. Or when
//! its author gives up, with an annotation. Silence is never taken for consent.

use kube::ResourceExt;
use lunette_api::conditions::{self, EXPORTED, reasons};
use lunette_api::{FORCE_DELETE_ANNOTATION, Lun, ReclaimPolicy};

/// Whether a Lun may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// No node ever had it.
    NeverPlaced,
    /// The agent has removed it.
    Unexported(String),
    /// Its author has given up waiting for that node.
    Forced(String),
    /// That node still has it.
    Waiting(String),
}

/// What is known of the node that a Lun waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Its agent gives signs of life.
    Alive,
    /// Its agent gave the last sign of life then, or never.
    Silent(Option<String>),
    /// There is no LunNode of that name.
    Unknown,
}

/// Decides whether a Lun that is being deleted may go.
pub fn release(lun: &Lun) -> Release {
    let status = lun.status.as_ref();
    let Some(node) = status.and_then(|s| s.node.clone()) else { return Release::NeverPlaced };
    if is_unexported(lun) {
        return Release::Unexported(node);
    }
    if lun.annotations().get(FORCE_DELETE_ANNOTATION).is_some_and(|v| v == "true") {
        return Release::Forced(node);
    }
    Release::Waiting(node)
}

fn is_unexported(lun: &Lun) -> bool {
    let conditions = lun.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    conditions::find(conditions, EXPORTED).is_some_and(|c| {
        c.status == "False" && c.reason == reasons::UNEXPORTED && c.observed_generation == lun.metadata.generation
    })
}

/// Says for people what the Lun waits for, and how to give up. It changes only when what it says does.
pub fn waiting_message(lun: &Lun, node: &str, state: &Node) -> String {
    let what = match lun.spec.reclaim_policy {
        ReclaimPolicy::Retain => "remove the export",
        ReclaimPolicy::Delete => "remove the export and the data",
    };
    let since = lun.metadata.deletion_timestamp.as_ref().map(|t| t.0.to_string()).unwrap_or_default();
    let waiting = format!("since {since} waiting for the agent of node {node} to {what}");
    let force = format!(
        "to give up, and leave on that node what it holds: \
         kubectl annotate lun {} -n {} {FORCE_DELETE_ANNOTATION}=true",
        lun.name_any(),
        lun.namespace().unwrap_or_default(),
    );
    match state {
        Node::Alive => format!("{waiting}{}", agent_says(lun)),
        Node::Silent(Some(last)) => format!("{waiting}, which has given no sign of life since {last}; {force}"),
        Node::Silent(None) => format!("{waiting}, which gives no sign of life; {force}"),
        Node::Unknown => format!("{waiting}, but no LunNode of that name exists; {force}"),
    }
}

/// The agent's own words where it reports trouble with the export.
fn agent_says(lun: &Lun) -> String {
    let conditions = lun.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    match conditions::find(conditions, EXPORTED) {
        Some(c) if c.status == "False" && c.reason != reasons::UNEXPORTING && !c.message.is_empty() => {
            format!("; it says: {}", c.message)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deleted(annotations: &Value, status: &Value) -> Lun {
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "namespace": "prod", "generation": 4, "annotations": annotations,
                "deletionTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {"pool": "fast", "size": "1Gi", "reclaimPolicy": "Delete"}, "status": status,
        }))
        .expect("a Lun")
    }

    fn exported(status: &str, reason: &str, generation: i64) -> Value {
        json!({"node": "a", "conditions": [{"type": "Exported", "status": status, "reason": reason,
            "message": "target busy", "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    }

    #[test]
    fn a_lun_goes_when_no_node_had_it_or_its_agent_says_so_of_this_generation() {
        let on = |status: Value| release(&deleted(&json!({}), &status));
        assert_eq!(on(json!({})), Release::NeverPlaced);
        assert_eq!(on(json!({"node": "a"})), Release::Waiting("a".to_owned()));
        assert_eq!(on(exported("False", "Unexported", 4)), Release::Unexported("a".to_owned()));
        assert_eq!(on(exported("False", "Unexported", 3)), Release::Waiting("a".to_owned()));
        assert_eq!(on(exported("False", "Unexporting", 4)), Release::Waiting("a".to_owned()));
        assert_eq!(on(exported("True", "Exported", 4)), Release::Waiting("a".to_owned()));
    }

    #[test]
    fn only_its_author_can_give_up() {
        let forced = |value: &str| release(&deleted(&json!({FORCE_DELETE_ANNOTATION: value}), &json!({"node": "a"})));
        assert_eq!(forced("true"), Release::Forced("a".to_owned()));
        assert_eq!(forced("false"), Release::Waiting("a".to_owned()));
    }

    #[test]
    fn the_message_says_for_whom_since_when_and_how_to_give_up() {
        let lun = deleted(&json!({}), &exported("False", "ConfigfsStuck", 4));
        assert_eq!(
            waiting_message(&lun, "a", &Node::Alive),
            "since 2026-01-02T03:04:05Z waiting for the agent of node a to remove the export and the data; \
             it says: target busy"
        );
        assert_eq!(
            waiting_message(&lun, "a", &Node::Silent(Some("2026-01-01T00:00:00Z".to_owned()))),
            "since 2026-01-02T03:04:05Z waiting for the agent of node a to remove the export and the data, which has \
             given no sign of life since 2026-01-01T00:00:00Z; to give up, and leave on that node what it holds: \
             kubectl annotate lun db -n prod lunette.io/force-delete=true"
        );
        assert!(waiting_message(&lun, "a", &Node::Unknown).contains("no LunNode of that name exists"));
    }
}
