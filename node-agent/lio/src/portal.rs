//! Network portals: the address and port at which a target listens.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::str::FromStr;

use serde::{Serialize, Serializer};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
