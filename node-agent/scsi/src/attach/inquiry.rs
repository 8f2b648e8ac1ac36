//! INQUIRY (SPC-5 6.7): the standard data; the vital product data pages are next door, in `vpd`.

use lunette_backend::Backend;

use crate::attach::vpd;
use crate::cdb::Cdb;
use crate::{Access, Identity, Op, ScsiDisk, Sense};

/// INQUIRY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The vital product data page, where EVPD is set.
    pub page: Option<u8>,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

/// Bytes of standard INQUIRY data: all that SPC-5 defines.
const STANDARD_LEN: u8 = 96;

/// SPC-4. The newest that libiscsi's suite and older initiators know of as a VERSION; the version
/// descriptors name the newer standards too.
const VERSION: u8 = 0x06;

/// Version descriptors (SPC-5 table 153): no particular revision is claimed.
const VERSION_DESCRIPTORS: [u16; 6] = [
    0x00a0, // SAM-5
    0x0460, // SPC-4
    0x05c0, // SPC-5
    0x04c0, // SBC-3
    0x0600, // SBC-4
    0x0960, // iSCSI
];

pub(crate) fn parse_inquiry(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let (evpd, page) = (cdb.bit(1, 0), cdb.u8(2));
    if !evpd && page != 0 {
        return Err(Cdb::invalid(2, 7));
    }
    Ok(Op::Inquiry(Inquiry { page: evpd.then_some(page), allocation: u32::from(cdb.be16(3)) }))
}

pub(crate) fn inquiry<B: Backend>(disk: &ScsiDisk<B>, inquiry: Inquiry) -> Result<Vec<u8>, Sense> {
    match inquiry.page {
        None => Ok(standard(&disk.config.identity, disk.access.borrow().as_ref()).to_vec()),
        Some(page) => vpd::page(disk, page).ok_or_else(|| Cdb::invalid(2, 7)),
    }
}

fn standard(id: &Identity, access: Option<&Access>) -> [u8; STANDARD_LEN as usize] {
    const THIRD_PARTY_COPY: u8 = 0x08;
    const MULTIP: u8 = 0x10;
    let mut d = [0; STANDARD_LEN as usize];
    // Byte 0: a connected direct access block device. Byte 1: not removable.
    d[2] = VERSION;
    d[3] = 0x02; // RESPONSE DATA FORMAT
    d[4] = STANDARD_LEN - 5;
    d[5] = THIRD_PARTY_COPY;
    if let Some(access) = access {
        d[5] |= access.group.tpgs() << 4;
        d[6] = if access.ports.len() > 1 { MULTIP } else { 0 };
    }
    d[7] = 0x02; // CMDQUE
    d[8..16].copy_from_slice(&id.vendor);
    d[16..32].copy_from_slice(&id.product);
    d[32..36].copy_from_slice(&id.revision);
    for (field, version) in d[58..74].chunks_exact_mut(2).zip(VERSION_DESCRIPTORS) {
        field.copy_from_slice(&version.to_be_bytes());
    }
    d
}
