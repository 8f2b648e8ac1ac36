//! The target ports of a LUN and the group that they form, as the kernel numbers them.
//!
//! Every LUN that is linked to a backstore joins its `default_tg_pt_gp` (`target_core_alua.c`); LIO's core
//! leaves it to the backstore's server to tell initiators of it. Relative port identifiers are made by the
//! kernel: counted for each device until 6.4, for the whole node from 6.5 on; the port's statistics show
//! either.

use serde::Serialize;

use super::{ReadError, number, optional_number, text};
use crate::configfs::Configfs;
use crate::iqn::Iqn;
use crate::name::{LunNumber, TpgTag};
use crate::node::Node;
use crate::tree::Found;

/// The ports of one LUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// The group that they are all in.
    pub group: PortGroup,
    /// In the order of their relative identifiers.
    pub ports: Vec<Port>,
}

/// A target port group, `core/user_<n>/<name>/alua/default_tg_pt_gp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortGroup {
    /// `tg_pt_gp_id`.
    pub id: u16,
    /// `alua_access_state`: the code of SPC.
    pub state: u8,
    /// The codes of the states whose `alua_support_…` is set, ascending.
    pub supported: Vec<u8>,
    /// `preferred`.
    pub preferred: bool,
    /// Whether `alua_access_type` allows changes by the target.
    pub implicit: bool,
    /// Whether it allows changes by initiators.
    pub explicit: bool,
    /// `implicit_trans_secs`.
    pub transition_seconds: u8,
}

/// A target port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Port {
    /// The relative port identifier.
    pub relative_id: u16,
    /// Its SCSI name: the target's, and the group's tag (RFC 7143 4.2.7.1); empty where the fabric gives none.
    pub name: String,
}

/// The states of SPC by their codes, and the attributes that say whether the group supports them.
const STATES: [(u8, &str); 7] = [
    (0x0, "alua_support_active_optimized"),
    (0x1, "alua_support_active_nonoptimized"),
    (0x2, "alua_support_standby"),
    (0x3, "alua_support_unavailable"),
    (0x4, "alua_support_lba_dependent"),
    (0xe, "alua_support_offline"),
    (0xf, "alua_support_transitioning"),
];

/// Reads the ports of the LUN whose backstore was found and whose target has this name; `None` while it has
/// no backstore. Ports that were made since it was found count too.
///
/// # Errors
/// When configfs cannot be read.
pub fn ports(fs: &dyn Configfs, found: &Found, target: &Iqn) -> Result<Option<Ports>, ReadError> {
    let group = found.device().child("alua/default_tg_pt_gp");
    if text(fs, &group.child("tg_pt_gp_id"))?.is_none() {
        return Ok(None);
    }
    Ok(Some(Ports { group: read_group(fs, &group)?, ports: read_ports(fs, found, target)? }))
}

fn read_group(fs: &dyn Configfs, group: &Node) -> Result<PortGroup, ReadError> {
    let access_type = text(fs, &group.child("alua_access_type"))?.unwrap_or_default();
    let mut supported = Vec::new();
    for (code, attribute) in STATES {
        if number::<u8>(fs, &group.child(attribute))? != 0 {
            supported.push(code);
        }
    }
    Ok(PortGroup {
        id: number(fs, &group.child("tg_pt_gp_id"))?,
        state: number(fs, &group.child("alua_access_state"))?,
        supported,
        preferred: number::<u8>(fs, &group.child("preferred"))? != 0,
        implicit: access_type.contains("Implicit"),
        explicit: access_type.contains("Explicit"),
        transition_seconds: number(fs, &group.child("implicit_trans_secs"))?,
    })
}

/// The port of the network, and that of the local disk, whose fabric gives it no SCSI name.
fn read_ports(fs: &dyn Configfs, found: &Found, target: &Iqn) -> Result<Vec<Port>, ReadError> {
    let network = (Node::tpg(target, TpgTag::ONLY), format!("{target},t,0x{:04x}", TpgTag::ONLY.0));
    let local = (Node::loop_tpg(&found.uid), String::new());
    let mut ports = Vec::new();
    for (tpg, name) in [network, local] {
        // The kernel has no number for a LUN that leads nowhere.
        let index = tpg.lun(LunNumber(0)).child("statistics/scsi_port/indx");
        if let Some(relative_id) = optional_number(fs, &index)? {
            ports.push(Port { relative_id, name });
        }
    }
    ports.sort();
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{export, initiator, kernel_with, read, target};
    use crate::tree::Acl;

    #[test]
    fn the_ports_of_a_linked_lun_are_those_of_the_kernel() {
        let fs = kernel_with(&export([(initiator("alice"), Acl::new(None, false))]));
        let found = read(&fs);
        let ports = ports(&fs, &found, &target()).unwrap().unwrap();
        let group = PortGroup {
            supported: vec![0x0, 0x1, 0x2, 0x3, 0x4, 0xe, 0xf],
            implicit: true,
            explicit: true,
            ..PortGroup::default()
        };
        assert_eq!(ports.group, group);
        assert_eq!(ports.ports, [Port { relative_id: 1, name: format!("{},t,0x0001", target()) }]);
    }

    #[test]
    fn what_an_admin_changed_in_the_group_is_seen() {
        let fs = kernel_with(&export([]));
        let found = read(&fs);
        let group = found.device().child("alua/default_tg_pt_gp");
        for (attribute, value) in [
            ("alua_access_state", "2"),
            ("alua_access_type", "Implicit"),
            ("preferred", "1"),
            ("alua_support_offline", "0"),
        ] {
            fs.overwrite(&group.child(attribute), value);
        }
        let group = ports(&fs, &found, &target()).unwrap().unwrap().group;
        assert_eq!((group.state, group.preferred, group.implicit, group.explicit), (2, true, true, false));
        assert!(!group.supported.contains(&0xe));
    }

    #[test]
    fn a_lun_without_backstore_has_no_ports() {
        let fs = crate::configfs::Fake::new();
        assert_eq!(ports(&fs, &read(&fs), &target()).unwrap(), None);
    }
}
