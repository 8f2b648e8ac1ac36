//! Network portals: the address and port at which a target listens, and why one cannot be opened.
//!
//! The kernel answers every failure to open a portal with EINVAL (`target_fabric_make_np`), and opens sockets for
//! addresses the node does not have (`IP_FREEBIND`), so the reason has to be found out from here.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::configfs::{Configfs, EntryKind};
use crate::node::Node;

/// An address and TCP port, printed as configfs wants it: `10.0.0.1:3260`, `[fd00::1]:3260`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Portal(SocketAddr);

/// Why a text is not a portal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a portal: {reason}")]
pub struct BadPortal {
    /// The refused text.
    pub given: String,
    /// What to write instead.
    pub reason: &'static str,
}

impl Portal {
    /// The port that IANA assigned to iSCSI targets.
    pub const DEFAULT_PORT: u16 = 3260;

    /// Reads `ADDRESS:PORT`, IPv6 in brackets, or a bare address, which stands for [`Portal::DEFAULT_PORT`] on it.
    pub fn parse(text: &str) -> Result<Portal, BadPortal> {
        let bad = |reason| BadPortal { given: text.to_owned(), reason };
        let bare = text.parse().map(|address: IpAddr| SocketAddr::new(address, Portal::DEFAULT_PORT));
        let address: SocketAddr = bare
            .or_else(|_| text.parse())
            .map_err(|_| bad("write ADDRESS:PORT, such as 10.0.0.1:3260 or [fd00::1]:3260"))?;
        Portal::try_from(address).map_err(|error| bad(error.reason))
    }

    /// Whether the address belongs to this node, as far as its network namespace goes.
    ///
    /// True too where the administrator has allowed to bind to any address (`ip_nonlocal_bind`), for one that moves.
    pub fn is_local(&self) -> bool {
        let any_port = SocketAddr::new(self.0.ip(), 0);
        !TcpListener::bind(any_port).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
    }

    /// The address and port.
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

impl TryFrom<SocketAddr> for Portal {
    type Error = BadPortal;
    fn try_from(address: SocketAddr) -> Result<Portal, BadPortal> {
        unusable(&address).map_or(Ok(Portal(address)), |reason| Err(BadPortal { given: address.to_string(), reason }))
    }
}

fn unusable(address: &SocketAddr) -> Option<&'static str> {
    let ip = address.ip();
    let scoped = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0 || v6.ip().is_unicast_link_local());
    let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    match () {
        () if address.port() == 0 => Some("a port is needed, such as 3260"),
        () if ip.is_multicast() => Some("a multicast address cannot accept connections"),
        () if scoped => Some("a link-local address is ambiguous: use a global or unique local one"),
        () if mapped => Some("write the IPv4 address itself"),
        () => None,
    }
}

impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Portal {
    type Err = BadPortal;
    fn from_str(text: &str) -> Result<Portal, BadPortal> {
        Portal::parse(text)
    }
}

impl Serialize for Portal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a portal cannot be opened on this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortalTrouble {
    /// No interface has it.
    #[error("portal {portal} cannot be opened: {} is not an address of this node; give one of its addresses (see `ip address`)", portal.0.ip())]
    NotLocal {
        /// The portal asked for.
        portal: Portal,
    },
    /// Another program, or a target on `0.0.0.0` or `[::]`, listens there.
    #[error("portal {portal} cannot be opened: the port is in use; see `ss -ltnp sport = :{}`, then stop that program or choose another port", portal.0.port())]
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
    TcpListener::bind(portal.0).err().map(|error| match error.kind() {
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
    fn both_families_print_as_configfs_wants_them() {
        assert_eq!(Portal::parse("10.0.0.1:3260").unwrap().to_string(), "10.0.0.1:3260");
        assert_eq!(Portal::parse("[FD00:0::1]:3260").unwrap().to_string(), "[fd00::1]:3260");
    }

    #[test]
    fn a_bare_address_means_the_assigned_port() {
        assert_eq!(Portal::parse("10.0.0.1").unwrap().to_string(), "10.0.0.1:3260");
        assert_eq!(Portal::parse("fd00::1").unwrap().to_string(), "[fd00::1]:3260");
    }

    #[test]
    fn each_refusal_says_what_to_write() {
        let reason = |text: &str| Portal::parse(text).unwrap_err().reason;
        for form in ["10.0.0", "host:3260", "fd00::1:3260x", "10.0.0.1:99999", ""] {
            assert!(reason(form).starts_with("write ADDRESS:PORT"), "{form}");
        }
        assert!(reason("10.0.0.1:0").contains("a port is needed"));
        assert!(reason("[fe80::1]:3260").contains("link-local"));
        assert!(reason("[::ffff:10.0.0.1]:3260").contains("IPv4"));
        assert!(reason("224.0.0.1:3260").contains("multicast"));
    }

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
