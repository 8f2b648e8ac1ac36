//! Who says what this node must serve, and who is told what became of it.
//!
//! Two of them: an API server, or a directory of the same manifests. Both hand the node a
//! [`View`] whenever something changes; everything else is alike.

mod checkpoint;
mod kubernetes;
mod manifests;
mod pools;
mod presence;
mod view;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lunette_api::{Condition, Lun, LunSnapshot, LunSnapshotStatus, LunStatus, Target, conditions};

pub use kubernetes::Kubernetes;
pub use manifests::{Manifests, read_manifests};
pub use pools::Pools;
pub use presence::Presence;
pub use view::{SecretData, View};

use crate::trouble::Trouble;

/// Who says what is wanted.
pub enum Source {
    /// An API server.
    Kubernetes(Kubernetes),
    /// A directory of manifests.
    Manifests(Manifests),
}

impl Source {
    /// Whether leaving a LUN out means that its author deleted it, and its own policy holds.
    pub fn leaving_out_deletes(&self) -> bool {
        matches!(self, Self::Manifests(_))
    }

    /// The data of one Secret.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, Trouble> {
        match self {
            Self::Kubernetes(api) => api.secret(namespace, name).await,
            Self::Manifests(manifests) => manifests.secret(namespace, name),
        }
    }

    /// A Lun, wherever it is served; `None` if there is none, or only this node's can be known.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn lun(&self, namespace: &str, name: &str) -> Result<Option<Lun>, Trouble> {
        match self {
            Self::Kubernetes(api) => api.lun(namespace, name).await,
            Self::Manifests(_) => Ok(None),
        }
    }

    /// Reports our part of a LUN's status; whether that is known now.
    pub async fn report(&self, lun: &Lun, status: &LunStatus) -> bool {
        match self {
            Self::Kubernetes(api) => api.report(lun, status).await,
            Self::Manifests(_) => true,
        }
    }

    /// Reports our part of a snapshot's status; whether that is known now.
    pub async fn report_snapshot(&self, snapshot: &LunSnapshot, status: &LunSnapshotStatus) -> bool {
        match self {
            Self::Kubernetes(api) => api.report_snapshot(snapshot, status).await,
            Self::Manifests(_) => true,
        }
    }

    /// Whether our part of a LUN's status is there as it was last told.
    pub fn shows(&self, lun: &Lun, told: &LunStatus) -> bool {
        match self {
            Self::Kubernetes(_) => lun.status.as_ref().is_none_or(|there| ours(there) == ours(told)),
            Self::Manifests(_) => true,
        }
    }

    /// The whole status of a LUN: our part, and the operator's or what stands in for it.
    pub fn whole_status(&self, node: &str, lun: &Lun, ours: &LunStatus) -> LunStatus {
        let theirs = match self {
            Self::Kubernetes(_) => lun.status.clone().unwrap_or_default(),
            Self::Manifests(_) => manifests::placed_here(node, lun),
        };
        join(theirs, ours, lun.metadata.deletion_timestamp.is_some())
    }

    /// That nothing is left of a LUN that its author left out, nor of its data if they were `reclaimed`.
    pub async fn gone(&self, lun: &Lun, reclaimed: bool) {
        match self {
            Self::Kubernetes(_) => {}
            Self::Manifests(manifests) => manifests.gone(lun, reclaimed),
        }
    }
}

/// Our part of a status, without times, which the API cuts to seconds.
fn ours(status: &LunStatus) -> LunStatus {
    let written = |c: &&Condition| !conditions::OPERATOR_TYPES.contains(&c.type_.as_str());
    let mut kept: Vec<Condition> = status.conditions.iter().filter(written).cloned().collect();
    for condition in &mut kept {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    kept.sort_by(|a, b| a.type_.cmp(&b.type_));
    let portals = status.target.as_ref().map(|target| target.portals.clone()).unwrap_or_default();
    LunStatus {
        conditions: kept,
        target: Some(Target { portals, ..Target::default() }),
        capacity: status.capacity,
        allocated: status.allocated,
        sessions: status.sessions.clone(),
        session_count: status.session_count,
        ..LunStatus::default()
    }
}

/// Puts our part of a status over the operator's.
fn join(theirs: LunStatus, ours: &LunStatus, deleting: bool) -> LunStatus {
    let mut whole = theirs;
    for condition in &ours.conditions {
        whole.conditions.retain(|c| c.type_ != condition.type_);
        whole.conditions.push(condition.clone());
    }
    whole.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    let portals = ours.target.as_ref().map(|target| target.portals.clone()).unwrap_or_default();
    whole.target.get_or_insert_default().portals = portals;
    whole.capacity = ours.capacity;
    whole.allocated = ours.allocated;
    whole.sessions = ours.sessions.clone();
    whole.session_count = ours.session_count;
    whole.state = Some(conditions::state_of(&whole.conditions, deleting).to_owned());
    whole
}

#[cfg(test)]
mod tests {
    use lunette_api::Session;
    use lunette_api::conditions::reasons;

    use super::*;

    fn status(conditions: &[(&str, bool)]) -> LunStatus {
        let mut status = LunStatus::default();
        for (type_, is) in conditions {
            conditions::set(&mut status.conditions, type_, *is, reasons::SERVING, "so", Some(1));
        }
        status
    }

    fn agents() -> LunStatus {
        LunStatus {
            capacity: Some(1 << 30),
            sessions: vec![Session { initiator: "iqn.a:b".to_owned(), ..Session::default() }],
            session_count: Some(1),
            target: Some(Target { portals: vec!["10.0.0.1:3260".to_owned()], ..Target::default() }),
            ..status(&[(conditions::EXPORTED, true), (conditions::READY, true)])
        }
    }

    #[test]
    fn the_whole_status_is_the_operators_with_ours_over_it() {
        let target = Target { iqn: Some("iqn.t".to_owned()), lun: Some(0), portals: vec!["stale".to_owned()] };
        let theirs = LunStatus {
            node: Some("a".to_owned()),
            wwid: Some("naa.6".to_owned()),
            target: Some(target),
            ..status(&[(conditions::PLACED, true), (conditions::READY, false)])
        };
        let whole = join(theirs, &agents(), false);
        let types: Vec<(&str, &str)> = whole.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
        assert_eq!(types, [("Exported", "True"), ("Placed", "True"), ("Ready", "True")]);
        let target = whole.target.unwrap();
        assert_eq!((target.iqn.as_deref(), target.lun), (Some("iqn.t"), Some(0)));
        assert_eq!(target.portals, ["10.0.0.1:3260"]);
        assert_eq!((whole.node.as_deref(), whole.wwid.as_deref()), (Some("a"), Some("naa.6")));
        assert_eq!((whole.state.as_deref(), whole.session_count), (Some("Ready"), Some(1)));
        assert_eq!(join(LunStatus::default(), &agents(), true).state.as_deref(), Some("Deleting"));
    }

    #[test]
    fn our_part_is_told_from_the_operators_and_times_do_not_count() {
        let mut shown = join(status(&[(conditions::PLACED, true)]), &agents(), false);
        assert_eq!(ours(&shown), ours(&agents()));
        shown.node = Some("b".to_owned());
        assert_eq!(ours(&shown), ours(&agents()), "not ours");
        let by_hand = LunStatus { capacity: Some(7), ..shown.clone() };
        assert_ne!(ours(&by_hand), ours(&agents()));
        shown.conditions.retain(|c| c.type_ != conditions::READY);
        assert_ne!(ours(&shown), ours(&agents()));
    }
}
