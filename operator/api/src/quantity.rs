//! Sizes as Kubernetes quantities: `10Gi` is 10·2³⁰ bytes, `10G` is 10·10⁹, a bare number is bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A size as its author wrote it; [`Size::bytes`] is what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// Bytes.
    Bytes(i64),
    /// A quantity.
    Quantity(String),
}

/// Why a text is no size.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SizeError {
    /// Not a quantity at all.
    #[error(
        "size {0:?} is not a quantity: write bytes, or a number with Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P or E (10Gi)"
    )]
    Syntax(String),
    /// Zero or less.
    #[error("size {0} is not positive: a Lun needs at least one block")]
    NotPositive(String),
    /// Not a whole number of bytes.
    #[error("size {0} is not a whole number of bytes")]
    Fraction(String),
    /// More than 2⁶³-1 bytes.
    #[error("size {0} is not below 8Ei")]
    TooLarge(String),
}

/// Suffixes and what they multiply by.
const SUFFIXES: [(&str, u64); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("", 1),
];

impl Size {
    /// The size in bytes, at least one.
    ///
    /// # Errors
    /// When it is not a positive whole number of bytes.
    pub fn bytes(&self) -> Result<u64, SizeError> {
        match self {
            Self::Bytes(bytes) => positive(i128::from(*bytes), &bytes.to_string()),
            Self::Quantity(text) => parse(text),
        }
    }
}

fn positive(bytes: i128, text: &str) -> Result<u64, SizeError> {
    match bytes {
        ..=0 => Err(SizeError::NotPositive(text.to_owned())),
        _ if bytes > i128::from(i64::MAX) => Err(SizeError::TooLarge(text.to_owned())),
        _ => u64::try_from(bytes).map_err(|_| SizeError::TooLarge(text.to_owned())),
    }
}

fn parse(text: &str) -> Result<u64, SizeError> {
    let syntax = || SizeError::Syntax(text.to_owned());
    let (number, unit) =
        SUFFIXES.iter().find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|n| (n, *unit))).ok_or_else(syntax)?;
    let (sign, digits) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |s: &str| s.len() <= 18 && s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_number(whole) || !is_number(fraction) {
        return Err(syntax());
    }
    let value = |s: &str| if s.is_empty() { Ok(0) } else { i128::from_str(s).map_err(|_| syntax()) };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| syntax())?);
    let scaled = (value(whole)? * scale + value(fraction)?) * i128::from(unit);
    if scaled % scale != 0 {
        return Err(SizeError::Fraction(text.to_owned()));
    }
    positive(sign * scaled / scale, text)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Quantity(text) => f.write_str(text),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, SizeError> {
        Size::Quantity(text.to_owned()).bytes()
    }

    #[test]
    fn quantities_mean_what_kubernetes_says() {
        for (text, want) in [
            ("1", 1),
            ("1k", 1000),
            ("1Ki", 1024),
            ("10Gi", 10 << 30),
            ("1.5Gi", 3 << 29),
            ("2G", 2_000_000_000),
            ("0.5Ki", 512),
            ("1Ei", 1 << 60),
        ] {
            assert_eq!(bytes(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_why() {
        for text in ["", "Gi", "10GB", "ten", "1e3", "1_000", "0x10", " 1Gi", "1..2", "99999999999999999999"] {
            assert_eq!(bytes(text), Err(SizeError::Syntax(text.to_owned())));
        }
        for text in ["0", "-1Gi", "0.0Gi"] {
            assert_eq!(bytes(text), Err(SizeError::NotPositive(text.to_owned())));
        }
        assert_eq!(bytes("0.3"), Err(SizeError::Fraction("0.3".to_owned())));
        assert_eq!(bytes("9000000P"), Err(SizeError::TooLarge("9000000P".to_owned())));
        assert_eq!(bytes("8Ei"), Err(SizeError::TooLarge("8Ei".to_owned())));
        assert_eq!(Size::Bytes(-5).bytes(), Err(SizeError::NotPositive("-5".to_owned())));
    }
}
