//! CHAP logins, and the wrapper that keeps a secret out of logs, error texts and status output.
//!
//! LIO stores what is written byte by byte, so a newline would become part of the password, and it takes a text that
//! starts with `NULL` for "none" (`iscsi_target_nacl_auth`): both are refused here, with a reason.

use std::fmt;

use serde::{Serialize, Serializer};

/// A text that prints as `***`, and is compared without stopping at the first difference.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself: for the one write into configfs, nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        let longer = ours.len().max(theirs.len());
        let at = |bytes: &[u8], i: usize| bytes.get(i).copied().unwrap_or(0);
        let differing = (0..longer).fold(0, |bits, i| bits | (at(ours, i) ^ at(theirs, i)));
        std::hint::black_box(differing) == 0 && ours.len() == theirs.len()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// A CHAP name and secret (RFC 7143 §12.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Login {
    /// The CHAP name; not secret.
    pub user: String,
    /// The CHAP secret.
    pub password: Secret,
}

/// What an initiator must present, and what the target presents in return (mutual CHAP).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chap {
    /// The initiator proves this.
    pub initiator: Login,
    /// The target proves this, when the initiator asks.
    pub target: Option<Login>,
}

/// Why LIO could not hold a CHAP login. Never repeats the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChap {
    /// Nothing to write.
    #[error("the CHAP {what} is empty: give one, or leave CHAP out")]
    Empty {
        /// `name` or `secret`.
        what: &'static str,
    },
    /// LIO keeps 255 bytes (`MAX_USER_LEN`, `MAX_PASS_LEN`).
    #[error("the CHAP {what} has {length} bytes: 255 are allowed")]
    TooLong {
        /// `name` or `secret`.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// A newline or another control character, usually from a file made with a text editor.
    #[error(
        "the CHAP {what} holds a newline or another control character: create the Secret without it, for example with `printf %s`"
    )]
    Control {
        /// `name` or `secret`.
        what: &'static str,
    },
    /// LIO reads it as "no name" or "no secret".
    #[error("the CHAP {what} starts with NULL, which the kernel takes for none: choose another")]
    Null {
        /// `name` or `secret`.
        what: &'static str,
    },
    /// The same secret in both directions lets an initiator reflect the challenge (RFC 7143 §9.2.1).
    #[error("the CHAP secret and the mutual CHAP secret are the same: they must differ")]
    Reflected,
}

impl Login {
    /// Checks what LIO can hold. The least length of a secret is the caller's policy.
    pub fn new(user: impl Into<String>, password: Secret) -> Result<Login, BadChap> {
        let user = user.into();
        storable("name", &user)?;
        storable("secret", password.expose())?;
        Ok(Login { user, password })
    }
}

impl Chap {
    /// Joins the two directions; `target` is for mutual CHAP.
    pub fn new(initiator: Login, target: Option<Login>) -> Result<Chap, BadChap> {
        if target.as_ref().is_some_and(|login| login.password == initiator.password) {
            return Err(BadChap::Reflected);
        }
        Ok(Chap { initiator, target })
    }
}

fn storable(what: &'static str, text: &str) -> Result<(), BadChap> {
    match text {
        "" => Err(BadChap::Empty { what }),
        _ if text.len() > 255 => Err(BadChap::TooLong { what, length: text.len() }),
        _ if text.chars().any(char::is_control) => Err(BadChap::Control { what }),
        _ if text.starts_with("NULL") => Err(BadChap::Null { what }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Result<Login, BadChap> {
        Login::new(user, Secret::new(password))
    }

    #[test]
    fn a_secret_never_prints() {
        let chap = Chap::new(login("bob", "hunter2hunter2hunter2").unwrap(), None).unwrap();
        assert!(!format!("{chap:?} {} {:#?}", chap.initiator.password, chap.initiator).contains("hunter2"));
    }

    #[test]
    fn comparing_sees_length_and_content() {
        assert_eq!(Secret::new("abc"), Secret::new("abc"));
        assert_ne!(Secret::new("abc"), Secret::new("abd"));
        assert_ne!(Secret::new("abc"), Secret::new("abc\0"));
    }

    #[test]
    fn what_the_kernel_would_misread_is_refused_without_repeating_it() {
        assert_eq!(login("bob", "secret\n"), Err(BadChap::Control { what: "secret" }));
        assert_eq!(login("NULLuser", "s"), Err(BadChap::Null { what: "name" }));
        assert_eq!(login("bob", ""), Err(BadChap::Empty { what: "secret" }));
        assert_eq!(login("bob", &"x".repeat(256)), Err(BadChap::TooLong { what: "secret", length: 256 }));
        assert!(!login("bob", "hunter2\n").unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn both_directions_must_have_secrets_of_their_own() {
        let refused = Chap::new(login("a", "same").unwrap(), Some(login("b", "same").unwrap()));
        assert_eq!(refused, Err(BadChap::Reflected));
    }
}
