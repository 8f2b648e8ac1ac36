//! Why a LUN is not as it is wanted: a reason for programs, a sentence for people.

use std::fmt;

use lunette_api::conditions::reasons;
use lunette_backend::{PoolError, PoolErrorKind};
use lunette_lio::Conflict;

/// What stands between a LUN and its being served. It becomes a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A reason of `lunette_api::conditions::reasons`.
    pub reason: &'static str,
    /// What is wrong, with what, and what to do.
    pub message: String,
}

impl Trouble {
    /// With that reason and text.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl From<PoolError> for Trouble {
    fn from(error: PoolError) -> Self {
        let reason = match error.kind {
            PoolErrorKind::TooLarge | PoolErrorKind::Mismatch => reasons::INVALID_SPEC,
            PoolErrorKind::Unsupported => reasons::NO_SNAPSHOTS,
            _ => reasons::POOL_UNAVAILABLE,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<Conflict> for Trouble {
    fn from(conflict: Conflict) -> Self {
        Self::new(reasons::CONFLICT, conflict.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_author_of_a_lun_can_mend_is_an_invalid_spec() {
        for (kind, reason) in [
            (PoolErrorKind::TooLarge, reasons::INVALID_SPEC),
            (PoolErrorKind::Mismatch, reasons::INVALID_SPEC),
            (PoolErrorKind::NoSpace, reasons::POOL_UNAVAILABLE),
            (PoolErrorKind::Unavailable, reasons::POOL_UNAVAILABLE),
            (PoolErrorKind::InUse, reasons::POOL_UNAVAILABLE),
        ] {
            let trouble = Trouble::from(PoolError::new(kind, "why"));
            assert_eq!((trouble.reason, trouble.message.as_str()), (reason, "why"));
        }
    }
}
