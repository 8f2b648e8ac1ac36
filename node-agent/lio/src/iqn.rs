//! iSCSI names (RFC 7143 §4.2.7, RFC 3722): validating, and normalised to lower case.
//!
//! `iqn.`, and for initiators whose firmware has them the rare `eui.` and `naa.`; of ASCII only. LIO compares names
//! byte by byte, after it has lowered the case of what the initiator sent (`iscsi_target_locate_portal`). So a name
//! that differs in case only is the same name here too.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::name::Uid;

/// The iSCSI name of a target or an initiator, in lower case: almost always an iSCSI qualified name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iqn(String);

/// Why a text is not an IQN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIqn {
    /// RFC 7143 §4.2.7.1: at most 223 bytes.
    #[error("the iSCSI name {given:?} has {} bytes: 223 are allowed", given.len())]
    TooLong {
        /// The refused text.
        given: String,
    },
    /// A byte that RFC 3722 prohibits.
    #[error("the iSCSI name {given:?} holds {found:?}: only letters, digits, '-', '.' and ':' are allowed")]
    Character {
        /// The refused text.
        given: String,
        /// The first offending character.
        found: char,
    },
    /// Not `iqn.yyyy-mm.authority[:name]`, nor `eui.` or `naa.` with their digits.
    #[error(
        "{given:?} is not an iSCSI name: write iqn.YYYY-MM.reversed.domain:name, such as iqn.2026-01.com.example:host-1, or eui. with 16 or naa. with 16 or 32 hexadecimal digits"
    )]
    Form {
        /// The refused text.
        given: String,
    },
}

impl Iqn {
    const MAX: usize = 223;

    /// Checks the text and lowers its case.
    pub fn parse(text: &str) -> Result<Iqn, BadIqn> {
        let given = || text.to_owned();
        if text.len() > Self::MAX {
            return Err(BadIqn::TooLong { given: given() });
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
        if let Some(found) = text.chars().find(|&c| !legal(c)) {
            return Err(BadIqn::Character { given: given(), found });
        }
        let lower = text.to_ascii_lowercase();
        if well_formed(&lower) { Ok(Iqn(lower)) } else { Err(BadIqn::Form { given: given() }) }
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn well_formed(text: &str) -> bool {
    match text.split_once('.') {
        Some(("iqn", rest)) => is_qualified(rest),
        Some(("eui", digits)) => is_hexadecimal(digits, &[16]),
        Some(("naa", digits)) => is_hexadecimal(digits, &[16, 32]),
        _ => false,
    }
}

fn is_hexadecimal(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `yyyy-mm.` and a naming authority of non-empty labels, then optionally `:` and a non-empty rest.
fn is_qualified(rest: &str) -> bool {
    let (authority, local) = match rest.split_once(':') {
        Some((authority, local)) => (authority, Some(local)),
        None => (rest, None),
    };
    let mut labels = authority.split('.');
    labels.next().is_some_and(is_year_month)
        && authority.contains('.')
        && labels.all(|label| !label.is_empty())
        && local != Some("")
}

fn is_year_month(text: &str) -> bool {
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('-') {
        Some((year, month)) => digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month),
        None => false,
    }
}

impl fmt::Display for Iqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Iqn {
    type Err = BadIqn;
    fn from_str(text: &str) -> Result<Iqn, BadIqn> {
        Iqn::parse(text)
    }
}

impl Serialize for Iqn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What every target of ours begins with; the LUN's identity follows after a `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IqnPrefix(Iqn);

impl IqnPrefix {
    /// Checks that targets can be named under it: an IQN, with room left for `:` and any identity.
    pub fn parse(text: &str) -> Result<IqnPrefix, BadIqn> {
        let longest = format!("{text}:{}", "x".repeat(64));
        Iqn::parse(&longest)?;
        Iqn::parse(text).map(IqnPrefix)
    }

    /// The target of this LUN.
    pub fn target(&self, uid: &Uid) -> Iqn {
        Iqn(format!("{}:{uid}", self.0))
    }

    /// Whose target this is; `None` if it is not one of ours.
    pub fn owner(&self, target: &str) -> Option<Uid> {
        Uid::parse(target.strip_prefix(self.0.as_str())?.strip_prefix(':')?).ok()
    }
}

impl Default for IqnPrefix {
    fn default() -> IqnPrefix {
        IqnPrefix(Iqn("iqn.2026-01.io.lunette".to_owned()))
    }
}

impl fmt::Display for IqnPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_are_accepted_and_lowered() {
        for good in [
            "iqn.1993-08.org.debian:01:abcdef",
            "iqn.1991-05.com.microsoft:win-1.corp.example",
            "iqn.2001-04.com.example",
            "eui.02004567a425678d",
            "naa.62004567ba64678d0123456789abcdef",
        ] {
            assert_eq!(Iqn::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Iqn::parse("IQN.1991-05.com.Microsoft:WIN").unwrap().as_str(), "iqn.1991-05.com.microsoft:win");
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let message = |text: &str| Iqn::parse(text).unwrap_err().to_string();
        assert!(message(&format!("iqn.2026-01.io.x:{}", "a".repeat(223))).contains("223 are allowed"));
        assert!(message("iqn.2026-01.io.x:a/b").contains("holds '/'"));
        assert!(message("iqn.2026-01.io.x:a\n").contains("holds '\\n'"));
        for form in [
            "",
            "eui.02004567a425678",
            "naa.5200",
            "iqn.2026-13.io.x",
            "iqn.2026-1.io.x",
            "iqn.2026-01",
            "iqn.2026-01.",
            "iqn.2026-01..x",
            "iqn.2026-01.io:",
        ] {
            assert!(message(form).contains("write iqn.YYYY-MM"), "{form}");
        }
    }

    #[test]
    fn a_name_of_exactly_223_bytes_is_legal() {
        let head = "iqn.2026-01.io.x:";
        let text = format!("{head}{}", "a".repeat(223 - head.len()));
        assert_eq!(Iqn::parse(&text).unwrap().as_str().len(), 223);
    }

    #[test]
    fn the_owner_of_a_target_is_read_back_from_its_name() {
        let prefix = IqnPrefix::default();
        let uid = Uid::parse("a-1").unwrap();
        assert_eq!(prefix.owner(prefix.target(&uid).as_str()), Some(uid));
        for foreign in ["iqn.2026-01.io.lunette-other:a", "iqn.2026-01.io.lunette", "iqn.2003-01.org.linux-iscsi:a"] {
            assert_eq!(prefix.owner(foreign), None, "{foreign}");
        }
    }
}
