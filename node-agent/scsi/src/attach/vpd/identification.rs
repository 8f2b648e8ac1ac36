//! VPD pages that say who the unit is and through which ports it is reached: device identification and
//! SCSI ports.
//!
//! A ring does not tell through which port a command came. So the port of an INQUIRY is named only where
//! there is but one; its group is known always, since there is one for all ports.

use crate::{Access, Identity, ScsiDisk, TargetPort};

/// Bytes of the longest designator: their length has one byte, and a T10 VENDOR ID is cut to fit.
const LONGEST: usize = 248;

/// Page 83h (SPC-5 7.7.6).
pub(super) fn device_identification<B>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let id = &disk.config.identity;
    let mut page = [naa(id), t10_vendor_id(id), uuid(id)].concat();
    if let Some(access) = disk.access.borrow().as_ref() {
        page.extend(port_designators(access));
    }
    page
}

/// Page 88h (SPC-5 7.7.14), where the ports are known.
pub(super) fn scsi_ports<B>(disk: &ScsiDisk<B>) -> Option<Vec<u8>> {
    let access = disk.access.borrow();
    let ports = &access.as_ref().filter(|access| !access.ports.is_empty())?.ports;
    Some(ports.iter().flat_map(scsi_port).collect())
}

/// One SCSI port designation descriptor: a target port alone.
fn scsi_port(port: &TargetPort) -> Vec<u8> {
    let names = port_name(port);
    let len = u16::try_from(names.len()).unwrap_or(u16::MAX).to_be_bytes();
    let [high, low] = port.relative_id.to_be_bytes();
    [&[0, 0, high, low, 0, 0, 0, 0, 0, 0, len[0], len[1]], names.as_slice()].concat()
}

/// The designators of the port of this command, as far as it is known, of its group and of the device.
fn port_designators(access: &Access) -> Vec<u8> {
    let group = access.group.id.to_be_bytes();
    let group = [0, 0, group[0], group[1]];
    let mut list = designation(Association::TargetPort, CodeSet::Binary, DesignatorType::TargetPortGroup, &group);
    if let [port] = access.ports.as_slice() {
        let id = port.relative_id.to_be_bytes();
        let id = [0, 0, id[0], id[1]];
        list.extend(designation(Association::TargetPort, CodeSet::Binary, DesignatorType::RelativeTargetPort, &id));
        list.extend(port_name(port));
    }
    list
}

/// A port's SCSI name string, where it has one.
fn port_name(port: &TargetPort) -> Vec<u8> {
    if port.name.is_empty() {
        return Vec::new();
    }
    let mut name = cut(port.name.as_bytes()).to_vec();
    // Null-terminated, null-padded, a multiple of four bytes (SPC-5 7.7.6.11).
    name.resize((name.len() + 1).next_multiple_of(4), 0);
    designation(Association::TargetPort, CodeSet::Utf8, DesignatorType::ScsiNameString, &name)
}

/// ASSOCIATION of a designation descriptor (SPC-5 table 592).
#[derive(Clone, Copy)]
enum Association {
    LogicalUnit = 0,
    TargetPort = 1,
}

/// CODE SET of a designation descriptor (SPC-5 table 593).
#[derive(Clone, Copy)]
enum CodeSet {
    Binary = 1,
    Ascii = 2,
    Utf8 = 3,
}

/// DESIGNATOR TYPE (SPC-5 table 594).
#[derive(Clone, Copy)]
enum DesignatorType {
    T10VendorId = 0x1,
    Naa = 0x3,
    RelativeTargetPort = 0x4,
    TargetPortGroup = 0x5,
    ScsiNameString = 0x8,
    Uuid = 0xa,
}

/// The designation descriptor by which copy commands know the unit.
pub fn naa(id: &Identity) -> Vec<u8> {
    designation(Association::LogicalUnit, CodeSet::Binary, DesignatorType::Naa, &id.naa)
}

fn t10_vendor_id(id: &Identity) -> Vec<u8> {
    let name = [&id.vendor, id.serial.as_bytes()].concat();
    designation(Association::LogicalUnit, CodeSet::Ascii, DesignatorType::T10VendorId, cut(&name))
}

/// The designation descriptor of the unit's UUID, or nothing.
pub fn uuid(id: &Identity) -> Vec<u8> {
    const RFC_4122: u8 = 0x10;
    let designator = |uuid: &[u8; 16]| [&[RFC_4122, 0], &uuid[..]].concat();
    let described =
        |uuid| designation(Association::LogicalUnit, CodeSet::Binary, DesignatorType::Uuid, &designator(uuid));
    id.uuid.as_ref().map(described).unwrap_or_default()
}

fn cut(designator: &[u8]) -> &[u8] {
    &designator[..designator.len().min(LONGEST)]
}

/// A designation descriptor. PIV and the protocol identifier belong to the fabric, which is not known.
fn designation(association: Association, code_set: CodeSet, kind: DesignatorType, designator: &[u8]) -> Vec<u8> {
    let len = u8::try_from(designator.len()).unwrap_or(u8::MAX);
    [&[code_set as u8, (association as u8) << 4 | kind as u8, 0, len], designator].concat()
}
