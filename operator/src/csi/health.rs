//! ControllerListVolumeHealth and ControllerGetVolumeHealth: a Lun's conditions, in CSI's words.

use lunette_api::Lun;
use lunette_api::conditions::{BACKEND_REACHABLE, Condition, EXPORTED, NODE_REACHABLE, PLACED, READY, reasons};
use lunette_proto::csi;
use lunette_proto::csi::VolumeHealthErrorType;
use lunette_proto::csi::volume_health::VolumeHealthEntry;

use super::cluster::Cluster;
use super::list::{ListError, Page};
use super::{Driver, list, volume};

/// The volumes with which something is wrong, a page at a time, and the token of the next.
///
/// # Errors
/// When the Luns have not been seen yet.
pub fn list<C: Cluster>(driver: &Driver<C>, page: &Page) -> Result<(Vec<csi::VolumeHealth>, String), ListError> {
    let all = driver.cluster.luns().ok_or(ListError::NotSeen)?;
    let unwell: Vec<Lun> = all.into_iter().filter(|lun| !entries(lun).is_empty()).collect();
    let (luns, token) = page.of(unwell, volume::id);
    Ok((luns.iter().map(of).collect(), token))
}

/// How one volume is.
///
/// # Errors
/// When there is none.
pub async fn get<C: Cluster>(driver: &Driver<C>, id: &str) -> Result<csi::VolumeHealth, ListError> {
    list::get(driver, id).await.map(|(lun, _)| of(&lun))
}

fn of(lun: &Lun) -> csi::VolumeHealth {
    csi::VolumeHealth { volume_id: volume::id(lun).to_string(), health_statuses: entries(lun) }
}

/// What is wrong. A volume that is being made or being deleted is not ill; nothing is said twice.
fn entries(lun: &Lun) -> Vec<VolumeHealthEntry> {
    if lun.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let conditions = lun.status.iter().flat_map(|s| &s.conditions);
    let mut all: Vec<VolumeHealthEntry> = Vec::new();
    for entry in conditions.filter_map(entry) {
        if !all.iter().any(|a| (a.status, &a.reason) == (entry.status, &entry.reason)) {
            all.push(entry);
        }
    }
    all
}

fn entry(condition: &Condition) -> Option<VolumeHealthEntry> {
    let is_passing = [reasons::EXPORTING, reasons::UNEXPORTING].contains(&condition.reason.as_str());
    if condition.status != "False" || is_passing {
        return None;
    }
    let status = match condition.type_.as_str() {
        PLACED | EXPORTED | READY | NODE_REACHABLE | BACKEND_REACHABLE => severity(condition),
        _ => return None,
    };
    Some(VolumeHealthEntry {
        status: status.into(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    })
}

/// One initiator's bad Secret, or a silent agent whose LUN may well be served on, harm not everyone.
fn severity(condition: &Condition) -> VolumeHealthErrorType {
    match condition.reason.as_str() {
        reasons::SECRET_UNUSABLE | reasons::INITIATOR_UNKNOWN | reasons::NODE_LOST => VolumeHealthErrorType::Degraded,
        _ => VolumeHealthErrorType::Inaccessible,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lun(conditions: &[(&str, &str, &str)]) -> Lun {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({"type": type_, "status": status, "reason": reason, "message": "why",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "db"},
            "spec": {"pool": "fast", "size": "1Gi"}, "status": {"conditions": conditions}}))
        .expect("a Lun")
    }

    fn said(conditions: &[(&str, &str, &str)]) -> Vec<(VolumeHealthErrorType, String)> {
        entries(&lun(conditions)).into_iter().map(|entry| (entry.status(), entry.reason)).collect()
    }

    #[test]
    fn what_is_wrong_is_said_once_and_no_more() {
        let placed = ("Placed", "True", "Placed");
        assert_eq!(said(&[placed, ("Exported", "True", "Exported"), ("Ready", "True", "Serving")]), []);
        assert_eq!(said(&[placed, ("Exported", "False", "Exporting"), ("Ready", "False", "Exporting")]), []);
        assert_eq!(
            said(&[("Exported", "False", "PoolUnavailable"), ("Ready", "False", "PoolUnavailable")]),
            [(VolumeHealthErrorType::Inaccessible, "PoolUnavailable".to_owned())]
        );
        assert_eq!(
            said(&[("NodeReachable", "False", "NodeLost"), ("Placed", "False", "NoNode")]),
            [
                (VolumeHealthErrorType::Degraded, "NodeLost".to_owned()),
                (VolumeHealthErrorType::Inaccessible, "NoNode".to_owned())
            ]
        );
        assert_eq!(said(&[("Unheard", "False", "Of")]), []);
    }
}
