//! What a logical unit is told when it is opened: who it is, how much it takes at once, and which mode
//! parameters were in force before.

use std::io;

use crate::{Access, BlockSize, ModeState};

/// Keeps mode parameters over a restart of the process; called before MODE SELECT is acknowledged.
pub type KeepMode = Box<dyn Fn(ModeState) -> io::Result<()>>;

/// Everything that a logical unit is told when it is opened.
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// How much it takes at once.
    pub limits: Limits,
    /// The mode parameters to begin with: those that `keep_mode` was last given, or the default.
    pub mode: ModeState,
    /// Where mode parameters are kept. An initiator that turned the write cache off relies on that until
    /// it is told otherwise, and the ring gives no way to tell every initiator of a restart; so the bit
    /// is changeable only where its new value outlives the process.
    pub keep_mode: Option<KeepMode>,
    /// Whether LIO's core answers reservations for this LUN (`emulate_pr=1`), so that they are reported
    /// as supported.
    pub reservations: bool,
    /// How it can be reached, as far as its fabric has said; [`ScsiDisk::set_access`](crate::ScsiDisk::set_access)
    /// tells it what becomes known later.
    pub access: Option<Access>,
}

impl Config {
    /// A configuration with default limits and mode parameters.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            limits: Limits::default(),
            mode: ModeState::default(),
            keep_mode: None,
            reservations: true,
            access: None,
        }
    }
}

/// Who a logical unit is, for INQUIRY and its VPD pages. It never changes while the LUN exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The NAA designator (type 6h: IEEE Registered Extended), all 16 bytes (SPC-5 7.7.6.6.5).
    pub naa: [u8; 16],
    /// The unit serial number (VPD page 80h), ASCII; what is longer than 252 bytes is cut off.
    pub serial: String,
    /// The UUID designator (type Ah, SPC-5 7.7.6.12), where the unit has a UUID of its own.
    pub uuid: Option<[u8; 16]>,
    /// T10 VENDOR IDENTIFICATION, padded with spaces.
    pub vendor: [u8; 8],
    /// PRODUCT IDENTIFICATION, padded with spaces.
    pub product: [u8; 16],
    /// PRODUCT REVISION LEVEL, padded with spaces.
    pub revision: [u8; 4],
}

impl Identity {
    /// The identity of a Lunette LUN with this designator and serial number.
    #[must_use]
    pub fn new(naa: [u8; 16], serial: impl Into<String>) -> Self {
        Self {
            naa,
            serial: serial.into(),
            uuid: None,
            vendor: *b"LUNETTE ",
            product: *b"VIRTUAL DISK    ",
            revision: padded(env!("CARGO_PKG_VERSION").as_bytes()),
        }
    }
}

fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [b' '; N];
    let len = text.len().min(N);
    field[..len].copy_from_slice(&text[..len]);
    field
}

/// How much one command may ask for; told to initiators in VPD page B0h, and enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one READ, WRITE or VERIFY. Agree it with the backstore's `hw_max_sectors`.
    pub max_transfer: u32,
    /// Bytes of one READ or WRITE that suit the unit best, where its storage does not say. Initiators that know no
    /// better send no more at a time: long commands hold up short ones.
    pub optimal_transfer: u32,
    /// Bytes of one WRITE SAME.
    pub max_write_same: u64,
    /// Blocks of one UNMAP, over all its descriptors.
    pub max_unmap_blocks: u32,
    /// Descriptors of one UNMAP.
    pub max_unmap_descriptors: u32,
    /// Blocks of one COMPARE AND WRITE.
    pub max_compare_and_write: u8,
}

impl Default for Limits {
    /// One mebibyte at a time keeps a full queue within a data area of ordinary size; the limits of
    /// UNMAP and WRITE SAME bound how long one command can occupy the storage.
    fn default() -> Self {
        Self {
            max_transfer: 1 << 20,
            optimal_transfer: 512 << 10,
            max_write_same: 128 << 20,
            max_unmap_blocks: 1 << 20,
            max_unmap_descriptors: 256,
            max_compare_and_write: 32,
        }
    }
}

impl Limits {
    /// MAXIMUM TRANSFER LENGTH, in blocks; at least one.
    #[must_use]
    #[inline]
    pub fn transfer_blocks(&self, block: BlockSize) -> u32 {
        (self.max_transfer / block.bytes()).max(1)
    }

    /// MAXIMUM WRITE SAME LENGTH, in blocks; at least one.
    #[must_use]
    pub fn write_same_blocks(&self, block: BlockSize) -> u64 {
        block.blocks_in(self.max_write_same).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_padded_ascii_of_fixed_width() {
        let id = Identity::new([0x60; 16], "serial");
        assert_eq!(&id.vendor, b"LUNETTE ");
        assert_eq!(&id.product, b"VIRTUAL DISK    ");
        assert!(id.revision.iter().all(|b| b.is_ascii_graphic() || *b == b' '));
        assert_eq!(padded::<4>(b"0"), *b"0   ");
    }

    #[test]
    fn limits_in_blocks_are_never_zero() {
        let limits = Limits { max_transfer: 0, max_write_same: 100, ..Limits::default() };
        let block = BlockSize::new(4096);
        assert_eq!((limits.transfer_blocks(block), limits.write_same_blocks(block)), (1, 1));
        assert_eq!(Limits::default().transfer_blocks(BlockSize::new(512)), 2048);
    }
}
