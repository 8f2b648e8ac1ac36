//! How long a call may wait: a little less than its caller does, so that the caller hears why.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// For callers that do not say how long they wait.
const UNSAID: Duration = Duration::from_secs(30);
/// The longest wait, whatever the caller says: nothing here gets better by waiting longer in one call.
const LONGEST: Duration = Duration::from_secs(120);

/// When a call has to have answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// Of a call with this metadata, which has just come in.
    pub fn of(metadata: &MetadataMap) -> Self {
        let said = metadata.get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(parse);
        Self::after(said.map_or(UNSAID, short_of).min(LONGEST))
    }

    /// So long from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The moment.
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// A tenth is left for the way back, at most a second.
fn short_of(time: Duration) -> Duration {
    time - (time / 10).min(Duration::from_secs(1))
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it() {
        for (text, want) in [
            ("10S", Some(Duration::from_secs(10))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("250m", Some(Duration::from_millis(250))),
            ("", None),
            ("S", None),
            ("10", None),
            ("-1S", None),
            ("123456789S", None),
            ("1µ", None),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn an_answer_comes_before_its_caller_has_left() {
        assert_eq!(short_of(Duration::from_secs(60)), Duration::from_secs(59));
        assert_eq!(short_of(Duration::from_millis(100)), Duration::from_millis(90));
        assert_eq!(short_of(Duration::ZERO), Duration::ZERO);
    }
}
