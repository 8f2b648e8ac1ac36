//! The name of the Lun behind a volume: the volume's own where Kubernetes allows it as a name.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Longest name: the Lun's name is also a label's value.
const LONGEST: usize = 63;
/// Begins names that were made from others.
const PREFIX: &str = "vol-";

/// The Lun's name for a volume's: always the same for the same.
pub fn lun_name(volume: &str) -> String {
    if is_plain(volume) { volume.to_owned() } else { format!("{PREFIX}{}", digest(volume)) }
}

/// Whether it may be used as it is: a DNS label that none of ours could be taken for.
fn is_plain(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= LONGEST
        && !name.starts_with(PREFIX)
        && bytes.iter().all(|b| inner(*b) || *b == b'-')
        && bytes.first().is_some_and(|b| inner(*b))
        && bytes.last().is_some_and(|b| inner(*b))
}

/// 128 bits of SHA-256, in hexadecimal.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_kubernetes_allows_is_kept() {
        for name in ["pvc-3fa85f64-5717-4562-b3fc-2c963f66afa6", "a", &"a".repeat(63)] {
            assert_eq!(lun_name(name), name);
        }
    }

    #[test]
    fn any_other_becomes_one_that_is_allowed_and_its_own() {
        let odd = ["A", "a b", "-a", "a.b", "ä", &"a".repeat(64), &"a".repeat(128), "vol-0", "a/b"];
        let made: std::collections::BTreeSet<_> = odd.iter().map(|name| lun_name(name)).collect();
        assert_eq!(made.len(), odd.len());
        assert!(made.iter().all(|name| name.len() == 36 && name.starts_with(PREFIX)), "{made:?}");
    }
}
