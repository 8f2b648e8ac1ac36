//! Why a handler did not carry a command out, and the one table from storage errors to SCSI.
//!
//! The causes behind storage errors are logged here, at a bounded rate: an initiator decides how often
//! it runs into them.

use std::cell::Cell;
use std::error::Error;
use std::time::{Duration, Instant};

use lunette_backend::{IoError, IoErrorKind};

use crate::{Outcome, Sense, SenseFormat, SenseKey, Status, asc};

/// Why a command was not carried out.
#[derive(Debug)]
pub enum Refusal {
    /// CHECK CONDITION with this sense.
    Check(Sense),
    /// The storage failed.
    Storage(IoError),
    /// The storage failed, and for this command that has a sense of its own.
    StorageAs(IoError, Sense),
    /// The storage failed in the midst of a read: so many bytes from its beginning are in the Data-In buffer.
    StorageAfter(IoError, Sense, u32),
}

impl From<Sense> for Refusal {
    fn from(sense: Sense) -> Self {
        Self::Check(sense)
    }
}

impl From<IoError> for Refusal {
    fn from(error: IoError) -> Self {
        Self::Storage(error)
    }
}

impl Refusal {
    /// The storage error behind it, if there is one.
    pub fn storage_error(&self) -> Option<&IoError> {
        match self {
            Self::Check(_) => None,
            Self::Storage(error) | Self::StorageAs(error, _) | Self::StorageAfter(error, ..) => Some(error),
        }
    }

    /// The sense data that goes with it, also where a bare status says it shorter.
    pub fn sense(&self) -> Sense {
        match self {
            Self::Check(sense) | Self::StorageAs(_, sense) | Self::StorageAfter(_, sense, _) => *sense,
            Self::Storage(error) => Sense::from(error),
        }
    }

    /// The outcome that the initiator sees.
    pub fn outcome(&self, format: SenseFormat) -> Outcome {
        match self {
            // BUSY is retried by every initiator, and has no sense key of its own (SAM-5 5.3.1).
            Self::Storage(error) if error.kind == IoErrorKind::Busy => Outcome::status(Status::Busy),
            Self::StorageAfter(_, sense, bytes) => {
                Outcome { data_in: Some(*bytes).filter(|bytes| *bytes > 0), ..Outcome::check(*sense, format) }
            }
            other => Outcome::check(other.sense(), format),
        }
    }
}

impl From<&IoError> for Sense {
    /// The one table from storage errors to sense.
    ///
    /// `Unreachable` is NOT READY, BECOMING READY: the code that initiators wait for and retry (Linux
    /// for 180 s, `scsi_io_completion_action`), while a path checker sees at once that this path is not
    /// usable. `Fenced` must not be waited for here: another gateway serves the volume now, so the port
    /// is in the unavailable state, which makes multipath look elsewhere.
    fn from(error: &IoError) -> Self {
        use SenseKey::{DataProtect, HardwareError, IllegalRequest, MediumError, NotReady};
        let (key, code) = match error.kind {
            IoErrorKind::OutOfRange => (IllegalRequest, asc::LBA_OUT_OF_RANGE),
            IoErrorKind::ReadOnly => (DataProtect, asc::WRITE_PROTECTED),
            IoErrorKind::Unsupported => (IllegalRequest, asc::INVALID_OPERATION_CODE),
            IoErrorKind::NoSpace => (DataProtect, asc::SPACE_ALLOCATION_FAILED),
            IoErrorKind::MediumRead => (MediumError, asc::UNRECOVERED_READ_ERROR),
            IoErrorKind::MediumWrite => (MediumError, asc::WRITE_ERROR),
            IoErrorKind::Busy | IoErrorKind::Unreachable => (NotReady, asc::BECOMING_READY),
            IoErrorKind::Fenced => (NotReady, asc::PORT_UNAVAILABLE),
            IoErrorKind::Internal => (HardwareError, asc::INTERNAL_TARGET_FAILURE),
        };
        Self::new(key, code)
    }
}

/// How often the trouble of one LUN is logged.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Logs storage errors of one LUN, at most one in [`LOG_PERIOD`], with the number left out.
#[derive(Default)]
pub struct TroubleLog {
    last: Cell<Option<Instant>>,
    left_out: Cell<u64>,
}

impl TroubleLog {
    /// Notes one failed command.
    pub fn note(&self, serial: &str, opcode: u8, error: &IoError) {
        if self.is_due(Instant::now()) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            let left_out = self.left_out.take();
            tracing::warn!(serial, left_out, cause, "command {opcode:02X}h failed: {error}");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let due = self.last.get().is_none_or(|last| now.duration_since(last) >= LOG_PERIOD);
        if due {
            self.last.set(Some(now));
        } else {
            self.left_out.set(self.left_out.get().saturating_add(1));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sense_of(kind: IoErrorKind) -> (u8, u8, u8) {
        let sense = Sense::from(&IoError::from(kind));
        (sense.key as u8, sense.asc.0, sense.asc.1)
    }

    #[test]
    fn every_storage_error_has_its_sense() {
        let table = [
            (IoErrorKind::OutOfRange, (0x5, 0x21, 0x00)),
            (IoErrorKind::ReadOnly, (0x7, 0x27, 0x00)),
            (IoErrorKind::Unsupported, (0x5, 0x20, 0x00)),
            (IoErrorKind::NoSpace, (0x7, 0x27, 0x07)),
            (IoErrorKind::MediumRead, (0x3, 0x11, 0x00)),
            (IoErrorKind::MediumWrite, (0x3, 0x0c, 0x00)),
            (IoErrorKind::Unreachable, (0x2, 0x04, 0x01)),
            (IoErrorKind::Fenced, (0x2, 0x04, 0x0c)),
            (IoErrorKind::Internal, (0x4, 0x44, 0x00)),
        ];
        for (kind, expected) in table {
            assert_eq!(sense_of(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn busy_is_a_status_without_sense() {
        let outcome = Refusal::from(IoError::from(IoErrorKind::Busy)).outcome(SenseFormat::Fixed);
        assert_eq!((outcome.status, outcome.sense), (0x08, None));
    }

    #[test]
    fn trouble_is_logged_once_a_period() {
        let log = TroubleLog::default();
        let start = Instant::now();
        assert!(log.is_due(start));
        assert!(!log.is_due(start + LOG_PERIOD / 2));
        assert!(!log.is_due(start + LOG_PERIOD * 3 / 4));
        assert_eq!(log.left_out.get(), 2);
        assert!(log.is_due(start + LOG_PERIOD));
    }
}
