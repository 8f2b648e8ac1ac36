//! The difference between what is and what is wanted, as ordered steps. Pure: asks nobody, changes nothing.
//!
//! Order: what is removed goes leaves to root, what is made root to leaves, `enable` last. The steps come in six
//! phases, for between them the agent starts or stops the thread that serves the command ring. Whatever would need
//! a live object to be made anew, or somebody else's to be touched, is a [`Conflict`].

mod acl;
mod backstore;
mod local;
mod target;
mod tpg;

use std::fmt;

use serde::Serialize;

use crate::node::Node;
use crate::step::Step;
use crate::tree::{Export, Found};

/// One of the six parts of a plan, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Phase {
    /// The local disk goes. While the LUN is served, the kernel flushes it first; where everything is to go, it is
    /// cut off first, so that nothing waits for a ring that nobody serves.
    RemoveLocal,
    /// The target goes. Before it: answer or reset what is in the ring. After it: stop the ring's thread, close the UIO device.
    RemoveTarget,
    /// The backstore goes.
    RemoveBackstore,
    /// The backstore comes, or grows. After it: open the UIO device and serve the ring.
    Backstore,
    /// The target comes, or changes; initiators may log in at its end.
    Target,
    /// The local disk's target comes, or changes. The ring has to be served: the kernel asks the disk at once.
    Local,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Phase; 6] = [
        Phase::RemoveLocal,
        Phase::RemoveTarget,
        Phase::RemoveBackstore,
        Phase::Backstore,
        Phase::Target,
        Phase::Local,
    ];
}

/// Steps by phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    remove_local: Vec<Step>,
    remove_target: Vec<Step>,
    remove_backstore: Vec<Step>,
    backstore: Vec<Step>,
    target: Vec<Step>,
    local: Vec<Step>,
    /// What is wanted otherwise but cannot be changed under a running export: it comes with the next one. For the log.
    pub deferred: Vec<String>,
}

impl Plan {
    /// The steps of one phase.
    pub fn steps(&self, phase: Phase) -> &[Step] {
        match phase {
            Phase::RemoveLocal => &self.remove_local,
            Phase::RemoveTarget => &self.remove_target,
            Phase::RemoveBackstore => &self.remove_backstore,
            Phase::Backstore => &self.backstore,
            Phase::Target => &self.target,
            Phase::Local => &self.local,
        }
    }

    /// All steps, in order.
    pub fn all(&self) -> impl Iterator<Item = &Step> {
        Phase::ALL.into_iter().flat_map(|phase| self.steps(phase))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// Why what is wanted cannot be had without touching what must not be touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Somebody else's device has our name.
    #[error("{node} is not ours ({why}): remove or rename it; Lunette does not touch it")]
    Foreign {
        /// The object in the way.
        node: Node,
        /// How we know.
        why: String,
    },
    /// Our target serves another device.
    #[error("{link} points at {to}, which is not this LUN's backstore: remove that link; Lunette does not touch it")]
    LunTaken {
        /// The link in the way.
        link: Node,
        /// What it points at.
        to: String,
    },
    /// The kernel fixes it when the device is enabled.
    #[error(
        "{node}: {what} is {have} and cannot become {want} while the device lives: delete the LUN and make a new one"
    )]
    Immutable {
        /// The device.
        node: Node,
        /// Which property.
        what: &'static str,
        /// Its value.
        have: String,
        /// The value asked for.
        want: String,
    },
    /// Shrinking would cut off data that an initiator holds to be stored.
    #[error("{node} has {have} bytes and cannot shrink to {want}: ask for at least its present size")]
    Shrink {
        /// The device.
        node: Node,
        /// Its size in bytes.
        have: u64,
        /// The size asked for in bytes.
        want: u64,
    },
    /// The kernel would take it and then misbehave.
    #[error(
        "a backstore of {size} bytes in blocks of {block_size} is impossible: the size must be a multiple of the block size, above 0"
    )]
    Size {
        /// Bytes.
        size: u64,
        /// Bytes.
        block_size: u32,
    },
    /// A caller's mistake: the target asked for is not the one that belongs to this LUN.
    #[error("the target {want} was asked for where {have} stands: a LUN keeps its target's name for life")]
    OtherTarget {
        /// The target found.
        have: String,
        /// The target asked for.
        want: String,
    },
}

/// How to get from `have` to `want`; `None` wants nothing of this LUN to be left.
pub fn plan(have: &Found, want: Option<&Export>) -> Result<Plan, Conflict> {
    let mut plan = Plan::default();
    let nothing = Export::default();
    let want = want.unwrap_or(&nothing);
    match (&have.export.local, &want.local) {
        (Some(old), None) => plan.remove_local = local::remove(have, old, want.backstore.is_none()),
        (_, Some(new)) => local::change(have, new, &mut plan)?,
        (None, None) => {}
    }
    match (&have.export.target, &want.target) {
        (Some(old), None) => plan.remove_target = target::remove(have, old),
        (_, Some(new)) => target::change(have, new, &mut plan)?,
        (None, None) => {}
    }
    match &want.backstore {
        Some(new) => backstore::change(have, new, &mut plan)?,
        None => plan.remove_backstore = backstore::remove(have),
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
