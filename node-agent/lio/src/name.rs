//! The small names of an export: whose it is ([`Uid`]), its HBA and backstore, LUN numbers and TPG tags.
//!
//! Each is validated where it is made, so a path built from it cannot leave its directory and a control line
//! built from it cannot gain a second token. IQNs and portals have files of their own.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The identity of one LUN for its whole life, in practice a Kubernetes object's UID.
///
/// Lower-case letters, digits and `-`, starting with a letter or digit, at most 64 bytes: safe in a configfs name,
/// in an IQN and in TCMU's comma-separated control line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

/// A text that cannot be a [`Uid`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a LUN identity: use 1 to 64 lower-case letters, digits and '-', starting with a letter or digit"
)]
pub struct BadUid {
    /// The refused text.
    pub given: String,
}

impl Uid {
    const MAX: usize = 64;

    /// Checks the text and keeps it as it is.
    pub fn parse(text: &str) -> Result<Uid, BadUid> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let starts = text.bytes().next().is_some_and(|byte| byte != b'-');
        if starts && text.len() <= Self::MAX && text.bytes().all(legal) {
            Ok(Uid(text.to_owned()))
        } else {
            Err(BadUid { given: text.to_owned() })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Uid {
    type Err = BadUid;
    fn from_str(text: &str) -> Result<Uid, BadUid> {
        Uid::parse(text)
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The name of our device directory, `lunette-<uid>`; also the name of the symbolic links that point at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackstoreName(String);

impl BackstoreName {
    const PREFIX: &str = "lunette-";

    /// The one name that the backstore of this LUN has.
    pub fn of(uid: &Uid) -> BackstoreName {
        BackstoreName(format!("{}{uid}", Self::PREFIX))
    }

    /// Whose backstore a directory of this name would be; `None` if the name is not of our making.
    pub fn owner(directory: &str) -> Option<Uid> {
        Uid::parse(directory.strip_prefix(Self::PREFIX)?).ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackstoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `dev_config` of the backstore of this LUN.
///
/// Its first element is what tcmu-runner takes for a handler's name, so a tcmu-runner beside us leaves it alone.
pub(crate) fn dev_config(uid: &Uid) -> String {
    format!("lunette/{uid}")
}

/// The number in an HBA directory's name, `core/user_<n>`; a `u32` in the kernel (`core_alloc_hba`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct HbaNumber(pub u32);

impl HbaNumber {
    const FIRST: u32 = 0x1000_0000;
    const COUNT: u32 = 0x6000_0000;

    /// Where the HBA of this LUN goes unless that place is taken.
    ///
    /// A high range, for administrators and other programs count from 0; a hash, so that no directory of numbers
    /// has to be kept (FNV-1a: it must stay the same from one version of this program to the next).
    pub fn derived(uid: &Uid) -> HbaNumber {
        let hash =
            uid.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        HbaNumber(Self::FIRST + hash % Self::COUNT)
    }

    /// Whether the number lies in the range that only we use.
    pub fn is_derived(self) -> bool {
        (Self::FIRST..Self::FIRST + Self::COUNT).contains(&self.0)
    }

    /// The next place to look at when this one is taken; wraps within the range.
    pub fn next(self) -> HbaNumber {
        HbaNumber(Self::FIRST + (self.0.wrapping_sub(Self::FIRST) + 1) % Self::COUNT)
    }

    /// Reads the number from a directory name; `None` if it is not a TCMU HBA.
    pub fn from_directory(name: &str) -> Option<HbaNumber> {
        let digits = name.strip_prefix("user_")?;
        let canonical = digits == "0" || !digits.starts_with(['0', '+']);
        canonical.then(|| digits.parse().ok().map(HbaNumber)).flatten()
    }
}

impl fmt::Display for HbaNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user_{}", self.0)
    }
}

/// A logical unit number, within a TPG or as one initiator sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LunNumber(pub u64);

impl LunNumber {
    /// Reads the number from a directory name such as `lun_0`.
    pub fn from_directory(name: &str) -> Option<LunNumber> {
        name.strip_prefix("lun_")?.parse().ok().map(LunNumber).filter(|lun| lun.to_string() == name)
    }
}

impl fmt::Display for LunNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lun_{}", self.0)
    }
}

/// A target portal group tag (RFC 7143 §4.1: 16 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TpgTag(pub u16);

impl TpgTag {
    /// The one group that our targets have.
    pub const ONLY: TpgTag = TpgTag(1);

    /// Reads the tag from a directory name such as `tpgt_1`.
    pub fn from_directory(name: &str) -> Option<TpgTag> {
        name.strip_prefix("tpgt_")?.parse().ok().map(TpgTag).filter(|tag| tag.to_string() == name)
    }
}

impl fmt::Display for TpgTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tpgt_{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_that_could_escape_its_directory_or_control_line_is_refused() {
        for bad in ["", "-a", "a/b", "..", "a,dev_size=1", "A", "a b", "a\n", &"x".repeat(65)] {
            assert!(Uid::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Uid::parse("6f1c9d2e-8f4e-4b44-9a55-0a3c2f8d7e10").is_ok());
    }

    #[test]
    fn the_owner_of_a_backstore_is_read_back_from_its_name() {
        let uid = Uid::parse("a-1").unwrap();
        assert_eq!(BackstoreName::owner(BackstoreName::of(&uid).as_str()), Some(uid));
        assert_eq!(BackstoreName::owner("disk0"), None);
        assert_eq!(BackstoreName::owner("lunette-"), None);
    }

    #[test]
    fn hba_numbers_stay_in_their_range_and_never_change_between_versions() {
        let uid = Uid::parse("6f1c9d2e-8f4e-4b44-9a55-0a3c2f8d7e10").unwrap();
        assert_eq!(HbaNumber::derived(&uid), HbaNumber(0x1bdc_922c));
        assert!(HbaNumber::derived(&uid).is_derived() && !HbaNumber(7).is_derived());
        let last = HbaNumber(HbaNumber::FIRST + HbaNumber::COUNT - 1);
        assert_eq!(last, HbaNumber(0x6fff_ffff));
        assert_eq!(last.next(), HbaNumber(HbaNumber::FIRST));
    }

    #[test]
    fn only_canonical_directory_names_are_read() {
        assert_eq!(HbaNumber::from_directory("user_7"), Some(HbaNumber(7)));
        for other in ["user_07", "iblock_7", "user_x", "user_+7", "user_4294967296"] {
            assert_eq!(HbaNumber::from_directory(other), None, "{other}");
        }
        assert_eq!(LunNumber::from_directory("lun_00"), None);
        assert_eq!(TpgTag::from_directory("tpgt_1"), Some(TpgTag::ONLY));
    }
}
