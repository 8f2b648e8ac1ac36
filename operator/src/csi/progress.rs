//! How far a Lun has come, read from its status.

use lunette_api::Lun;
use lunette_api::conditions::{self, Condition, EXPORTED, PLACED, READY, RELEASED, reasons};

/// Whether the agent serves the Lun as that generation of its spec asks for.
pub fn is_served(lun: &Lun, generation: i64) -> bool {
    [EXPORTED, READY].iter().all(|type_| seen(lun, type_, generation).is_some_and(|c| c.status == "True"))
}

/// Whether nobody can use the Lun any more whom that generation of its spec does not let in.
///
/// A Lun that no node has lets nobody in. An agent that could not let another initiator in, for want of a Secret or
/// of its name, has withdrawn what was to be withdrawn all the same.
pub fn is_withdrawn(lun: &Lun, generation: i64) -> bool {
    if lun.status.as_ref().is_none_or(|s| s.node.is_none()) {
        return true;
    }
    let (exported, ready) = (seen(lun, EXPORTED, generation), seen(lun, READY, generation));
    match (exported, ready) {
        (Some(exported), _) if exported.reason == reasons::UNEXPORTED => true,
        (Some(exported), Some(ready)) if exported.status == "True" => {
            ready.status == "True" || is_of_one_initiator(&ready.reason)
        }
        _ => false,
    }
}

/// Whether the device has that size.
pub fn has_size(lun: &Lun, bytes: u64, generation: i64) -> bool {
    is_served(lun, generation) && lun.status.as_ref().and_then(|s| s.capacity).is_some_and(|c| c >= bytes)
}

fn is_of_one_initiator(reason: &str) -> bool {
    [reasons::SECRET_UNUSABLE, reasons::INITIATOR_UNKNOWN].contains(&reason)
}

fn seen<'a>(lun: &'a Lun, type_: &str, generation: i64) -> Option<&'a Condition> {
    let condition = find(lun, type_)?;
    (condition.observed_generation >= Some(generation)).then_some(condition)
}

fn find<'a>(lun: &'a Lun, type_: &str) -> Option<&'a Condition> {
    conditions::find(lun.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default(), type_)
}

/// What stands in the way, for people: the first condition that is not as it should be.
pub fn obstacle(lun: &Lun) -> String {
    if lun.metadata.deletion_timestamp.is_some() {
        let told = find(lun, RELEASED).map(|c| c.message.clone()).filter(|m| !m.is_empty());
        return told.unwrap_or_else(|| "its deletion has not begun yet: is the operator running?".to_owned());
    }
    let Some(placed) = find(lun, PLACED) else {
        return "no node was chosen yet: is the operator running?".to_owned();
    };
    if placed.status != "True" {
        return placed.message.clone();
    }
    let node = lun.status.as_ref().and_then(|s| s.node.clone()).unwrap_or_default();
    let not_well = lun.status.iter().flat_map(|s| &s.conditions).find(|c| c.status == "False" && !c.message.is_empty());
    match not_well {
        Some(condition) => format!("node {node}: {}", condition.message),
        None => format!("node {node} has not reported yet: is its agent running?"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lun(conditions: &[(&str, &str, &str, i64)]) -> Lun {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status, reason, generation)| {
                json!({"type": type_, "status": status, "reason": reason, "message": format!("{reason}!"),
                    "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "db", "generation": 2},
            "spec": {"pool": "fast", "size": "1Gi"}, "status": {"node": "a", "capacity": 5, "conditions": conditions},
        }))
        .expect("a Lun")
    }

    #[test]
    fn what_an_agent_said_of_an_earlier_spec_does_not_count() {
        let at = |generation| lun(&[("Exported", "True", "Exported", 2), ("Ready", "True", "Serving", generation)]);
        assert!(is_served(&at(2), 2) && is_served(&at(3), 2) && !is_served(&at(1), 2));
        assert!(is_withdrawn(&at(2), 2) && !is_withdrawn(&at(1), 2));
        assert!(has_size(&at(2), 5, 2) && !has_size(&at(2), 6, 2));
    }

    #[test]
    fn access_is_withdrawn_when_the_agent_could_say_so() {
        let with = |ready: &str| lun(&[("Exported", "True", "Exported", 2), ("Ready", "False", ready, 2)]);
        assert!(is_withdrawn(&with(reasons::SECRET_UNUSABLE), 2) && is_withdrawn(&with(reasons::INITIATOR_UNKNOWN), 2));
        assert!(!is_withdrawn(&with(reasons::CONFIGFS_STUCK), 2));
        assert!(is_withdrawn(&lun(&[("Exported", "False", reasons::UNEXPORTED, 2)]), 2));
        assert!(!is_withdrawn(&lun(&[("Exported", "False", reasons::POOL_UNAVAILABLE, 2)]), 2));
        assert!(!is_withdrawn(&lun(&[]), 2));
        let mut nowhere = lun(&[]);
        nowhere.status = None;
        assert!(is_withdrawn(&nowhere, 2));
    }

    #[test]
    fn the_obstacle_is_said_in_the_words_of_whoever_met_it() {
        assert_eq!(obstacle(&lun(&[])), "no node was chosen yet: is the operator running?");
        assert_eq!(obstacle(&lun(&[("Placed", "False", "NoNode", 2)])), "NoNode!");
        let placed = ("Placed", "True", "Placed", 2);
        assert_eq!(obstacle(&lun(&[placed])), "node a has not reported yet: is its agent running?");
        assert_eq!(obstacle(&lun(&[placed, ("Ready", "False", "Conflict", 2)])), "node a: Conflict!");
    }
}
