//! `LunSnapshot`: a point in time of a Lun, and what became of it.
//!
//! Of the status, the operator writes `node`, `pool`, `source`, `barrier` and the conditions of
//! [`crate::conditions::OPERATOR_TYPES`]; the agent of the node writes the rest. Doc comments of fields are what
//! `kubectl explain` shows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Barrier, Condition, Hold, rules};

/// A crash-consistent point in time of a Lun: what its device would hold if its power had been cut then. It stays when
/// the Lun goes, and the Luns made from it stay when it goes.
#[derive(CustomResource, KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[kube(group = "lunette.io", version = "v1alpha1", kind = "LunSnapshot", namespaced, status = "LunSnapshotStatus")]
#[cfg_attr(test, kube(cel))]
#[kube(doc = "A crash-consistent point in time of a Lun.", derive = "PartialEq")]
#[kube(shortname = "lusnap", category = "lunette", selectable = ".status.node", selectable = ".spec.lun")]
#[kube(printcolumn(name = "Lun", type_ = "string", json_path = ".spec.lun"))]
#[kube(printcolumn(name = "Size", type_ = "integer", json_path = ".status.size"))]
#[kube(printcolumn(name = "Node", type_ = "string", json_path = ".status.node"))]
#[kube(printcolumn(name = "ReadyToUse", type_ = "boolean", json_path = ".status.readyToUse"))]
#[kube(printcolumn(name = "Taken", type_ = "date", json_path = ".status.creationTime"))]
#[kube(printcolumn(name = "Pool", type_ = "string", json_path = ".status.pool", priority = 1))]
#[kube(printcolumn(name = "Group", type_ = "string", json_path = ".spec.group.name", priority = 1))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[kube(validation = rules::SNAPSHOT_STATUS_STAYS)]
#[x_kube(validation = rules::SNAPSHOT_STAYS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunSnapshotSpec {
    /// Name of the Lun, in the same namespace. It cannot change.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::LUN_NAME)]
    pub lun: String,
    /// Takes it at one instant with others of the same namespace. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<SnapshotGroup>,
}

/// Snapshots of several Luns at one instant, whichever nodes serve them.
#[derive(KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotGroup {
    /// What they have in common.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::GROUP_NAME)]
    pub name: String,
    /// How many LunSnapshots there are of that group: none is taken before all of them are there.
    #[x_kube(validation = rules::GROUP_MEMBERS)]
    pub members: u32,
}

/// What became of a LunSnapshot.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LunSnapshotStatus {
    /// The node that holds it: that of its Lun. Luns made from it are served there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The pool that holds it: that of its Lun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The Lun that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SnapshotSource>,
    /// Of a group that several nodes serve: what is asked of them now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<Barrier>,
    /// How far the node is with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Whether it was taken, and Luns can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// Bytes of the device at that time: a Lun made from it needs at least that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The time that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// Microseconds for which the Lun's commands had to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_microseconds: Option<u64>,
    /// `Placed`, `Ready`, and `Released` while it is being deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// The Lun that a snapshot is of, as it was when the snapshot was asked for.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSource {
    /// The Lun's UID: a later Lun of its name is another.
    #[serde(default)]
    pub uid: String,
    /// The identity that its device shows.
    #[serde(default)]
    pub wwid: String,
    /// Bytes of its logical blocks.
    #[serde(default)]
    pub block_size: u32,
}
