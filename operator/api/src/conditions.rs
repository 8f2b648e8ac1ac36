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
/// Nothing on a node holds the object any more; written by the operator while the object is being deleted.
pub const RELEASED: &str = "Released";
/// The agent of the node gives signs of life; written by the operator, only when it does not.
pub const NODE_REACHABLE: &str = "NodeReachable";

/// The storage takes snapshots; of a LunPool, written by the operator.
pub const SNAPSHOTS: &str = "Snapshots";

/// The condition types of a Lun that the operator writes; every other is the agent's.
pub const OPERATOR_TYPES: [&str; 3] = [PLACED, RELEASED, NODE_REACHABLE];

/// The words of `status.state`.
pub mod states {
    /// No node serves it yet.
    pub const PENDING: &str = "Pending";
    /// A node was chosen, and has not begun.
    pub const PLACED: &str = "Placed";
    /// The node is building the target.
    pub const EXPORTING: &str = "Exporting";
    /// I/O is served.
    pub const READY: &str = "Ready";
    /// A node has it, and something is wrong: the conditions say what.
    pub const DEGRADED: &str = "Degraded";
    /// It is being deleted.
    pub const DELETING: &str = "Deleting";
    /// All of them, in the order of a Lun's life.
    pub const ALL: [&str; 6] = [PENDING, PLACED, EXPORTING, READY, DEGRADED, DELETING];
}

/// Reasons of conditions: CamelCase words that programs may compare.
pub mod reasons {
    /// A node was chosen.
    pub const PLACED: &str = "Placed";
    /// No node can take it; the message says why for each.
    pub const NO_NODE: &str = "NoNode";
    /// The pool does not exist.
    pub const POOL_NOT_FOUND: &str = "PoolNotFound";
    /// What a Lun is to be made from, or a snapshot is to be of, does not exist.
    pub const SOURCE_NOT_FOUND: &str = "SourceNotFound";
    /// It exists, and cannot be used yet, or not for this.
    pub const SOURCE_UNUSABLE: &str = "SourceUnusable";
    /// The pool's storage takes no snapshots.
    pub const NO_SNAPSHOTS: &str = "NoSnapshots";
    /// The pool's storage takes snapshots.
    pub const SNAPSHOTS: &str = "Snapshots";
    /// The snapshot was taken.
    pub const TAKEN: &str = "Taken";
    /// The snapshot waits for the others of its group.
    pub const WAITING_FOR_GROUP: &str = "WaitingForGroup";
    /// The Lun is not served, or its running commands did not end in time.
    pub const NOT_STILL: &str = "NotStill";
    /// The snapshot's bytes are gone.
    pub const REMOVED: &str = "Removed";
    /// The pool is not for this namespace.
    pub const POOL_NOT_ALLOWED: &str = "PoolNotAllowed";
    /// The pool cannot be used on this node now.
    pub const POOL_UNAVAILABLE: &str = "PoolUnavailable";
    /// The object cannot be served as it is written.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// A Secret is missing or unfit.
    pub const SECRET_UNUSABLE: &str = "SecretUnusable";
    /// A node that is listed as an initiator has not said its initiator name.
    pub const INITIATOR_UNKNOWN: &str = "InitiatorUnknown";
    /// Something in the kernel's target configuration stands in the way and is not ours.
    pub const CONFLICT: &str = "Conflict";
    /// A portal cannot be opened.
    pub const PORTAL_UNAVAILABLE: &str = "PortalUnavailable";
    /// A step of the kernel's target configuration failed.
    pub const CONFIGFS_FAILED: &str = "ConfigfsFailed";
    /// A step of the kernel's target configuration has not come back.
    pub const CONFIGFS_STUCK: &str = "ConfigfsStuck";
    /// The target is being built.
    pub const EXPORTING: &str = "Exporting";
    /// The Lun's image is being copied.
    pub const IMPORTING: &str = "Importing";
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
    /// The agent of the node has stopped giving signs of life.
    pub const NODE_LOST: &str = "NodeLost";
    /// The object is used by others.
    pub const IN_USE: &str = "InUse";
    /// Nodes can serve the pool.
    pub const POOL_READY: &str = "PoolReady";
    /// The object is gone, and what it stood for.
    pub const DELETED: &str = "Deleted";
    /// Nothing holds the object any more.
    pub const RELEASED: &str = "Released";
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

/// One word for people: the state of a Lun with these conditions.
#[must_use]
pub fn state_of(conditions: &[Condition], deleting: bool) -> &'static str {
    let is_false = |type_| find(conditions, type_).is_some_and(|c| c.status == "False");
    if deleting {
        return states::DELETING;
    }
    if !is_true(conditions, PLACED) {
        return states::PENDING;
    }
    if is_false(NODE_REACHABLE) || is_false(BACKEND_REACHABLE) {
        return states::DEGRADED;
    }
    match find(conditions, EXPORTED) {
        None => states::PLACED,
        Some(exported) if exported.status == "True" => serving(conditions),
        Some(exported) => match exported.reason.as_str() {
            reasons::EXPORTING | reasons::IMPORTING | reasons::UNEXPORTING | reasons::UNEXPORTED => states::EXPORTING,
            _ => states::DEGRADED,
        },
    }
}

fn serving(conditions: &[Condition]) -> &'static str {
    match find(conditions, READY) {
        None => states::EXPORTING,
        Some(ready) if ready.status == "True" => states::READY,
        Some(_) => states::DEGRADED,
    }
}

/// Whether the condition of that type is there and true.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(list: &[(&str, bool, &str)]) -> Vec<Condition> {
        let mut all = Vec::new();
        for (type_, status, reason) in list {
            set(&mut all, type_, *status, reason, "", Some(1));
        }
        all
    }

    #[test]
    fn a_state_follows_from_the_conditions() {
        let placed = (PLACED, true, reasons::PLACED);
        let exported = (EXPORTED, true, reasons::EXPORTED);
        let ready = (READY, true, reasons::SERVING);
        for (list, want) in [
            (vec![], states::PENDING),
            (vec![(PLACED, false, reasons::NO_NODE)], states::PENDING),
            (vec![placed], states::PLACED),
            (vec![placed, (EXPORTED, false, reasons::EXPORTING)], states::EXPORTING),
            (vec![placed, (EXPORTED, false, reasons::IMPORTING)], states::EXPORTING),
            (vec![placed, (EXPORTED, false, reasons::CONFLICT)], states::DEGRADED),
            (vec![placed, exported], states::EXPORTING),
            (vec![placed, exported, ready], states::READY),
            (vec![placed, exported, (READY, false, reasons::RESTARTING)], states::DEGRADED),
            (vec![placed, exported, ready, (NODE_REACHABLE, false, reasons::NODE_LOST)], states::DEGRADED),
            (vec![placed, exported, ready, (BACKEND_REACHABLE, false, "Gone")], states::DEGRADED),
        ] {
            assert_eq!(state_of(&conditions(&list), false), want, "{list:?}");
            assert_eq!(state_of(&conditions(&list), true), states::DELETING);
        }
    }

    #[test]
    fn a_condition_that_stays_keeps_its_time() {
        let mut list = conditions(&[(READY, true, "A")]);
        list[0].last_transition_time = Time(Timestamp::UNIX_EPOCH);
        set(&mut list, READY, true, "B", "", Some(2));
        assert_eq!(list[0].last_transition_time.0, Timestamp::UNIX_EPOCH);
        set(&mut list, READY, false, "B", "", Some(2));
        assert_ne!(list[0].last_transition_time.0, Timestamp::UNIX_EPOCH);
    }
}
