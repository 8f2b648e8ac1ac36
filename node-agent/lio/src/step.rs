//! One change to configfs, as data. What it prints is a log line, and never shows a secret.

use std::fmt;

use serde::Serialize;

use crate::node::Node;
use crate::secret::Secret;

/// One change to configfs. Every one may be repeated: what is already so counts as done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Make a directory, and with it the kernel's object.
    Mkdir(Node),
    /// Remove a directory. It may sleep until the kernel lets go of the object.
    Rmdir(Node),
    /// Write an attribute with one `write(2)`.
    Write {
        /// The attribute's file.
        attr: Node,
        /// What is written.
        value: Value,
        /// Whether a kernel without this file counts as done.
        optional: bool,
    },
    /// Make a symbolic link.
    Link {
        /// Where the link stands.
        link: Node,
        /// What it points at.
        to: Node,
    },
    /// Remove a symbolic link. On a LUN it waits for the commands that are running there.
    Unlink(Node),
    /// Write 1 to the `enable` file of this directory.
    Enable(Node),
    /// Write 0 to the `enable` file of this directory; ends its sessions.
    Disable(Node),
}

/// What is written into an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Value {
    /// Anybody may read it.
    Plain(String),
    /// Prints as `***`.
    Secret(Secret),
}

impl Value {
    /// The bytes to write: without a newline, which LIO would keep.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Plain(text) => text.as_bytes(),
            Value::Secret(secret) => secret.expose().as_bytes(),
        }
    }
}

impl Step {
    /// A write that must succeed.
    pub(crate) fn write(attr: Node, value: impl Into<String>) -> Step {
        Step::Write { attr, value: Value::Plain(value.into()), optional: false }
    }

    /// A write of what must not be shown.
    pub(crate) fn write_secret(attr: Node, secret: Secret) -> Step {
        Step::Write { attr, value: Value::Secret(secret), optional: false }
    }

    /// The place that the step changes.
    pub fn node(&self) -> &Node {
        match self {
            Step::Mkdir(node) | Step::Rmdir(node) | Step::Unlink(node) | Step::Enable(node) | Step::Disable(node) => {
                node
            }
            Step::Write { attr, .. } => attr,
            Step::Link { link, .. } => link,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Plain(text) => write!(f, "{text:?}"),
            Value::Secret(secret) => secret.fmt(f),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Mkdir(node) => write!(f, "mkdir {node}"),
            Step::Rmdir(node) => write!(f, "rmdir {node}"),
            Step::Write { attr, value, .. } => write!(f, "write {value} to {attr}"),
            Step::Link { link, to } => write!(f, "link {link} to {to}"),
            Step::Unlink(link) => write!(f, "unlink {link}"),
            Step::Enable(node) => write!(f, "enable {node}"),
            Step::Disable(node) => write!(f, "disable {node}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_never_shows_a_secret() {
        let attr = Node::core().child("password");
        let step = Step::write_secret(attr.clone(), Secret::new("hunter2"));
        assert_eq!(step.to_string(), "write *** to core/password");
        assert!(!format!("{step:?}").contains("hunter2"));
        assert_eq!(Step::write(attr, "a b").to_string(), "write \"a b\" to core/password");
    }
}
