//! How a command ended, in terms that any transport can carry.

use crate::{SENSE_LEN, Sense, SenseFormat};

/// SCSI status codes (SAM-5 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It was done.
    Good = 0x00,
    /// Sense data says why it was not.
    CheckCondition = 0x02,
    /// Try again later.
    Busy = 0x08,
    /// Too many commands at once; try again when one of them has ended.
    TaskSetFull = 0x28,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status code, as it goes over the wire.
    pub status: u8,
    /// Present exactly with CHECK CONDITION.
    pub sense: Option<Sense>,
    /// Bytes of valid Data-In, where they are fewer than the buffer holds; the rest of the buffer is
    /// zeroed. A transport that can express it reports an underflow.
    pub data_in: Option<u32>,
    /// The format that the control mode page asks for.
    pub format: SenseFormat,
}

impl Outcome {
    /// GOOD, with the whole buffer valid or of no meaning.
    #[must_use]
    pub const fn good() -> Self {
        Self { status: Status::Good as u8, sense: None, data_in: None, format: SenseFormat::Fixed }
    }

    /// GOOD, with only the first bytes of the buffer valid.
    #[must_use]
    pub const fn short(bytes: u32) -> Self {
        Self { data_in: Some(bytes), ..Self::good() }
    }

    /// A bare status without sense.
    #[must_use]
    pub const fn status(status: Status) -> Self {
        Self { status: status as u8, ..Self::good() }
    }

    /// CHECK CONDITION.
    #[must_use]
    pub const fn check(sense: Sense, format: SenseFormat) -> Self {
        Self { status: Status::CheckCondition as u8, sense: Some(sense), data_in: None, format }
    }

    /// Whether the command was done.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.status == Status::Good as u8
    }

    /// The sense data as bytes, zero-padded.
    #[must_use]
    pub fn sense_bytes(&self) -> Option<[u8; SENSE_LEN]> {
        self.sense.map(|sense| sense.render(self.format).0)
    }
}
