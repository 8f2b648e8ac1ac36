//! Logical block provisioning (SBC-4 4.7) as initiators are told of it: VPD page B2h, and the unit that space is
//! counted in.
//!
//! A unit that knows its space says so in log page 0Ch, in threshold sets. No threshold can be set on it: the ring
//! does not tell initiators apart, so whoever set one would not be the one who hears of it.

use lunette_backend::{Backend, Discard, Space};

use crate::ScsiDisk;

/// Bytes of a threshold set: the unit of what log page 0Ch counts.
pub const THRESHOLD_SET: u64 = 1 << 20;

impl<B: Backend> ScsiDisk<B> {
    /// Its space, where it is provisioned on demand and its storage can tell.
    pub(crate) fn space(&self) -> Option<Space> {
        let on_demand = self.support().discard && self.geometry().thin;
        if on_demand { self.disk.space() } else { None }
    }
}

/// Page B2h (SBC-4 6.6.7).
pub fn logical_block_provisioning<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    const LBPU: u8 = 0x80;
    const LBPWS: u8 = 0x40;
    const LBPWS10: u8 = 0x20;
    const LBPRZ_ZEROES: u8 = 0x04;
    let geometry = disk.geometry();
    let flags = match geometry.discard {
        Discard::Unsupported => 0,
        Discard::Zeroes => LBPU | LBPWS | LBPWS10 | LBPRZ_ZEROES,
        Discard::Unspecified => LBPU | LBPWS | LBPWS10,
    };
    // PROVISIONING TYPE: 2 thin, 1 resource provisioned, 0 none that is reported.
    let provisioning = match (disk.support().discard, geometry.thin) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    };
    vec![threshold_exponent(disk), flags, provisioning, 0]
}

/// THRESHOLD EXPONENT: the blocks of a threshold set, as a power of two; zero where space is not counted.
fn threshold_exponent<B: Backend>(disk: &ScsiDisk<B>) -> u8 {
    let blocks = disk.block_size().blocks_in(THRESHOLD_SET);
    let exponent = disk.space().and_then(|_| blocks.checked_ilog2()).unwrap_or(0);
    u8::try_from(exponent).unwrap_or(0)
}
