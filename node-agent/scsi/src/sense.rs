//! Sense data: why a command did not end with GOOD, in the two formats of SPC-5 4.4.
//!
//! A [`Sense`] is small and `Copy`; bytes are made only when a reply is written. Which format is asked
//! for is the business of the control mode page (D_SENSE) or of REQUEST SENSE (DESC).

use crate::asc::{self, Asc};

/// Bytes of a rendered sense buffer, zero-padded: what LIO carries (`TRANSPORT_SENSE_BUFFER`).
pub const SENSE_LEN: usize = 96;

/// Sense keys (SPC-5 4.4.8, table 57).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SenseKey {
    /// Nothing to report.
    NoSense = 0x0,
    /// Cannot be accessed now.
    NotReady = 0x2,
    /// A flaw in the medium or an error in the recorded data.
    MediumError = 0x3,
    /// A failure of the device itself.
    HardwareError = 0x4,
    /// The command was wrong.
    IllegalRequest = 0x5,
    /// Something changed that the initiator should know.
    UnitAttention = 0x6,
    /// The blocks are protected from this access.
    DataProtect = 0x7,
    /// A copy ended before it was done.
    CopyAborted = 0xa,
    /// The data did not match the medium.
    Miscompare = 0xe,
}

/// Which format sense data is in (SPC-5 4.4.2 and 4.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenseFormat {
    /// Response code 70h, 18 bytes.
    #[default]
    Fixed,
    /// Response code 72h, descriptors.
    Descriptor,
}

/// Which byte, and bit, of a CDB or parameter list was wrong (SPC-5 4.4.2.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    in_cdb: bool,
    byte: u16,
    bit: Option<u8>,
}

impl Field {
    /// A byte of the CDB.
    #[must_use]
    pub fn cdb(byte: u16, bit: Option<u8>) -> Self {
        Self { in_cdb: true, byte, bit }
    }

    /// A byte of the parameter list.
    #[must_use]
    pub fn parameter(byte: u16, bit: Option<u8>) -> Self {
        Self { in_cdb: false, byte, bit }
    }

    /// Not a field of the command but a PROGRESS INDICATION, in parts of 65536 (SPC-5 4.4.2.4.4).
    #[must_use]
    pub fn progress(done: u16) -> Self {
        Self { in_cdb: false, byte: done, bit: None }
    }

    /// The SENSE KEY SPECIFIC bytes.
    fn bytes(self) -> [u8; 3] {
        let pointer = self.bit.map_or(0, |bit| 0x08 | (bit & 7));
        let [high, low] = self.byte.to_be_bytes();
        [0x80 | u8::from(self.in_cdb) << 6 | pointer, high, low]
    }
}

/// Why a command did not end with GOOD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// The class of the trouble.
    pub key: SenseKey,
    /// What exactly.
    pub asc: Asc,
    /// The INFORMATION field; its meaning depends on the command.
    pub information: Option<u64>,
    /// What was wrong with an ILLEGAL REQUEST.
    pub field: Option<Field>,
    /// Which segment of a copy was being carried out, counted from zero: in the lower half of the COMMAND-SPECIFIC
    /// INFORMATION field (SPC-5 5.17.7.4).
    pub segment: Option<u16>,
}

impl Sense {
    /// Sense of a key and a code.
    #[must_use]
    pub const fn new(key: SenseKey, asc: Asc) -> Self {
        Self { key, asc, information: None, field: None, segment: None }
    }

    /// ILLEGAL REQUEST of some kind.
    #[must_use]
    pub const fn illegal(asc: Asc) -> Self {
        Self::new(SenseKey::IllegalRequest, asc)
    }

    /// INVALID FIELD IN PARAMETER LIST, at this byte of it.
    #[must_use]
    pub fn parameter(byte: usize) -> Self {
        let byte = u16::try_from(byte).unwrap_or(u16::MAX);
        Self::illegal(asc::INVALID_FIELD_IN_PARAMETER_LIST).at(Field::parameter(byte, None))
    }

    /// The same, pointing at a field.
    #[must_use]
    pub const fn at(mut self, field: Field) -> Self {
        self.field = Some(field);
        self
    }

    /// The same, with an INFORMATION field.
    #[must_use]
    pub const fn with_information(mut self, information: u64) -> Self {
        self.information = Some(information);
        self
    }

    /// The same, of this segment of a copy.
    #[must_use]
    pub const fn in_segment(mut self, segment: u16) -> Self {
        self.segment = Some(segment);
        self
    }

    /// Renders it, zero-padded; returns the buffer and how many bytes of it are sense.
    #[must_use]
    pub fn render(&self, format: SenseFormat) -> ([u8; SENSE_LEN], usize) {
        match format {
            SenseFormat::Fixed => self.fixed(),
            SenseFormat::Descriptor => self.descriptor(),
        }
    }

    fn fixed(&self) -> ([u8; SENSE_LEN], usize) {
        let mut b = [0; SENSE_LEN];
        b[0] = 0x70;
        b[2] = self.key as u8;
        // A value that four bytes cannot hold leaves VALID at zero (SPC-5 4.4.3.2).
        if let Some(information) = self.information.and_then(|i| u32::try_from(i).ok()) {
            b[0] |= 0x80;
            b[3..7].copy_from_slice(&information.to_be_bytes());
        }
        b[7] = 10;
        if let Some(segment) = self.segment {
            b[10..12].copy_from_slice(&segment.to_be_bytes());
        }
        (b[12], b[13]) = (self.asc.0, self.asc.1);
        if let Some(field) = self.field {
            b[15..18].copy_from_slice(&field.bytes());
        }
        (b, 18)
    }

    fn descriptor(&self) -> ([u8; SENSE_LEN], usize) {
        let mut b = [0; SENSE_LEN];
        let mut end = 8;
        b[0] = 0x72;
        b[1] = self.key as u8;
        (b[2], b[3]) = (self.asc.0, self.asc.1);
        if let Some(information) = self.information {
            // Information descriptor: type 00h, VALID.
            b[end..end + 4].copy_from_slice(&[0x00, 0x0a, 0x80, 0]);
            b[end + 4..end + 12].copy_from_slice(&information.to_be_bytes());
            end += 12;
        }
        if let Some(segment) = self.segment {
            // Command-specific information descriptor: type 01h.
            b[end..end + 2].copy_from_slice(&[0x01, 0x0a]);
            b[end + 10..end + 12].copy_from_slice(&segment.to_be_bytes());
            end += 12;
        }
        if let Some(field) = self.field {
            // Sense key specific descriptor: type 02h.
            b[end..end + 2].copy_from_slice(&[0x02, 0x06]);
            b[end + 4..end + 7].copy_from_slice(&field.bytes());
            end += 8;
        }
        b[7] = u8::try_from(end - 8).expect("three descriptors are 32 bytes");
        (b, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(sense: Sense, format: SenseFormat) -> Vec<u8> {
        let (bytes, len) = sense.render(format);
        assert!(bytes[len..].iter().all(|b| *b == 0));
        bytes[..len].to_vec()
    }

    #[test]
    fn fixed_format_has_eighteen_bytes_and_the_field_pointer() {
        let sense = Sense::illegal(asc::INVALID_FIELD_IN_CDB).at(Field::cdb(1, Some(5)));
        let expected = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xcd, 0, 1];
        assert_eq!(rendered(sense, SenseFormat::Fixed), expected);
    }

    #[test]
    fn descriptor_format_carries_both_descriptors() {
        let sense = Sense::parameter(0x0203).with_information(0x1_0000_0000);
        let expected = [
            0x72, 5, 0x26, 0, 0, 0, 0, 20, 0x00, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x02, 0x06, 0, 0, 0x80, 2, 3, 0,
        ];
        assert_eq!(rendered(sense, SenseFormat::Descriptor), expected);
    }

    #[test]
    fn the_segment_of_a_copy_is_command_specific() {
        let sense = Sense::new(SenseKey::CopyAborted, asc::NO_ADDITIONAL_SENSE).in_segment(0x0102);
        let fixed = [0x70, 0, 0xa, 0, 0, 0, 0, 10, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0];
        assert_eq!(rendered(sense, SenseFormat::Fixed), fixed);
        let descriptor = [0x72, 0xa, 0, 0, 0, 0, 0, 12, 0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];
        assert_eq!(rendered(sense, SenseFormat::Descriptor), descriptor);
    }

    #[test]
    fn information_that_does_not_fit_is_not_valid_in_fixed_format() {
        let sense = Sense::new(SenseKey::Miscompare, asc::MISCOMPARE);
        let small = rendered(sense.with_information(0x0102_0304), SenseFormat::Fixed);
        assert_eq!((small[0], &small[3..7]), (0xf0, &[1, 2, 3, 4][..]));
        let large = rendered(sense.with_information(1 << 32), SenseFormat::Fixed);
        assert_eq!((large[0], &large[3..7]), (0x70, &[0; 4][..]));
    }
}
