//! The volume under a game: which kind it is, by one byte.

use lunette_backend::Discard;

use crate::lun::Lun;
use crate::oracle::Volume;

/// As the bench has it.
const LONGEST_TRANSFER: usize = 32 << 10;

/// A logical unit, and the volume that the oracle takes it for.
pub fn of_kind(byte: u8) -> (Lun, Volume) {
    let discard = [Discard::Zeroes, Discard::Unspecified, Discard::Unsupported][usize::from(byte % 3)];
    let lun = Lun::with(
        |geometry| {
            geometry.discard = discard;
            geometry.read_only = byte & 0x10 != 0;
            geometry.block_size = if byte & 0x20 != 0 { 4096 } else { 512 };
            geometry.volatile_cache = byte & 0x40 == 0;
        },
        |_| (),
    );
    let volume = Volume::of(&lun, LONGEST_TRANSFER);
    (lun, volume)
}
