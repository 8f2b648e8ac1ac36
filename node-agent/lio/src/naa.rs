//! Names of the SCSI ports of a local disk: NAA locally assigned (SPC-5 §7.7.3.6.5), made from the LUN's UID.
//!
//! tcm_loop takes `naa.` and 16 digits for a SAS port (`tcm_loop_make_scsi_hba`). The kind that is for local
//! use, 3h, has 60 bits to be given freely: 16 say that the name is of our making, the rest are a hash.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::name::Uid;

/// The name of a SCSI port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Naa(String);

impl Naa {
    /// Begins the names of our target ports.
    const TARGET: &str = "naa.310e7";
    /// Begins the names of our initiator ports.
    const INITIATOR: &str = "naa.310e8";

    /// The target port of this LUN's local disk.
    pub fn target(uid: &Uid) -> Naa {
        Naa(format!("{}{}", Self::TARGET, digits(uid)))
    }

    /// The initiator port by which this machine reaches that target.
    pub fn initiator(uid: &Uid) -> Naa {
        Naa(format!("{}{}", Self::INITIATOR, digits(uid)))
    }

    /// Whether a target port of this name is of our making.
    pub fn is_our_target(name: &str) -> bool {
        let rest = name.strip_prefix(Self::TARGET);
        rest.is_some_and(|rest| rest.len() == 11 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 44 bits in hexadecimal (FNV-1a of 64 bits; it must stay the same from one version of this program to the next).
fn digits(uid: &Uid) -> String {
    let bytes = uid.as_str().bytes();
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{:011x}", (hash ^ (hash >> 44)) & 0x0fff_ffff_ffff)
}

impl fmt::Display for Naa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Naa {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_are_known_as_ours_and_never_change_between_versions() {
        let uid = Uid::parse("6f1c9d2e-8f4e-4b44-9a55-0a3c2f8d7e10").unwrap();
        let (target, initiator) = (Naa::target(&uid), Naa::initiator(&uid));
        assert_eq!(target.as_str(), "naa.310e749f3388cecf");
        assert_eq!(target.as_str().len(), "naa.".len() + 16);
        assert_eq!(target.as_str()[9..], initiator.as_str()[9..]);
        assert!(Naa::is_our_target(target.as_str()) && !Naa::is_our_target(initiator.as_str()));
        assert_ne!(target, Naa::target(&Uid::parse("neighbour").unwrap()));
    }

    #[test]
    fn names_of_others_are_not_taken_for_ours() {
        for name in ["naa.5001405aabbccdde", "naa.310e7", "naa.310e70123456789z", "naa.310e7012345678901", "x"] {
            assert!(!Naa::is_our_target(name), "{name}");
        }
    }
}
