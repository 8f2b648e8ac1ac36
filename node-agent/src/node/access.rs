//! How a LUN can be reached, from the kernel's words to SCSI's.

use lunette_lio::{Configfs, Found, Iqn, Port, Ports};
use lunette_scsi::{Access, AccessState, PortGroup, TargetPort};

/// Reads the ports of the LUN that was found. Nothing where it has none yet, or where the kernel does not
/// say: a LUN serves without, and initiators then see no port groups.
pub fn read(fs: &dyn Configfs, found: &Found, target: &Iqn) -> Option<Access> {
    let ports = lunette_lio::ports(fs, found, target);
    let ports = ports.inspect_err(|error| tracing::warn!(uid = %found.uid, %error, "target ports are not known"));
    ports.ok().flatten().and_then(access)
}

/// The same in SCSI's words; nothing for a group without ports, or in a state that SPC does not know.
fn access(ports: Ports) -> Option<Access> {
    let Ports { group, ports } = ports;
    let state = AccessState::from_code(group.state)?;
    let port = |Port { relative_id, name }| TargetPort { relative_id, name };
    let group = PortGroup {
        id: group.id,
        state,
        supported: group.supported.into_iter().filter_map(AccessState::from_code).collect(),
        preferred: group.preferred,
        implicit: group.implicit,
        explicit: group.explicit,
        transition_seconds: group.transition_seconds,
    };
    (!ports.is_empty()).then(|| Access { group, ports: ports.into_iter().map(port).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(state: u8, names: &[&str]) -> Ports {
        let group = lunette_lio::PortGroup { id: 4, state, supported: vec![0, 5, 0xf], ..Default::default() };
        let port = |name: &&str| Port { relative_id: 9, name: (*name).to_owned() };
        Ports { group, ports: names.iter().map(port).collect() }
    }

    #[test]
    fn the_kernels_group_becomes_that_of_the_lun() {
        let access = access(ports(2, &["a"])).unwrap();
        assert_eq!((access.group.id, access.group.state), (4, AccessState::Standby));
        assert_eq!(access.group.supported, [AccessState::ActiveOptimized, AccessState::Transitioning]);
        assert_eq!(access.ports, [TargetPort { relative_id: 9, name: "a".to_owned() }]);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_there_or_not_understood() {
        assert_eq!(access(ports(0, &[])), None);
        assert_eq!(access(ports(7, &["a"])), None);
    }
}
