//! The tables that `lunette-node status` prints: one line a LUN, columns as wide as they need to be.

use std::fmt::Write;

use lunette_api::{Lun, LunSnapshot, LunStatus, conditions};

const NONE: &str = "This node has no LUNs.\n";

/// One line a LUN, and for each that is not ready the reason.
pub fn narrow(luns: &[Lun]) -> String {
    if luns.is_empty() {
        return NONE.to_owned();
    }
    let rows = luns.iter().map(row).collect();
    aligned(&["NAMESPACE", "NAME", "POOL", "SIZE", "STATE", "SESSIONS", "PORTALS", "TARGET"], rows)
        + &luns.iter().map(trouble).collect::<String>()
}

/// One more column, and under the table every condition and every session.
pub fn wide(luns: &[Lun]) -> String {
    if luns.is_empty() {
        return NONE.to_owned();
    }
    let with_wwid = |lun: &Lun| [row(lun), vec![status(lun).wwid.unwrap_or_default()]].concat();
    let rows = luns.iter().map(with_wwid).collect();
    aligned(&["NAMESPACE", "NAME", "POOL", "SIZE", "STATE", "SESSIONS", "PORTALS", "TARGET", "WWID"], rows)
        + &luns.iter().map(details).collect::<String>()
}

/// One line a snapshot, after an empty one, and for each that is not ready the reason; nothing where there are none.
pub fn snapshots(snapshots: &[LunSnapshot]) -> String {
    if snapshots.is_empty() {
        return String::new();
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let row = |snapshot: &LunSnapshot| {
        let status = snapshot.status.clone().unwrap_or_default();
        vec![
            text(&snapshot.metadata.namespace),
            text(&snapshot.metadata.name),
            snapshot.spec.lun.clone(),
            status.size.map(|size| size.to_string()).unwrap_or_default(),
            status.ready_to_use.unwrap_or(false).to_string(),
            status.creation_time.map(|time| time.0.to_string()).unwrap_or_default(),
        ]
    };
    let trouble = |snapshot: &LunSnapshot| {
        let conditions = snapshot.status.as_ref().map(|s| s.conditions.clone()).unwrap_or_default();
        let name = format!("{}/{}", text(&snapshot.metadata.namespace), text(&snapshot.metadata.name));
        match conditions::find(&conditions, conditions::READY) {
            Some(ready) if ready.status != "True" => format!("{name}: {}: {}\n", ready.reason, ready.message),
            _ => String::new(),
        }
    };
    let head = ["NAMESPACE", "SNAPSHOT", "LUN", "SIZE", "READY", "TAKEN"];
    let table = aligned(&head, snapshots.iter().map(row).collect());
    format!("\n{table}{}", snapshots.iter().map(trouble).collect::<String>())
}

fn row(lun: &Lun) -> Vec<String> {
    let status = status(lun);
    let target = status.target.unwrap_or_default();
    vec![
        lun.metadata.namespace.clone().unwrap_or_default(),
        lun.metadata.name.clone().unwrap_or_default(),
        lun.spec.pool.clone(),
        lun.spec.size.to_string(),
        status.state.unwrap_or_default(),
        status.session_count.map(|count| count.to_string()).unwrap_or_default(),
        target.portals.join(","),
        target.iqn.unwrap_or_default(),
    ]
}

fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    lines.iter().map(|line| padded(line, &widths)).collect()
}

fn padded(line: &[String], widths: &[usize]) -> String {
    let cells = line.iter().zip(widths).map(|(cell, width)| {
        let cell = if cell.is_empty() { "-" } else { cell };
        format!("{cell:<width$}")
    });
    format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
}

fn trouble(lun: &Lun) -> String {
    match conditions::find(&status(lun).conditions, conditions::READY) {
        Some(ready) if ready.status != "True" => format!("{}: {}: {}\n", name(lun), ready.reason, ready.message),
        _ => String::new(),
    }
}

fn details(lun: &Lun) -> String {
    let status = status(lun);
    let mut text = format!("\n{}\n", name(lun));
    // Writing to a String cannot fail.
    for condition in &status.conditions {
        let _ = writeln!(
            text,
            "  {:<10} {:<6} {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        );
    }
    for session in &status.sessions {
        let state = session.state.as_deref().unwrap_or("-");
        let _ = writeln!(text, "  session    {state} {} from {}", session.initiator, session.addresses.join(","));
    }
    text
}

fn status(lun: &Lun) -> LunStatus {
    lun.status.clone().unwrap_or_default()
}

fn name(lun: &Lun) -> String {
    let part = |value: &Option<String>| value.clone().unwrap_or_default();
    format!("{}/{}", part(&lun.metadata.namespace), part(&lun.metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lun(status: &serde_json::Value) -> Lun {
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "namespace": "prod"},
            "spec": {"pool": "files", "size": "10Gi"},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let ready = lun(
            &json!({"state": "Ready", "sessionCount": 1, "target": {"iqn": "iqn.x:y", "portals": ["10.0.0.1:3260"]}}),
        );
        assert_eq!(
            narrow(&[ready]),
            "NAMESPACE   NAME   POOL    SIZE   STATE   SESSIONS   PORTALS         TARGET\n\
             prod        db     files   10Gi   Ready   1          10.0.0.1:3260   iqn.x:y\n"
        );
    }

    #[test]
    fn a_lun_in_trouble_says_why() {
        let condition = json!({"type": "Ready", "status": "False", "reason": "PoolNotFound", "message": "there is no LunPool files", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let text = narrow(&[lun(&json!({"state": "Pending", "conditions": [condition]}))]);
        assert!(text.ends_with("prod/db: PoolNotFound: there is no LunPool files\n"), "{text}");
        assert_eq!(narrow(&[]), NONE);
    }
}
