//! Who says what this node must serve, and who is told what became of it.
//!
//! Two of them: an API server, or a directory of the same manifests. Both hand the node a
//! [`View`](crate::node::View) whenever something changes; everything else is alike.

mod checkpoint;
mod kubernetes;
mod manifests;
mod presence;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lunette_api::{Condition, Lun, LunStatus, Target, conditions};

pub use kubernetes::Kubernetes;
pub use manifests::Manifests;
pub use presence::Presence;

use crate::node::{SecretData, Trouble};

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

    /// Reports our part of a LUN's status; whether that is known now.
    pub async fn report(&self, lun: &Lun, status: &LunStatus) -> bool {
        match self {
            Self::Kubernetes(api) => api.report(lun, status).await,
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
