//! What would keep the kernel from listening on a portal.
//!
//! The kernel answers every failure to open a portal with EINVAL (`target_fabric_make_np`), and opens sockets for
//! addresses the node does not have (`IP_FREEBIND`), so the reason has to be found out from here.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::configfs::{Configfs, EntryKind};
use crate::node::Node;
use crate::portal::Portal;

/// Why a portal cannot be opened on this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortalTrouble {
    /// No interface has it.
    #[error("portal {portal} cannot be opened: {} is not an address of this node; give one of its addresses (see `ip address`)", portal.address().ip())]
    NotLocal {
        /// The portal asked for.
        portal: Portal,
    },
    /// Another program, or a target on `0.0.0.0` or `[::]`, listens there.
    #[error("portal {portal} cannot be opened: the port is in use; see `ss -ltnp sport = :{}`, then stop that program or choose another port", portal.address().port())]
    InUse {
        /// The portal asked for.
        portal: Portal,
    },
    /// The probe itself failed otherwise.
    #[error("portal {portal} cannot be opened: {reason}")]
    Other {
        /// The portal asked for.
        portal: Portal,
        /// The operating system's words.
        reason: String,
    },
}

/// Looks for what would keep the kernel from serving on this portal, in the caller's network namespace.
///
/// Opens and closes a socket. `None`: nothing found, or LIO listens there already (targets share a portal).
pub fn portal_trouble(fs: &dyn Configfs, portal: &Portal) -> Option<PortalTrouble> {
    if !portal.is_local() {
        return Some(PortalTrouble::NotLocal { portal: *portal });
    }
    if lio_listens(fs, portal) {
        return None;
    }
    TcpListener::bind(portal.address()).err().map(|error| match error.kind() {
        ErrorKind::AddrInUse => PortalTrouble::InUse { portal: *portal },
        _ => PortalTrouble::Other { portal: *portal, reason: error.to_string() },
    })
}

/// Whether a target, ours or not, has this very portal.
fn lio_listens(fs: &dyn Configfs, portal: &Portal) -> bool {
    let directories = |node: Node| {
        let entries = fs.list(&node).unwrap_or_default();
        entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory).map(move |entry| node.child(entry.name))
    };
    directories(Node::iscsi()).flat_map(directories).any(|tpg| fs.list(&tpg.portal(portal)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configfs::Fake;

    #[test]
    fn a_port_in_use_and_a_stranger_address_are_told_apart() {
        let fs = Fake::new();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let portal = Portal::try_from(taken.local_addr().unwrap()).unwrap();
        assert_eq!(portal_trouble(&fs, &portal), Some(PortalTrouble::InUse { portal }));
        drop(taken);
        assert_eq!(portal_trouble(&fs, &portal), None);
        // TEST-NET-1 (RFC 5737) is nobody's address.
        let stranger = Portal::parse("192.0.2.1:3260").unwrap();
        assert_eq!(portal_trouble(&fs, &stranger), Some(PortalTrouble::NotLocal { portal: stranger }));
    }
}
