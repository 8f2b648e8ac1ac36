//! When a successor is to be handed over to: the first word that it says.

use super::PROTOCOL;
use super::wire::words;

/// When a successor that is ready is to be handed over to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// When the agent is told to stop.
    AtItsEnd,
}

/// What a successor says first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting<'a> {
    pub when: When,
    /// What it calls the protocol that it speaks.
    pub protocol: &'a str,
    /// What it calls its version.
    pub version: &'a str,
}

impl When {
    fn word(self) -> &'static str {
        match self {
            Self::Now => "succeed",
            Self::AtItsEnd => "stand-by",
        }
    }

    /// What this program says to be handed over to then.
    pub(super) fn greeting(self) -> String {
        format!("{} {PROTOCOL} {}", self.word(), env!("CARGO_PKG_VERSION"))
    }
}

impl<'a> Greeting<'a> {
    /// Reads the line; `None`: it is something else.
    pub fn read(line: &'a str) -> Option<Self> {
        let (word, rest) = words(line);
        let when = [When::Now, When::AtItsEnd].into_iter().find(|when| when.word() == word)?;
        let (protocol, version) = words(rest);
        Some(Self { when, protocol, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_read() {
        for when in [When::Now, When::AtItsEnd] {
            let line = when.greeting();
            let read = Greeting::read(&line).expect("it is a greeting");
            assert_eq!((read.when, read.protocol), (when, PROTOCOL.to_string().as_str()));
            assert_eq!(read.version, env!("CARGO_PKG_VERSION"));
        }
        assert_eq!(Greeting::read("status"), None);
    }
}
