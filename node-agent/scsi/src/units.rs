//! Blocks and bytes, kept apart by type: an [`Lba`] counts logical blocks, a [`ByteRange`] bytes.
//!
//! The only way from one to the other is [`LbaRange::bytes`], which cannot overflow in silence.

/// The address of a logical block (SBC-4 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lba(pub u64);

/// The size of a logical block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    /// Takes a size in bytes; zero counts as one, so that dividing by it is always defined.
    #[must_use]
    #[inline]
    pub fn new(bytes: u32) -> Self {
        Self(bytes.max(1))
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// How many whole blocks fit into `bytes`.
    #[must_use]
    pub fn blocks_in(self, bytes: u64) -> u64 {
        bytes / u64::from(self.0)
    }
}

/// A run of logical blocks, as a CDB or a parameter list names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LbaRange {
    /// The first block.
    pub lba: Lba,
    /// How many blocks.
    pub blocks: u32,
}

impl LbaRange {
    /// A run of `blocks` blocks from `lba`.
    #[must_use]
    pub fn new(lba: u64, blocks: u32) -> Self {
        Self { lba: Lba(lba), blocks }
    }

    /// Whether all of it lies below block `capacity`. An empty run may lie at the very end.
    #[must_use]
    pub fn is_within(self, capacity: u64) -> bool {
        self.lba.0.checked_add(u64::from(self.blocks)).is_some_and(|end| end <= capacity)
    }

    /// The same run in bytes, unless that does not fit 64 bits.
    #[must_use]
    pub fn bytes(self, block: BlockSize) -> Option<ByteRange> {
        let at = self.lba.0.checked_mul(u64::from(block.0))?;
        let len = u64::from(self.blocks) * u64::from(block.0);
        at.checked_add(len).map(|_| ByteRange { at, len })
    }
}

/// A run of bytes of the volume; its end does not overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

impl ByteRange {
    /// The byte after the last.
    #[must_use]
    pub fn end(self) -> u64 {
        self.at.saturating_add(self.len)
    }

    /// Whether the two have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.len > 0 && other.len > 0 && self.at < other.end() && other.at < self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_within_the_capacity_or_is_outside() {
        assert!(LbaRange::new(9, 1).is_within(10));
        assert!(LbaRange::new(10, 0).is_within(10));
        assert!(!LbaRange::new(11, 0).is_within(10));
        assert!(!LbaRange::new(9, 2).is_within(10));
        assert!(!LbaRange::new(u64::MAX, 1).is_within(u64::MAX));
    }

    #[test]
    fn bytes_never_overflow() {
        let block = BlockSize::new(4096);
        assert_eq!(LbaRange::new(3, 2).bytes(block), Some(ByteRange { at: 12288, len: 8192 }));
        assert_eq!(LbaRange::new(u64::MAX / 4096, 0).bytes(block).map(|r| r.len), Some(0));
        assert_eq!(LbaRange::new(u64::MAX / 4096, 2).bytes(block), None);
        assert_eq!(LbaRange::new(u64::MAX, 1).bytes(block), None);
    }

    #[test]
    fn only_common_bytes_overlap() {
        let range = |at, len| ByteRange { at, len };
        assert!(range(0, 10).overlaps(range(9, 1)));
        assert!(!range(0, 10).overlaps(range(10, 1)));
        assert!(!range(0, 10).overlaps(range(5, 0)));
    }
}
