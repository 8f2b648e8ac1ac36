//! `LunNode`: what the agent of a node says of it. Written by agents only, each its own.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::Condition;

/// A node that can serve Luns. Written by its agent. Nothing is asked of a node: everything is in its status.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[kube(group = "lunette.io", version = "v1alpha1", kind = "LunNode", status = "LunNodeStatus")]
#[kube(doc = "A node that can serve Luns, as its agent describes it.", derive = "PartialEq")]
#[kube(shortname = "lnode", category = "lunette")]
#[kube(printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#))]
#[kube(printcolumn(name = "Kernel", type_ = "string", json_path = ".status.kernel"))]
#[kube(printcolumn(name = "Portals", type_ = "string", json_path = ".status.portals[*]"))]
#[kube(printcolumn(name = "Initiator", type_ = "string", json_path = ".status.initiatorName", priority = 1))]
#[kube(printcolumn(name = "Version", type_ = "string", json_path = ".status.agentVersion"))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunNodeSpec {}

/// What a node is, has and lacks.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LunNodeStatus {
    /// The agent's version.
    #[serde(default)]
    pub agent_version: String,
    /// The kernel's release (`uname -r`).
    #[serde(default)]
    pub kernel: String,
    /// Each kernel module that matters: whether it is loaded or built in.
    #[serde(default)]
    pub modules: BTreeMap<String, bool>,
    /// The node's own initiator name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator_name: Option<String>,
    /// Where this node's targets listen.
    #[serde(default)]
    pub portals: Vec<String>,
    /// The pools, by name: what this node can do with each.
    #[serde(default)]
    pub pools: BTreeMap<String, NodePool>,
    /// `Ready`, and what is missing.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

/// One pool as one node sees it.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodePool {
    /// Whether this node can serve it.
    pub ready: bool,
    /// Why not, and what to do; empty when it can.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Bytes of its storage.
    #[serde(default)]
    pub capacity: u64,
    /// Bytes free, rounded down so that small writes do not change the object.
    #[serde(default)]
    pub available: u64,
    /// Bytes of the largest volume that it can hold.
    #[serde(default)]
    pub max_volume: u64,
    /// Whether its storage takes snapshots and makes clones.
    #[serde(default)]
    pub snapshots: bool,
    /// The raw images that it has for Luns to be made from, at most 100, and the bytes of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, u64>,
}
