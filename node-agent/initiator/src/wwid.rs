//! A disk's identity: the NAA designator of its VPD page 83h (SPC-5 §7.7.6).

use std::fmt;
use std::str::FromStr;

/// An NAA designator, as `naa.` and 16 or 32 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wwid(String);

/// A text that is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no disk's identity: it is naa. with 16 or 32 hexadecimal digits")]
pub struct BadWwid {
    /// The refused text.
    pub given: String,
}

/// Code set: binary (SPC-5 table 485).
const BINARY: u8 = 1;
/// Designator type: NAA (SPC-5 table 487).
const NAA: u8 = 3;
/// Association: the addressed logical unit (SPC-5 table 486).
const LOGICAL_UNIT: u8 = 0;

impl Wwid {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first NAA designator of the logical unit in a VPD page 83h; `None` if it has none, or is malformed.
    pub fn in_page_83(page: &[u8]) -> Option<Wwid> {
        let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
        let mut rest = page.get(4..4 + length)?;
        while let [codes, kind, _, length, tail @ ..] = rest {
            let designator = tail.get(..usize::from(*length))?;
            let is_ours = (codes & 0x0f, (kind >> 4) & 3, kind & 0x0f) == (BINARY, LOGICAL_UNIT, NAA);
            if is_ours && matches!(designator.len(), 8 | 16) {
                return Some(Wwid(format!("naa.{}", hexadecimal(designator))));
            }
            rest = tail.get(usize::from(*length)..)?;
        }
        None
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FromStr for Wwid {
    type Err = BadWwid;
    fn from_str(text: &str) -> Result<Wwid, BadWwid> {
        let lower = text.to_ascii_lowercase();
        let digits = lower.strip_prefix("naa.").unwrap_or_default();
        let good = matches!(digits.len(), 16 | 32) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if good { Ok(Wwid(lower)) } else { Err(BadWwid { given: text.to_owned() }) }
    }
}

impl fmt::Display for Wwid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAA_6: [u8; 16] = [0x60, 0x01, 0x40, 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn page(designators: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (codes, kind, bytes) in designators {
            body.extend([*codes, *kind, 0, u8::try_from(bytes.len()).unwrap()]);
            body.extend(*bytes);
        }
        let mut page = vec![0, 0x83];
        page.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        page.extend(body);
        page
    }

    #[test]
    fn the_logical_units_own_naa_is_its_identity() {
        let other_kinds: [(u8, u8, &[u8]); 3] =
            [(2, 1, b"LIO-ORG disk"), (1, 0x13, &[0x50, 0, 0, 0, 0, 0, 0, 1]), (1, 0x14, &[0, 0, 0, 1])];
        let found = Wwid::in_page_83(&page(&[&other_kinds[..], &[(1, 3, &NAA_6)]].concat()));
        assert_eq!(found, Some("naa.6001405a0102030405060708090a0b0c".parse().unwrap()));
        assert_eq!(Wwid::in_page_83(&page(&other_kinds)), None, "a port's name is not the disk's");
    }

    #[test]
    fn a_page_that_ends_early_is_no_identity_and_no_panic() {
        let whole = page(&[(1, 3, &NAA_6)]);
        for length in 0..whole.len() {
            assert_eq!(Wwid::in_page_83(&whole[..length]), None, "{length}");
        }
        let mut lying = whole;
        lying[7] = 255;
        assert_eq!(Wwid::in_page_83(&lying), None);
    }

    #[test]
    fn an_identity_is_written_in_one_way() {
        let wwid: Wwid = "naa.6001405A0102030405060708090A0B0C".parse().unwrap();
        assert_eq!(wwid.as_str(), "naa.6001405a0102030405060708090a0b0c");
        for bad in ["", "6001405a", "naa.6001", "naa.g001405a01020304", "t10.x"] {
            assert!(bad.parse::<Wwid>().is_err(), "{bad}");
        }
    }
}
