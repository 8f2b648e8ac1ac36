//! `LunPool`: where bytes live, said by an admin. Exactly one backend is named; others join the union.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// Where bytes live, and who may use it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq)]
#[kube(group = "lunette.io", version = "v1alpha1", kind = "LunPool", status = "LunPoolStatus", shortname = "lpool")]
#[kube(category = "lunette")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunPoolSpec {
    /// Sparse files in a directory of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryPool>,
    /// Names of the nodes that may serve the pool; empty means every node where it is found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Namespaces whose Luns may use the pool; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// How far the sum of the Luns' sizes on one node may exceed the pool's capacity there, in percent
    /// of that capacity: 100 never promises more than there is. Absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overcommit_percent: Option<u32>,
}

/// A directory of the node.
#[derive(KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryPool {
    /// Absolute path of the directory on the node. It must exist.
    pub path: String,
    /// How files are opened.
    #[serde(default)]
    pub io: IoMode,
    /// Text that the file `.lunette-pool` in the directory must hold, so that the mount point of a
    /// file system that is not mounted is never taken for an empty pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    pub nodes: Vec<String>,
    /// Luns that use the pool.
    #[serde(default)]
    pub luns: u32,
    /// `Ready`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
