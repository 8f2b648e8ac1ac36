//! What a Lun is called on the wire: derived from the object's UID alone, so that no name is ever used
//! for a second Lun.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The naming authority of every target of ours (RFC 7143 §4.2.7.4).
pub const IQN_PREFIX: &str = "iqn.2026-01.io.lunette";

/// The logical unit number of the one LUN that each target has.
pub const LUN_NUMBER: u32 = 0;

/// NAA-6 with LIO's registered company identifier 001405h (SPC-5 §7.7.3.6.4): the first 7 digits.
const NAA_PREFIX: &str = "6001405";

/// The target's iSCSI qualified name.
#[must_use]
pub fn iqn(uid: &str) -> String {
    format!("{IQN_PREFIX}:{}", uid.to_ascii_lowercase())
}

/// The device's identity: `naa.` and the 32 digits of an NAA IEEE Registered Extended designator whose
/// vendor-specific part is 100 bits of SHA-256 over the UID.
#[must_use]
pub fn wwid(uid: &str) -> String {
    let digest = Sha256::digest(uid.to_ascii_lowercase().as_bytes());
    let digits: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    format!("naa.{NAA_PREFIX}{}", &digits[..32 - NAA_PREFIX.len()])
}

/// The UID of a Lun that no API server has given one: the same for the same node, namespace, name and
/// incarnation. Incarnations count how often a Lun of that name was deleted with its data.
#[must_use]
pub fn local_uid(node: &str, namespace: &str, name: &str, incarnation: u64) -> String {
    let path = format!("{node}/{namespace}/{name}/{incarnation}");
    let domain = Uuid::new_v5(&Uuid::NAMESPACE_DNS, crate::GROUP.as_bytes());
    Uuid::new_v5(&domain, path.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

    #[test]
    fn a_uid_has_one_iqn_and_one_wwid() {
        assert_eq!(iqn(UID), format!("iqn.2026-01.io.lunette:{UID}"));
        let id = wwid(UID);
        assert!(id.starts_with("naa.6001405") && id.len() == 36, "{id}");
        assert_eq!(id, wwid(&UID.to_uppercase()));
        assert_ne!(id, wwid("3fa85f64-5717-4562-b3fc-2c963f66afa7"));
    }

    #[test]
    fn a_deleted_name_comes_back_as_another_lun() {
        let first = local_uid("a", "default", "db", 0);
        assert_eq!(first, local_uid("a", "default", "db", 0));
        for other in [local_uid("b", "default", "db", 0), local_uid("a", "default", "db", 1)] {
            assert_ne!(first, other);
        }
    }
}
