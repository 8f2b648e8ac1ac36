//! READ CAPACITY 10 and 16 (SBC-4 5.20, 5.21): the last block, its size, and how blocks are provisioned.

use lunette_backend::{Backend, Discard};

use crate::cdb::Cdb;
use crate::{Op, ScsiDisk, Sense};

pub(crate) fn parse_read_capacity10(_: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReadCapacity10)
}

pub(crate) fn parse_read_capacity16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ReadCapacity16 { allocation: cdb.be32(10) })
}

/// An address that four bytes cannot hold is FFFFFFFFh: ask READ CAPACITY (16).
pub(crate) fn read_capacity10<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let last = u32::try_from(last_lba(disk)).unwrap_or(u32::MAX);
    [last.to_be_bytes(), disk.geometry().block_size.to_be_bytes()].concat()
}

pub(crate) fn read_capacity16<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    const LBPME: u8 = 0x80;
    const LBPRZ: u8 = 0x40;
    let geometry = disk.geometry();
    let mut d = vec![0; 32];
    d[..8].copy_from_slice(&last_lba(disk).to_be_bytes());
    d[8..12].copy_from_slice(&geometry.block_size.to_be_bytes());
    d[13] = physical_exponent(geometry.block_size, geometry.physical_block_size);
    d[14] = match geometry.discard {
        Discard::Unsupported => 0,
        Discard::Unspecified => LBPME,
        Discard::Zeroes => LBPME | LBPRZ,
    };
    d
}

fn last_lba<B: Backend>(disk: &ScsiDisk<B>) -> u64 {
    disk.capacity().saturating_sub(1)
}

/// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT: a power of two in four bits.
fn physical_exponent(logical: u32, physical: u32) -> u8 {
    let ratio = (physical / logical.max(1)).max(1);
    u8::try_from(ratio.ilog2().min(15)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::physical_exponent;

    #[test]
    fn the_exponent_is_of_whole_powers_of_two() {
        assert_eq!(physical_exponent(512, 4096), 3);
        assert_eq!(physical_exponent(4096, 4096), 0);
        assert_eq!(physical_exponent(4096, 512), 0);
        assert_eq!(physical_exponent(512, 3 * 512), 1);
        assert_eq!(physical_exponent(0, 0), 0);
    }
}
