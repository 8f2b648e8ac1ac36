//! CHAP credentials of one node for one volume, made here and kept in a Secret only.

use std::fmt;

use lunette_api::Lun;
use rustls::crypto::GetRandomFailed;

use super::name::digest;

/// What the names of these Secrets begin with; the admission policy knows it too.
const PREFIX: &str = "lunette-csi-";
/// Their type; the admission policy knows it too.
pub const SECRET_TYPE: &str = "lunette.io/chap";
/// Random bytes of a password: as many bits as a key of AES-128, more than the 96 that RFC 7143 §9.2.1 asks for.
const RANDOM: usize = 16;

/// A user name and a password.
pub struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// New ones, from the system's generator by way of the TLS library's.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Self, GetRandomFailed> {
        let mut random = [0; RANDOM * 2];
        rustls::crypto::ring::default_provider().secure_random.fill(&mut random)?;
        let (name, word) = random.split_at(RANDOM);
        Ok(Self { username: format!("csi-{}", &hex(name)[..16]), password: hex(word) })
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password; for a Secret only.
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(<secret>)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The name of the Secret for that node: of that very Lun, so that a later one of its name has others.
pub fn secret_name(lun: &Lun, node: &str) -> String {
    format!("{PREFIX}{}", digest(&format!("{}/{node}", lun.metadata.uid.as_deref().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_random_long_and_not_shown() {
        let (a, b) = (Credentials::generate().expect("random"), Credentials::generate().expect("random"));
        assert_ne!(a.password(), b.password());
        assert_ne!(a.username(), b.username());
        assert_eq!((a.username().len(), a.password().len()), (20, 32));
        assert!(!format!("{a:?}").contains(a.password()));
    }

    #[test]
    fn the_admission_policy_knows_the_same_prefix_and_type() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/install.yaml"));
        assert!(manifest.contains(&format!("variables.name.startsWith('{PREFIX}')")));
        assert!(manifest.contains(&format!("'{SECRET_TYPE}'")));
    }
}
