//! Why another node's LUN is not attached, or not detached.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::DiskError;

/// Why not, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum IscsiError {
    /// The disk itself.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// open-iscsi cannot be called.
    #[error("cannot run iscsiadm: {0}; install open-iscsi (iscsi-initiator-utils) on this machine, and start iscsid")]
    NotThere(std::io::Error),
    /// It does not come back.
    #[error("iscsiadm has not come back for {seconds} s: is iscsid running (`systemctl status iscsid`)? see `dmesg`")]
    Stuck {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Somebody else is at it, and does not come to an end.
    #[error(
        "another login or logout of {target} on this machine has not ended for {seconds} s: the kernel may wait for its disk, see `dmesg` and `ps -eLo stat,comm,wchan | grep ^D`"
    )]
    Busy {
        /// The target.
        target: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The login was refused.
    #[error(
        "{portal} refuses this machine's login to {target}: its initiator name must be on the Lun's list, with the right CHAP Secret; the target's `dmesg` says which is wrong"
    )]
    Refused {
        /// Where.
        portal: SocketAddr,
        /// The target.
        target: String,
    },
    /// iscsiadm failed otherwise.
    #[error("iscsiadm cannot {what} {target}: status {status}: {said}")]
    Failed {
        /// What it was to do.
        what: &'static str,
        /// The target.
        target: String,
        /// Its exit status (iscsiadm(8), "EXIT STATUS").
        status: i32,
        /// What it printed.
        said: String,
    },
    /// The Lun has no portal.
    #[error("target {target} has no portal yet: wait until the Lun is Ready")]
    NoPortal {
        /// The target.
        target: String,
    },
    /// The login went well and nothing came of it.
    #[error(
        "the login to {target} succeeded and the kernel shows no session: is this the machine that iscsid runs on?"
    )]
    NoSession {
        /// The target.
        target: String,
    },
    /// The session that there is waits for its target.
    #[error(
        "the session with {target} was lost and has not come back yet: its node is away (`kubectl get luns,lunnodes`), or lets this one in no more"
    )]
    Lost {
        /// The target.
        target: String,
    },
    /// A name that cannot be one of a target.
    #[error("{given:?} is not the name of an iSCSI target")]
    BadTarget {
        /// The refused text.
        given: String,
    },
    /// A file of ours or of open-iscsi.
    #[error("cannot {what} {}: {error}; are we root?", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The kernel's answer.
        error: std::io::Error,
    },
}
