//! A Secret's keys, made into what LIO asks at login. No value of a Secret ever leaves this file but
//! inside the type that hides it.

use lunette_api::conditions::reasons;
use lunette_lio::{BadChap, Chap, Login, Secret};

use crate::source::SecretData;
use crate::trouble::Trouble;

/// Bytes of the shortest CHAP secret that is taken; RFC 7143 §9.2.1 asks for 96 bits where there is no
/// IPsec, and what people type has less in it than bytes.
pub const SHORTEST: usize = 16;

/// The CHAP credentials in a Secret: `username` and `password`, and for mutual CHAP `mutualUsername` and
/// `mutualPassword`.
///
/// # Errors
/// Which key is missing or unfit, and what to do; never its value.
pub fn chap(secret: &str, data: &SecretData) -> Result<Chap, Trouble> {
    let login = login(secret, data, "username", "password")?.ok_or_else(|| missing(secret, "username"))?;
    let mutual = self::login(secret, data, "mutualUsername", "mutualPassword")?;
    Chap::new(login, mutual).map_err(|error| unfit(secret, &error))
}

fn login(secret: &str, data: &SecretData, user: &str, password: &str) -> Result<Option<Login>, Trouble> {
    let (name, word) = match (data.get(user), data.get(password)) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing(secret, password)),
        (None, Some(_)) => return Err(missing(secret, user)),
        (Some(name), Some(word)) => (text(secret, user, name)?, text(secret, password, word)?),
    };
    let login = Login::new(name, Secret::new(word)).map_err(|error| unfit(secret, &error))?;
    match login.password.expose().len() {
        length if length < SHORTEST => Err(too_short(secret, password, length)),
        _ => Ok(Some(login)),
    }
}

fn text(secret: &str, key: &str, value: &[u8]) -> Result<String, Trouble> {
    String::from_utf8(value.to_vec())
        .map_err(|_| trouble(format!("Secret {secret}: {key} is not text: give it printable characters")))
}

fn missing(secret: &str, key: &str) -> Trouble {
    trouble(format!(
        "Secret {secret} has no key {key}: CHAP needs username and password, and mutual CHAP mutualUsername and mutualPassword too"
    ))
}

fn too_short(secret: &str, key: &str, length: usize) -> Trouble {
    trouble(format!("Secret {secret}: {key} has {length} bytes: a CHAP secret needs at least {SHORTEST}"))
}

fn unfit(secret: &str, error: &BadChap) -> Trouble {
    trouble(format!("Secret {secret}: {error}"))
}

fn trouble(message: String) -> Trouble {
    Trouble::new(reasons::SECRET_UNUSABLE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn message(pairs: &[(&str, &str)]) -> String {
        let trouble = chap("client", &data(pairs)).unwrap_err();
        assert_eq!(trouble.reason, reasons::SECRET_UNUSABLE);
        trouble.message
    }

    const GOOD: [(&str, &str); 2] = [("username", "app"), ("password", "sixteen-bytes-ok")];

    #[test]
    fn both_directions_are_read() {
        let one_way = chap("client", &data(&GOOD)).unwrap();
        assert_eq!((one_way.initiator.user.as_str(), one_way.target), ("app", None));
        let mutual = [GOOD[0], GOOD[1], ("mutualUsername", "target"), ("mutualPassword", "another-sixteen-b")];
        let both = chap("client", &data(&mutual)).unwrap();
        assert_eq!(both.target.map(|login| login.user), Some("target".to_owned()));
    }

    #[test]
    fn what_is_unfit_says_which_key_and_why() {
        let keys = "CHAP needs username and password, and mutual CHAP mutualUsername and mutualPassword too";
        assert_eq!(message(&[]), format!("Secret client has no key username: {keys}"));
        assert_eq!(message(&GOOD[..1]), format!("Secret client has no key password: {keys}"));
        assert_eq!(
            message(&[GOOD[0], ("password", "too-short")]),
            "Secret client: password has 9 bytes: a CHAP secret needs at least 16"
        );
        assert!(message(&[GOOD[0], ("password", "sixteen-bytes-ok\n")]).contains("holds a newline"));
        let reflected = [GOOD[0], GOOD[1], ("mutualUsername", "t"), ("mutualPassword", "sixteen-bytes-ok")];
        assert!(message(&reflected).contains("they must differ"));
    }

    #[test]
    fn no_message_repeats_a_secret() {
        for pairs in [
            vec![GOOD[0], ("password", "hunter2")],
            vec![("password", "hunter2")],
            vec![GOOD[0], ("password", "hunter2\n")],
        ] {
            assert!(!message(&pairs).contains("hunter2"));
        }
    }
}
