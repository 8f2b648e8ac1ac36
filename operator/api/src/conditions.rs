//! Condition types and reasons, as constants, and the standard way to set one.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// A node was chosen; written by the operator.
pub const PLACED: &str = "Placed";
/// The target stands and its initiators can log in; written by the agent.
pub const EXPORTED: &str = "Exported";
/// I/O is served; written by the agent.
pub const READY: &str = "Ready";
/// The storage answers; written by the agent, only when it does not or did not.
pub const BACKEND_REACHABLE: &str = "BackendReachable";

/// Reasons of conditions: CamelCase words that programs may compare.
pub mod reasons {
    /// A node was chosen.
    pub const PLACED: &str = "Placed";
    /// No node can take it; the message says why for each.
    pub const NO_NODE: &str = "NoNode";
    /// The pool does not exist.
    pub const POOL_NOT_FOUND: &str = "PoolNotFound";
    /// The pool is not for this namespace.
    pub const POOL_NOT_ALLOWED: &str = "PoolNotAllowed";
    /// The pool cannot be used on this node now.
    pub const POOL_UNAVAILABLE: &str = "PoolUnavailable";
    /// The object cannot be served as it is written.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A Secret is missing or unfit.
    pub const SECRET_UNUSABLE: &str = "SecretUnusable";
    /// Something in the kernel's target configuration stands in the way and is not ours.
    pub const CONFLICT: &str = "Conflict";
    /// A portal cannot be opened.
    pub const PORTAL_UNAVAILABLE: &str = "PortalUnavailable";
    /// A step of the kernel's target configuration failed.
    pub const CONFIGFS_FAILED: &str = "ConfigfsFailed";
    /// A step of the kernel's target configuration has not come back.
    pub const CONFIGFS_STUCK: &str = "ConfigfsStuck";
    /// The target stands.
    pub const EXPORTED: &str = "Exported";
    /// The target is gone, and the data too where the policy says so.
    pub const UNEXPORTED: &str = "Unexported";
    /// The target is being removed.
    pub const UNEXPORTING: &str = "Unexporting";
    /// I/O is served.
    pub const SERVING: &str = "Serving";
    /// The thread that serves it failed and is being restarted.
    pub const RESTARTING: &str = "Restarting";
    /// The kernel lacks something.
    pub const KERNEL_NOT_READY: &str = "KernelNotReady";
    /// Nothing is missing.
    pub const NODE_READY: &str = "NodeReady";
    /// Waiting for the agent of the node to remove the export.
    pub const WAITING_FOR_NODE: &str = "WaitingForNode";
    /// The object is used by others.
    pub const IN_USE: &str = "InUse";
}

/// Sets the condition of that type, keeping its transition time where the status stays the same.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
) {
    let status = if status { "True" } else { "False" };
    let old = conditions.iter().position(|c| c.type_ == type_).map(|i| conditions.remove(i));
    let kept = old.filter(|c| c.status == status).map(|c| c.last_transition_time);
    conditions.push(Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: kept.unwrap_or_else(|| Time(Timestamp::now())),
    });
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
}

/// The condition of that type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of that type is there and true.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True")
}
