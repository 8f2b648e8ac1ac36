//! VPD pages of SPC that say how the unit behaves: extended INQUIRY data and mode page policy.

use lunette_backend::Backend;

use crate::ScsiDisk;
use crate::sense::SENSE_LEN;

/// Page 86h (SPC-5 7.7.7). What is not set is not so: no protection information, no ordered or
/// head-of-queue tasks (LIO's core hands commands to a ring without their task attributes), no groups, no
/// priorities, no microcode, no snapshots.
pub(super) fn extended_inquiry<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    const SIMPSUP: u8 = 0x01;
    const V_SUP: u8 = 0x01;
    let mut p = vec![0; 60];
    p[1] = SIMPSUP;
    p[2] = if disk.geometry().volatile_cache { V_SUP } else { 0 };
    p[9] = u8::try_from(SENSE_LEN).unwrap_or(u8::MAX); // MAXIMUM SUPPORTED SENSE DATA LENGTH
    p
}

/// Page 87h (SPC-5 7.7.12): every mode page is shared by all initiators.
pub(super) fn mode_page_policy() -> Vec<u8> {
    const ALL_PAGES: u8 = 0x3f;
    const ALL_SUBPAGES: u8 = 0xff;
    const SHARED: u8 = 0x00;
    vec![ALL_PAGES, ALL_SUBPAGES, SHARED, 0]
}
