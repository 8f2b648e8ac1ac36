//! How long to wait before an object that failed is tried again: per object, longer each time, and by the
//! kind of failure. A success forgets the failures.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::ErrorKind;

/// Failures in a row, by object.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<String, (ErrorKind, u32)>>,
}

impl Backoff {
    /// Notes a failure of the object and says when to try again; `None`: not before it changes.
    pub fn failed(&self, object: &str, kind: ErrorKind) -> Option<Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failures.entry(object.to_owned()).or_insert((kind, 0));
        *entry = if entry.0 == kind { (kind, entry.1 + 1) } else { (kind, 1) };
        delay(kind, entry.1)
    }

    /// Forgets the object's failures.
    pub fn succeeded(&self, object: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

/// Doubles from the first delay to the longest.
fn delay(kind: ErrorKind, attempt: u32) -> Option<Duration> {
    let (first, longest) = match kind {
        ErrorKind::Malformed => return None,
        // The watch brings the newer object, mostly before this.
        ErrorKind::Conflict => (Duration::from_millis(200), Duration::from_secs(5)),
        ErrorKind::Unavailable => (Duration::from_millis(500), Duration::from_secs(30)),
        ErrorKind::Forbidden | ErrorKind::Refused => (Duration::from_secs(2), Duration::from_secs(300)),
    };
    let factor = 1_u32 << attempt.saturating_sub(1).min(16);
    Some(first.saturating_mul(factor).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_a_success_forgets_them() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (0..20).filter_map(|_| backoff.failed("a", ErrorKind::Unavailable)).collect();
        assert_eq!(waits[0], Duration::from_millis(500));
        assert!(waits.windows(2).all(|w| w[0] <= w[1]));
        assert_eq!(waits[19], Duration::from_secs(30));
        assert_eq!(backoff.failed("b", ErrorKind::Unavailable), Some(waits[0]), "objects do not share their waits");
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a", ErrorKind::Unavailable), Some(waits[0]));
    }

    #[test]
    fn another_kind_of_failure_starts_anew_and_a_malformed_object_waits_for_its_author() {
        let backoff = Backoff::default();
        let first = backoff.failed("a", ErrorKind::Forbidden);
        backoff.failed("a", ErrorKind::Forbidden);
        backoff.failed("a", ErrorKind::Conflict);
        assert_eq!(backoff.failed("a", ErrorKind::Forbidden), first);
        assert_eq!(backoff.failed("a", ErrorKind::Malformed), None);
    }
}
