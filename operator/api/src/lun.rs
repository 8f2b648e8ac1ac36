//! `Lun`: a SCSI logical unit that a user asks for, and what became of it.
//!
//! Of the status, the operator writes `node`, `epoch`, `target.iqn`, `target.lun`, `wwid`, `state` and the
//! conditions of [`crate::conditions::OPERATOR_TYPES`]; the agent of the node writes the rest. Doc comments
//! of fields are what `kubectl explain` shows.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::qos::Qos;
use crate::rules;
use crate::{Condition, Size};

/// A SCSI logical unit that Lunette serves over iSCSI. Its spec names a pool, never a path, a Ceph pool
/// or a bucket: where bytes live is for admins to say, in a LunPool.
#[derive(CustomResource, KubeSchema, Clone, Debug, Serialize, Deserialize, PartialEq)]
#[kube(group = "lunette.io", version = "v1alpha1", kind = "Lun", namespaced, status = "LunStatus")]
#[cfg_attr(test, kube(cel))]
#[kube(doc = "A SCSI logical unit that Lunette serves over iSCSI.", derive = "PartialEq")]
#[kube(shortname = "lu", category = "lunette", selectable = ".status.node", selectable = ".spec.pool")]
#[kube(printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"))]
#[kube(printcolumn(name = "Size", type_ = "string", json_path = ".spec.size"))]
#[kube(printcolumn(name = "Node", type_ = "string", json_path = ".status.node"))]
#[kube(printcolumn(name = "State", type_ = "string", json_path = ".status.state"))]
#[kube(printcolumn(name = "Sessions", type_ = "integer", json_path = ".status.sessionCount"))]
#[kube(printcolumn(name = "IQN", type_ = "string", json_path = ".status.target.iqn", priority = 1))]
#[kube(printcolumn(name = "WWID", type_ = "string", json_path = ".status.wwid", priority = 1))]
#[kube(printcolumn(name = "Allocated", type_ = "integer", json_path = ".status.allocated", priority = 1))]
#[kube(printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"))]
#[kube(validation = rules::PIN_MATCHES_NODE, validation = rules::STATUS_STAYS)]
#[kube(validation = rules::CACHE_IS_ANNOUNCED)]
#[x_kube(validation = rules::SIZE_IN_BLOCKS, validation = rules::PIN_STAYS, validation = rules::SOURCE_STAYS)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunSpec {
    /// Name of the `LunPool` that holds the data. It cannot change.
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::POOL_NAME, validation = rules::POOL_STAYS)]
    pub pool: String,
    /// Size in bytes, as a quantity (`10Gi`). It can grow, never shrink.
    #[x_kube(validation = rules::SIZE_SYNTAX, validation = rules::SIZE_POSITIVE)]
    #[x_kube(validation = rules::SIZE_BOUNDED, validation = rules::SIZE_GROWS)]
    pub size: Size,
    /// Bytes of a logical block: 512 or 4096. It cannot change.
    #[serde(default = "default_block_size")]
    #[x_kube(validation = rules::BLOCK_SIZE, validation = rules::BLOCK_SIZE_STAYS)]
    pub block_size: u32,
    /// What the Lun holds at first; without it, zeroes. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<LunSource>,
    /// Pins the Lun to a node: no other may serve it. Once set it cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::NODE_NAME)]
    pub node_name: Option<String>,
    /// Who may log in. Empty: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Atomic)]
    #[x_kube(validation = rules::INITIATORS_DIFFER, validation = rules::INITIATOR_NODES_DIFFER)]
    pub initiators: Vec<Initiator>,
    /// Whether a write may be acknowledged before it is durable; initiators flush then. It can become `WriteBack` only
    /// while nobody is logged in.
    #[serde(default)]
    pub write_cache: WriteCache,
    /// What becomes of the data when the Lun is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
    /// How much I/O the Lun may do at most; without it there is no limit. It can change at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Qos>,
}

fn default_block_size() -> u32 {
    512
}

/// Where a Lun's first bytes come from: exactly one of these, in the same pool. The Lun is served by the node that holds
/// them, and is no smaller. A snapshot or a Lun is of the Lun's namespace, and of the same block size.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[x_kube(validation = rules::ONE_SOURCE)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LunSource {
    /// Name of a LunSnapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::SNAPSHOT_NAME)]
    pub snapshot: Option<String>,
    /// Name of a Lun, which is copied as it is at one instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::LUN_NAME)]
    pub lun: Option<String>,
    /// Name of a raw image that an administrator has put into the folder `import` of the pool. It stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::IMAGE_NAME)]
    pub image: Option<String>,
}

/// One initiator that may use the LUN: a client, by its iSCSI name, or a node of the cluster.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[x_kube(validation = rules::ONE_NAME)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Initiator {
    /// The initiator's iSCSI name in lower case, as the client's `/etc/iscsi/initiatorname.iscsi` says it:
    /// `iqn.2026-01.io.example:client`, or an `eui.` or `naa.` name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 223))]
    #[x_kube(validation = rules::INITIATOR_NAME)]
    pub iqn: Option<String>,
    /// A node of the cluster, instead of an `iqn`. On the node that serves the Lun it may have it as a local
    /// disk, without a network; any other node logs in under the name that its LunNode shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::INITIATOR_NODE)]
    pub node_name: Option<String>,
    /// A Secret of the Lun's namespace with the CHAP credentials: keys `username` and `password`, and
    /// for mutual CHAP `mutualUsername` and `mutualPassword`. A local disk has no login and needs none.
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
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::SECRET_NAME)]
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

/// What became of a Lun, as the operator and the agent of its node report it.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[x_kube(validation = rules::NODE_MOVES_WITH_EPOCH, validation = rules::EPOCH_GROWS)]
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
    /// One word for people, derived from the conditions: Pending, Placed, Exporting, Ready, Degraded,
    /// Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many initiators are logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_count: Option<u32>,
    /// Who is logged in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Atomic)]
    pub sessions: Vec<Session>,
    /// `Placed`, `Exported`, `Ready`, and trouble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".to_owned()]))]
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
    /// Its iSCSI qualified name; of a node that has the Lun as a local disk, the node's name.
    pub initiator: String,
    /// The addresses that it is connected from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The session's state, in LIO's words; `Local` is a local disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}
