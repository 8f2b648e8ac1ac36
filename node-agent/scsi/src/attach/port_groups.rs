//! REPORT TARGET PORT GROUPS and SET TARGET PORT GROUPS (SPC-5 6.37, 6.45).
//!
//! What is reported is what the fabric has. Setting a group to the state that it is in is done, since
//! nothing is to do; a unit is served by one gateway, so there is no other state that a request could
//! bring about.

use lunette_iobuf::DataBuf;

use crate::access::{AccessState, PortGroup};
use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::parameter_list;
use crate::{Access, Op, Outcome, ScsiDisk, Sense, SenseKey, asc};

/// REPORT TARGET PORT GROUPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortGroupReport {
    /// Whether the extended header is wanted (PARAMETER DATA FORMAT 001b).
    pub extended: bool,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

pub(crate) fn parse_report_port_groups(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let extended = match cdb.u8(1) >> 5 {
        0 => false,
        1 => true,
        _ => return Err(Cdb::invalid(1, 7)),
    };
    Ok(Op::ReportTargetPortGroups(PortGroupReport { extended, allocation: cdb.be32(6) }))
}

pub(crate) fn parse_set_port_groups(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::SetTargetPortGroups { len: cdb.be32(6) })
}

pub(crate) fn report_port_groups<B>(disk: &ScsiDisk<B>, report: PortGroupReport) -> Result<Vec<u8>, Sense> {
    const EXTENDED_HEADER: u8 = 0x10;
    let access = disk.access.borrow();
    let access = access.as_ref().filter(|access| access.group.tpgs() != 0).ok_or(NO_GROUPS)?;
    let header: &[u8] = if report.extended { &[EXTENDED_HEADER, access.group.transition_seconds, 0, 0] } else { &[] };
    let groups = group_descriptor(access);
    let len = u32::try_from(header.len() + groups.len()).unwrap_or(u32::MAX);
    Ok([&len.to_be_bytes(), header, groups.as_slice()].concat())
}

/// What a unit answers whose ports are not known, or not in groups.
const NO_GROUPS: Sense = Sense::illegal(asc::INVALID_OPERATION_CODE);

fn group_descriptor(access: &Access) -> Vec<u8> {
    const PREF: u8 = 0x80;
    let group = &access.group;
    let [high, low] = group.id.to_be_bytes();
    let preferred = if group.preferred { PREF } else { 0 };
    let count = u8::try_from(access.ports.len()).unwrap_or(u8::MAX);
    // STATUS CODE zero: nothing changed the state.
    let mut d = vec![preferred | group.state as u8, group.supported_bits(), high, low, 0, 0, 0, count];
    for port in access.ports.iter().take(usize::from(count)) {
        let [high, low] = port.relative_id.to_be_bytes();
        d.extend([0, 0, high, low]);
    }
    d
}

pub(crate) fn set_port_groups<B>(disk: &ScsiDisk<B>, len: u32, data: &DataBuf) -> Answer {
    const HEADER: usize = 4;
    let access = disk.access.borrow();
    let group = access.as_ref().map(|access| &access.group).filter(|group| group.explicit).ok_or(NO_GROUPS)?;
    if len == 0 {
        return Ok(Outcome::good());
    }
    let list = parameter_list(data, len)?;
    let descriptors = list.get(HEADER..).filter(|list| list.len().is_multiple_of(4));
    let descriptors = descriptors.ok_or(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR))?;
    for (i, descriptor) in descriptors.chunks_exact(4).enumerate() {
        check_request(group, descriptor, HEADER + 4 * i)?;
    }
    Ok(Outcome::good())
}

/// Whether the request, at byte `at` of the list, is for the state that the group is in.
fn check_request(group: &PortGroup, descriptor: &[u8], at: usize) -> Result<(), Sense> {
    if u16::from_be_bytes([descriptor[2], descriptor[3]]) != group.id {
        return Err(Sense::parameter(at + 2));
    }
    let wanted = AccessState::from_code(descriptor[0] & 0x0f).filter(|state| group.supported.contains(state));
    match wanted {
        Some(state) if state == group.state => Ok(()),
        Some(_) => Err(Sense::new(SenseKey::HardwareError, asc::SET_TARGET_PORT_GROUPS_FAILED)),
        None => Err(Sense::parameter(at)),
    }
}
