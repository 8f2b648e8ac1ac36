//! What is wanted of one LUN, reduced to what its worker acts on.

use std::sync::Arc;

use lunette_api::{Lun, LunPool, LunPoolSpec, ReclaimPolicy};

use super::View;

/// What is wanted of one LUN.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Serve it.
    Serve(Assignment),
    /// Take it off the fabric, and delete its data if `reclaim` says so.
    Remove {
        /// What it was, if that is known.
        last: Option<Assignment>,
        /// Whether its data go.
        reclaim: bool,
        /// Whether the worker has then nothing left to report.
        gone: bool,
    },
    /// The agent stops: leave the kernel's side as it is.
    Leave,
}

/// A LUN and its pool.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The object.
    pub lun: Arc<Lun>,
    /// Its pool, if there is one.
    pub pool: Option<Arc<LunPool>>,
}

impl Intent {
    /// What the view says of a LUN in it.
    pub fn of(lun: &Arc<Lun>, view: &View) -> Self {
        let pool = view.pools.get(&lun.spec.pool).cloned();
        let assignment = Assignment { lun: Arc::clone(lun), pool };
        if lun.metadata.deletion_timestamp.is_none() {
            return Self::Serve(assignment);
        }
        let reclaim = lun.spec.reclaim_policy == ReclaimPolicy::Delete;
        Self::Remove { last: Some(assignment), reclaim, gone: false }
    }

    /// An export that no object stands for.
    pub fn orphan() -> Self {
        Self::Remove { last: None, reclaim: false, gone: true }
    }

    /// Turns it into the removal of a LUN that is in no view any more; whether that changed anything.
    pub fn make_gone(&mut self, reclaims: bool) -> bool {
        match self {
            Self::Serve(assignment) => {
                let reclaim = reclaims && assignment.lun.spec.reclaim_policy == ReclaimPolicy::Delete;
                *self = Self::Remove { last: Some(assignment.clone()), reclaim, gone: true };
                true
            }
            Self::Remove { gone, .. } => !std::mem::replace(gone, true),
            Self::Leave => false,
        }
    }
}

impl PartialEq for Assignment {
    /// Status is what we write: it makes no difference.
    fn eq(&self, other: &Self) -> bool {
        fn pool(assignment: &Assignment) -> Option<&LunPoolSpec> {
            assignment.pool.as_ref().map(|pool| &pool.spec)
        }
        self.lun.metadata.generation == other.lun.metadata.generation
            && self.lun.metadata.uid == other.lun.metadata.uid
            && self.lun.spec == other.lun.spec
            && pool(self) == pool(other)
    }
}

impl PartialEq for Intent {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Serve(a), Self::Serve(b)) => a == b,
            (Self::Remove { last: a, reclaim: ar, gone: ag }, Self::Remove { last: b, reclaim: br, gone: bg }) => {
                a == b && ar == br && ag == bg
            }
            (Self::Leave, Self::Leave) => true,
            _ => false,
        }
    }
}
