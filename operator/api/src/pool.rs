//! `LunPool`: where bytes live, said by an admin. Exactly one backend is named; others join the union.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;
use crate::rules;

/// Where bytes live, and who may use it. Exactly one backend is named.
#[derive(CustomResource, KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq)]
#[kube(group = "lunette.io", version = "v1alpha1", kind = "LunPool", status = "LunPoolStatus")]
#[cfg_attr(test, kube(cel))]
#[kube(doc = "Where the bytes of Luns live, and who may use it.", derive = "PartialEq")]
#[kube(shortname = "lpool", category = "lunette")]
#[kube(printcolumn(name = "Path", type_ = "string", json_path = ".spec.directory.path"))]
#[kube(printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#))]
#[kube(printcolumn(name = "Luns", type_ = "integer", json_path = ".status.luns"))]
#[kube(printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodes[*]", priority = 1))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[x_kube(validation = rules::ONE_BACKEND, validation = rules::BACKEND_STAYS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunPoolSpec {
    /// Sparse files in a directory of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryPool>,
    /// Names of the nodes that may serve the pool; empty means every node where it is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub nodes: Vec<String>,
    /// Namespaces whose Luns may use the pool; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub namespaces: Vec<String>,
    /// How far the sum of the Luns' sizes on one node may exceed the pool's capacity there, in percent
    /// of that capacity: 100 never promises more than there is. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::OVERCOMMIT)]
    pub overcommit_percent: Option<u32>,
}

/// A directory of the node.
#[derive(KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryPool {
    /// Absolute path of the directory on the node. It must exist, and it cannot change.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = rules::PATH_ABSOLUTE, validation = rules::PATH_PLAIN, validation = rules::PATH_STAYS)]
    pub path: String,
    /// How files are opened.
    #[serde(default)]
    pub io: IoMode,
    /// Text that the file `.lunette-pool` in the directory must hold, so that the mount point of a
    /// file system that is not mounted is never taken for an empty pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub marker: Option<String>,
}

/// How the files of a directory pool are opened.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub enum IoMode {
    /// Direct where the file system allows it, else buffered.
    #[default]
    Auto,
    /// Past the page cache (`O_DIRECT`); the pool is refused where the file system cannot.
    Direct,
    /// Through the page cache.
    Buffered,
}

/// What the operator sees of a pool.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LunPoolStatus {
    /// Nodes that can serve the pool now.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Atomic)]
    pub nodes: Vec<String>,
    /// Luns that use the pool.
    #[serde(default)]
    pub luns: u32,
    /// `Ready`: a node can serve it; `Snapshots`: its storage takes them; `Released`, while it is being deleted: nothing uses it any more.
    #[serde(default)]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}
