//! Reading fields out of a CDB: big-endian numbers at byte positions, as SPC's tables give them.
//!
//! A position beyond the end reads as zero, so that no CDB can make a parser panic; the opcode table
//! has refused CDBs that are too short before any parser runs.

use crate::asc;
use crate::{Field, LbaRange, Sense};

/// A command descriptor block.
#[derive(Clone, Copy)]
pub struct Cdb<'a>(&'a [u8]);

impl<'a> Cdb<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    pub(crate) fn u8(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// The first sixteen bytes, the first of them highest; nothing if there are fewer than eight.
    pub(crate) fn head(self) -> Option<u128> {
        let first = u128::from(self.be64(0)) << 64;
        match self.0.len() {
            0..8 => None,
            8 => Some(first),
            // The last eight bytes, without those that are in the first eight too.
            len @ 9..16 => Some(first | u128::from(self.be64(len - 8) << (8 * (16 - len)))),
            _ => Some(first | u128::from(self.be64(8))),
        }
    }

    pub(crate) fn bit(self, at: usize, bit: u8) -> bool {
        self.u8(at) >> bit & 1 == 1
    }

    pub(crate) fn be16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.take(at))
    }

    pub(crate) fn be24(self, at: usize) -> u32 {
        let [high, middle, low] = self.take(at);
        u32::from_be_bytes([0, high, middle, low])
    }

    pub(crate) fn be32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.take(at))
    }

    pub(crate) fn be64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.take(at))
    }

    /// LBA and length of the 6-byte commands: 21 bits, and a length of zero means 256 (SBC-4 5.12).
    pub(crate) fn range6(self) -> LbaRange {
        let [_, high, low @ ..] = self.take::<4>(0);
        let lba = u32::from_be_bytes([0, high & 0x1f, low[0], low[1]]);
        let blocks = match self.u8(4) {
            0 => 256,
            n => u32::from(n),
        };
        LbaRange::new(u64::from(lba), blocks)
    }

    /// LBA and length of the 10-byte commands.
    pub(crate) fn range10(self) -> LbaRange {
        LbaRange::new(u64::from(self.be32(2)), u32::from(self.be16(7)))
    }

    /// LBA and length of the 12-byte commands.
    pub(crate) fn range12(self) -> LbaRange {
        LbaRange::new(u64::from(self.be32(2)), self.be32(6))
    }

    /// LBA and length of the 16-byte commands.
    pub(crate) fn range16(self) -> LbaRange {
        LbaRange::new(self.be64(2), self.be32(10))
    }

    /// LBA and length of the 32-byte commands.
    pub(crate) fn range32(self) -> LbaRange {
        LbaRange::new(self.be64(12), self.be32(28))
    }

    /// INVALID FIELD IN CDB, pointing at the byte and its highest offending bit.
    pub(crate) fn invalid(byte: u16, bit: u8) -> Sense {
        Sense::illegal(asc::INVALID_FIELD_IN_CDB).at(Field::cdb(byte, Some(bit)))
    }

    fn take<const N: usize>(self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        if let Some(field) = self.0.get(at..at + N) {
            bytes.copy_from_slice(field);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_the_first_sixteen_bytes_of_a_cdb_of_any_length() {
        let bytes: Vec<u8> = (1..=20).collect();
        for len in 0..=bytes.len() {
            let mut first = [0; 16];
            let n = len.min(16);
            first[..n].copy_from_slice(&bytes[..n]);
            let expected = (len >= 8).then(|| u128::from_be_bytes(first));
            assert_eq!(Cdb::new(&bytes[..len]).head(), expected, "{len} bytes");
        }
    }

    #[test]
    fn fields_lie_where_the_standard_says() {
        let cdb = Cdb::new(&[0x88, 0x18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0]);
        assert_eq!(cdb.range16(), LbaRange::new(0x0001_0203_0405_0607, 0x0809_0a0b));
        assert_eq!(cdb.range10(), LbaRange::new(0x0001_0203, 0x0506));
        assert_eq!(cdb.range12(), LbaRange::new(0x0001_0203, 0x0405_0607));
        assert!(cdb.bit(1, 3) && cdb.bit(1, 4) && !cdb.bit(1, 5));
    }

    #[test]
    fn six_byte_commands_have_21_bits_and_256_blocks_for_zero() {
        assert_eq!(Cdb::new(&[8, 0xff, 0xff, 0xff, 0, 0]).range6(), LbaRange::new(0x1f_ffff, 256));
        assert_eq!(Cdb::new(&[8, 0, 0, 7, 3, 0]).range6(), LbaRange::new(7, 3));
    }

    #[test]
    fn beyond_the_end_is_zero() {
        assert_eq!(Cdb::new(&[0x88, 1]).be64(2), 0);
        assert_eq!(Cdb::new(&[]).u8(0), 0);
    }
}
