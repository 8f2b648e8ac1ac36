//! Vital product data pages (SPC-5 7.7, SBC-4 6.6): one table of pages, which page 00h lists.
//!
//! The pages of SBC are here; those that say who and where the unit is are in `identification`, what
//! it copies in `copying`, how it is provisioned in `attach::provisioning`, and the rest of SPC's in `general`.

mod copying;
mod general;
pub mod identification;

use lunette_backend::Backend;

use crate::ScsiDisk;
use crate::attach::provisioning::logical_block_provisioning;

/// One page: its code and what builds its bytes after the four of the header, or nothing where there is
/// nothing to say.
struct Page<B> {
    code: u8,
    body: fn(&ScsiDisk<B>) -> Option<Vec<u8>>,
}

/// The pages, in ascending order as page 00h must list them.
fn pages<B: Backend>() -> [Page<B>; 11] {
    [
        Page { code: 0x00, body: |disk| Some(supported_pages(disk)) },
        Page { code: 0x80, body: |disk| Some(unit_serial_number(disk)) },
        Page { code: 0x83, body: |disk| Some(identification::device_identification(disk)) },
        Page { code: 0x86, body: |disk| Some(general::extended_inquiry(disk)) },
        Page { code: 0x87, body: |_| Some(general::mode_page_policy()) },
        Page { code: 0x88, body: identification::scsi_ports },
        Page { code: 0x8f, body: |disk| Some(copying::third_party_copy(disk)) },
        Page { code: 0xb0, body: |disk| Some(block_limits(disk)) },
        Page { code: 0xb1, body: |disk| Some(block_device_characteristics(disk)) },
        Page { code: 0xb2, body: |disk| Some(logical_block_provisioning(disk)) },
        Page { code: 0xb7, body: |_| Some(block_limits_extension()) },
    ]
}

/// A whole page, or nothing for one that is not supported.
pub(super) fn page<B: Backend>(disk: &ScsiDisk<B>, code: u8) -> Option<Vec<u8>> {
    let page = pages::<B>().into_iter().find(|page| page.code == code)?;
    let body = (page.body)(disk)?;
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let [high, low] = len.to_be_bytes();
    Some([&[0, code, high, low], body.as_slice()].concat())
}

fn supported_pages<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    // Page 00h is one of them, and asking it here would not end.
    let supported = |page: &Page<B>| page.code == 0 || (page.body)(disk).is_some();
    pages::<B>().into_iter().filter(supported).map(|page| page.code).collect()
}

/// Its length has to fit one byte in SPC-2 initiators.
fn unit_serial_number<B>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let serial = disk.config.identity.serial.as_bytes();
    serial[..serial.len().min(252)].to_vec()
}

/// Page B0h (SBC-4 6.6.4).
fn block_limits<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let (block, limits, geometry) = (disk.block_size(), &disk.config.limits, disk.geometry());
    let max_transfer = limits.transfer_blocks(block);
    let mut p = [0; 64];
    p[5] = limits.max_compare_and_write;
    put16(&mut p, 6, blocks_of(geometry.physical_block_size, disk));
    put32(&mut p, 8, max_transfer);
    put32(&mut p, 12, blocks_of(optimal_transfer(disk), disk).min(max_transfer));
    if disk.support().discard {
        put32(&mut p, 20, limits.max_unmap_blocks);
        put32(&mut p, 24, limits.max_unmap_descriptors);
        put32(&mut p, 28, blocks_of(geometry.discard_granularity, disk));
        put32(&mut p, 32, 1 << 31); // UGAVALID, with an alignment of zero
    }
    p[36..44].copy_from_slice(&limits.write_same_blocks(block).to_be_bytes());
    put32(&mut p, 44, disk.atomic_blocks());
    p[4..].to_vec()
}

fn optimal_transfer<B: Backend>(disk: &ScsiDisk<B>) -> u32 {
    match disk.geometry().preferred_io {
        0 => disk.config.limits.optimal_transfer,
        preferred => preferred,
    }
}

fn blocks_of<B: Backend>(bytes: u32, disk: &ScsiDisk<B>) -> u32 {
    bytes / disk.block_size().bytes()
}

fn put16(page: &mut [u8], at: usize, value: u32) {
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    page[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put32(page: &mut [u8], at: usize, value: u32) {
    page[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Page B1h (SBC-4 6.6.3): a medium that does not rotate.
fn block_device_characteristics<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    const READS_AFTER_ERASE: u8 = 0x40;
    let mut p = [0; 64];
    put16(&mut p, 4, 1);
    if disk.support().discard {
        p[7] = READS_AFTER_ERASE; // WABEREQ 01b: what SANITIZE erased is read without an error
    }
    p[8] = 0x01; // VBULS: VERIFY compares unmapped blocks too
    p[4..].to_vec()
}

/// Page B7h (SBC-4 6.6.5): neither streams nor scattered writes.
fn block_limits_extension() -> Vec<u8> {
    vec![0; 28]
}
