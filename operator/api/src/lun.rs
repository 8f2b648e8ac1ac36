//! `Lun`: a SCSI logical unit that a user asks for, and what became of it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Size};

/// What a user asks for. No path, Ceph pool or bucket can be named here: only a pool.
#[derive(CustomResource, KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq)]
#[kube(group = "lunette.io", version = "v1alpha1", kind = "Lun", namespaced, status = "LunStatus")]
#[kube(category = "lunette")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunSpec {
    /// Name of the `LunPool` that holds the data.
    pub pool: String,
    /// Size in bytes, as a quantity (`10Gi`). It can grow, never shrink.
    pub size: Size,
    /// Bytes of a logical block: 512 or 4096.
    #[serde(default = "default_block_size")]
    pub block_size: u32,
    /// Pins the Lun to a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Who may log in. Empty: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub initiators: Vec<Initiator>,
    /// Whether a write may be acknowledged before it is durable; initiators flush then.
    #[serde(default)]
    pub write_cache: WriteCache,
    /// What becomes of the data when the Lun is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
}

fn default_block_size() -> u32 {
    512
}

/// One initiator that may log in.
#[derive(KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Initiator {
    /// The initiator's iSCSI qualified name.
    pub iqn: String,
    /// A Secret of the Lun's namespace with the CHAP credentials: keys `username` and `password`, and
    /// for mutual CHAP `mutualUsername` and `mutualPassword`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chap_secret: Option<SecretReference>,
    /// Whether this initiator's writes are refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// Names a Secret of the same namespace.
#[derive(KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretReference {
    /// Its name.
    pub name: String,
}

/// When writes are acknowledged.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub enum WriteCache {
    /// At once; a flush makes them durable, as on a disk with its cache on.
    #[default]
    WriteBack,
    /// Only when they are durable.
    WriteThrough,
}

/// What becomes of the data of a deleted Lun.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub enum ReclaimPolicy {
    /// They stay in the pool.
    #[default]
    Retain,
    /// They are removed.
    Delete,
}

/// What became of a Lun. The operator writes `node`, `epoch`, `target.iqn`, `target.lun`, `wwid` and
/// `Placed`; the agent of the node the rest.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LunStatus {
    /// The node that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// A fencing generation: it grows whenever an initiator or a node must lose its access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Where initiators find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The identity that the device shows: `naa.` and 32 hexadecimal digits (VPD page 83h).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwid: Option<String>,
    /// Bytes that the device shows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Bytes that it occupies in its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<u64>,
    /// One word for people: Pending, Placed, Exporting, Ready, Degraded, Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many initiators are logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_count: Option<u32>,
    /// Who is logged in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
    /// `Placed`, `Exported`, `Ready`, and trouble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Where initiators find a Lun.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The target's iSCSI qualified name, of this Lun alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iqn: Option<String>,
    /// `ADDRESS:PORT`, or `[ADDRESS]:PORT` for IPv6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub portals: Vec<String>,
    /// The logical unit number in that target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lun: Option<u32>,
}

/// One initiator that is logged in.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its iSCSI qualified name.
    pub initiator: String,
    /// The addresses that it is connected from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The session's state, in LIO's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
