//! The kinds of `lunette.io/v1alpha1`: what users and admins write, and what operator and agent report.
//!
//! Types, names and pure derivations only: nothing here talks to a cluster or to a kernel. The CRDs in
//! `manifests/crds` are generated from these types, rules included.

#![forbid(unsafe_code)]
// One `#[kube(printcolumn(...))]` per column looks like a repetition to the lint.
#![allow(clippy::duplicated_attributes)]

mod barrier;
pub mod conditions;
mod crd;
pub mod csi;
pub mod identity;
mod lun;
mod node;
mod pool;
mod qos;
pub mod quantity;
pub mod rules;
mod snapshot;

pub use barrier::{Asked, Barrier, Hold, Holding};
pub use conditions::Condition;
pub use crd::crds;
pub use lun::{
    Initiator, Lun, LunSource, LunSpec, LunStatus, ReclaimPolicy, SecretReference, Session, Target, WriteCache,
};
pub use node::{LunNode, LunNodeSpec, LunNodeStatus, NodePool};
pub use pool::{DirectoryPool, IoMode, LunPool, LunPoolSpec, LunPoolStatus};
pub use qos::{MIN_BYTES_PER_SECOND, MIN_IOPS, Qos, QosError};
pub use quantity::Size;
pub use snapshot::{LunSnapshot, LunSnapshotSpec, LunSnapshotStatus, SnapshotGroup, SnapshotSource};

/// The API group of every kind here.
pub const GROUP: &str = "lunette.io";
/// The version of every kind here.
pub const VERSION: &str = "v1alpha1";
/// The category that lists them all: `kubectl get lunette`.
pub const CATEGORY: &str = "lunette";
/// Set by the operator on Luns: their export and data are gone before the object is.
pub const LUN_FINALIZER: &str = "lunette.io/unexport";
/// Set by the operator on LunSnapshots: their bytes are gone before the object is.
pub const SNAPSHOT_FINALIZER: &str = "lunette.io/snapshot";
/// Set by the operator on LunPools: a pool in use cannot go.
pub const POOL_FINALIZER: &str = "lunette.io/in-use";
/// On a Lun or a LunSnapshot being deleted: gives up waiting for its node. What the node holds stays there.
pub const FORCE_DELETE_ANNOTATION: &str = "lunette.io/force-delete";
/// On a Lun without a node: the node that is to serve it, if it can. Another will do.
pub const PREFERRED_NODE_ANNOTATION: &str = "lunette.io/preferred-node";
/// On a Lun: a fencing generation that is asked for. The operator raises `status.epoch` to it.
pub const EPOCH_ANNOTATION: &str = "lunette.io/epoch";
/// On a Lun that serves a PersistentVolumeClaim: the claim's namespace.
pub const CLAIM_NAMESPACE_LABEL: &str = "lunette.io/claim-namespace";
/// Begins the name of each agent's heartbeat: a Lease in the operator's namespace, named
/// `lunette-node-` and the node's name, renewed by the agent alone.
pub const NODE_LEASE_PREFIX: &str = "lunette-node-";
/// Field manager of the operator's status writes.
pub const OPERATOR_MANAGER: &str = "lunette-operator";
/// Field manager of an agent's status writes.
pub const AGENT_MANAGER: &str = "lunette-node";
