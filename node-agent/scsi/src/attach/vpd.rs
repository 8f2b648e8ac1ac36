//! Vital product data pages (SPC-5 7.7, SBC-4 6.6): one table of pages, which page 00h lists.

use lunette_backend::{Backend, Discard};

use crate::{Identity, ScsiDisk};

/// One page: its code and what builds its bytes after the four of the header.
struct Page<B> {
    code: u8,
    body: fn(&ScsiDisk<B>) -> Vec<u8>,
}

/// The pages, in ascending order as page 00h must list them.
fn pages<B: Backend>() -> [Page<B>; 6] {
    [
        Page { code: 0x00, body: supported_pages },
        Page { code: 0x80, body: unit_serial_number },
        Page { code: 0x83, body: device_identification },
        Page { code: 0xb0, body: block_limits },
        Page { code: 0xb1, body: block_device_characteristics },
        Page { code: 0xb2, body: logical_block_provisioning },
    ]
}

/// A whole page, or nothing for one that is not supported.
pub(super) fn page<B: Backend>(disk: &ScsiDisk<B>, code: u8) -> Option<Vec<u8>> {
    let page = pages::<B>().into_iter().find(|page| page.code == code)?;
    let body = (page.body)(disk);
    let len = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let [high, low] = len.to_be_bytes();
    Some([&[0, code, high, low], body.as_slice()].concat())
}

fn supported_pages<B: Backend>(_: &ScsiDisk<B>) -> Vec<u8> {
    pages::<B>().iter().map(|page| page.code).collect()
}

/// Its length has to fit one byte in SPC-2 initiators.
fn unit_serial_number<B>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let serial = disk.config.identity.serial.as_bytes();
    serial[..serial.len().min(252)].to_vec()
}

/// Designation descriptors. Those of target ports and target port groups would join here.
fn device_identification<B>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let id = &disk.config.identity;
    [naa(id), t10_vendor_id(id)].concat()
}

/// CODE SET of a designation descriptor (SPC-5 table 593).
#[derive(Clone, Copy)]
enum CodeSet {
    Binary = 1,
    Ascii = 2,
}

/// DESIGNATOR TYPE, associated with the logical unit (SPC-5 table 594).
#[derive(Clone, Copy)]
enum DesignatorType {
    T10VendorId = 1,
    Naa = 3,
}

fn naa(id: &Identity) -> Vec<u8> {
    designation(CodeSet::Binary, DesignatorType::Naa, &id.naa)
}

fn t10_vendor_id(id: &Identity) -> Vec<u8> {
    let serial = id.serial.as_bytes();
    let name = [&id.vendor, &serial[..serial.len().min(240)]].concat();
    designation(CodeSet::Ascii, DesignatorType::T10VendorId, &name)
}

fn designation(code_set: CodeSet, kind: DesignatorType, designator: &[u8]) -> Vec<u8> {
    let len = u8::try_from(designator.len()).expect("designators are at most 248 bytes");
    [&[code_set as u8, kind as u8, 0, len], designator].concat()
}

/// Page B0h (SBC-4 6.6.4).
fn block_limits<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let (block, limits, geometry) = (disk.block_size(), &disk.config.limits, disk.geometry());
    let max_transfer = limits.transfer_blocks(block);
    let mut p = [0; 64];
    p[4] = 0x01; // WSNZ: a WRITE SAME of zero blocks is refused
    p[5] = limits.max_compare_and_write;
    put16(&mut p, 6, blocks_of(geometry.physical_block_size, disk));
    put32(&mut p, 8, max_transfer);
    put32(&mut p, 12, blocks_of(geometry.preferred_io, disk).min(max_transfer));
    if disk.support().discard {
        put32(&mut p, 20, limits.max_unmap_blocks);
        put32(&mut p, 24, limits.max_unmap_descriptors);
        put32(&mut p, 28, blocks_of(geometry.discard_granularity, disk));
        put32(&mut p, 32, 1 << 31); // UGAVALID, with an alignment of zero
    }
    p[36..44].copy_from_slice(&limits.write_same_blocks(block).to_be_bytes());
    p[4..].to_vec()
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
fn block_device_characteristics<B>(_: &ScsiDisk<B>) -> Vec<u8> {
    let mut p = [0; 64];
    put16(&mut p, 4, 1);
    p[8] = 0x01; // VBULS: VERIFY compares unmapped blocks too
    p[4..].to_vec()
}

/// Page B2h (SBC-4 6.6.7).
fn logical_block_provisioning<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
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
    vec![0, flags, provisioning, 0]
}
