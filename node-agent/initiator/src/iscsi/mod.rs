//! The machine's own open-iscsi as the way to another node's LUN: log in, scan for exactly the LUN, check who it is;
//! and back, each step bearing that it was done before.
//!
//! There is one iscsid on a machine, the host's (its netlink knows no namespaces), so its `iscsiadm` is called where
//! it lives ([`Host`]). What sysfs knows is read there, and nothing made for people is parsed. Nothing is kept
//! between two calls but the node record, which holds a secret only while a login runs.

mod error;
mod host;
mod lock;
mod record;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use error::IscsiError;
pub use host::{Answer, Commands, Host};
pub use record::{Chap, Login};

use crate::{Address, Disk, DiskError, Expected, Machine, Wwid};
use lock::Lock;
use record::Record;
use session::Session;

/// How long the kernel may take to show a disk after the scan.
const DISK_WITHIN: Duration = Duration::from_secs(20);

/// A LUN that another node serves. Its target is its own: no other LUN is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The target's iSCSI name.
    pub target: String,
    /// Where it listens; they are tried in this order.
    pub portals: Vec<SocketAddr>,
    /// The logical unit number.
    pub lun: u64,
    /// What the disk must be.
    pub disk: Expected,
}

/// The machine's way to LUNs of other nodes.
pub struct OpenIscsi<C> {
    machine: Machine,
    host: C,
    locks: PathBuf,
}

impl<C: Commands> OpenIscsi<C> {
    /// With disks that appear on `machine`, and locks in the directory `locks`, which all users of this type on the
    /// machine must share.
    pub fn new(machine: Machine, host: C, locks: impl Into<PathBuf>) -> OpenIscsi<C> {
        OpenIscsi { machine, host, locks: locks.into() }
    }

    /// Logs in where there is no session yet, and hands the disk out once it is known to be the LUN. Repeating it
    /// finds the same disk; after the LUN grew, with its new size.
    ///
    /// # Errors
    /// Why there is no such disk, and what to do. A session that was opened in vain is closed again.
    pub fn attach(&self, remote: &Remote, chap: Option<&Chap>) -> Result<Disk, IscsiError> {
        let _lock = Lock::take(&self.locks, &remote.target)?;
        match session::find(self.machine.root(), &remote.target)? {
            // Its disk answers nothing, for as long as an hour.
            Some(Session { lost: true, .. }) => return Err(IscsiError::Lost { target: remote.target.clone() }),
            Some(session) => return Ok(self.disk(&session, remote)?),
            None => {}
        }
        let session = self.log_in(remote, chap)?;
        self.disk(&session, remote).map_err(|error| {
            // The disk's trouble is what counts.
            let _ = self.leave(&remote.target, &[session]);
            error.into()
        })
    }

    /// Takes the disk away unless it is in use, ends the session if no other disk is behind it, and forgets the
    /// target. The disk that there was, if any. What is gone already is no failure, and of a disk that the kernel has given
    /// up (its node was away for too long, or lets this one in no more) nothing is written first.
    ///
    /// # Errors
    /// Why it stays, and what to do.
    pub fn detach(&self, target: &str, wwid: &Wwid) -> Result<Option<Disk>, IscsiError> {
        let _lock = Lock::take(&self.locks, target)?;
        let Some(session) = session::find(self.machine.root(), target)? else {
            return match Record::of(&self.host, target).forget() {
                // Nobody ever logged in from here.
                Ok(()) | Err(IscsiError::NotThere(_)) => Ok(None),
                Err(error) => Err(error),
            };
        };
        let (ours, others): (Vec<Disk>, Vec<Disk>) =
            self.disks(&session)?.into_iter().partition(|disk| disk.wwid.as_ref() == Some(wwid));
        for disk in &ours {
            let claimed = self.machine.claim(disk)?;
            if let Some(claimed) = &claimed {
                // Dirty pages of the device itself; file systems are unmounted, or it could not be claimed.
                claimed.sync_all().map_err(|error| DiskError::Io { what: "flush", path: disk.path.clone(), error })?;
            }
            self.machine.delete(disk.at)?;
        }
        if others.is_empty() {
            self.leave(target, &[session])?;
        }
        Ok(ours.into_iter().next())
    }

    /// The targets of this machine's sessions that were lost and have not come back, whoever made them.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub fn lost(&self) -> Result<Vec<String>, IscsiError> {
        session::lost(self.machine.root())
    }

    /// Whether the session with that target, if there is one, was begun with another password than this.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub fn proves_otherwise(&self, target: &str, chap: &Chap) -> Result<bool, IscsiError> {
        let Some(session) = session::find(self.machine.root(), target)? else { return Ok(false) };
        let password = session::password(self.machine.root(), &session);
        Ok(password.is_some_and(|password| password != chap.initiator.password))
    }

    /// Ends a session that was lost and may not come back, and takes away the disk behind it although it may be in use:
    /// whatever waits for it hears that it failed, and what is not written yet never will be. Whether there was
    /// something to end. A session that is logged in is left alone, and so is every disk of another identity, with the
    /// session that it is behind.
    ///
    /// # Errors
    /// What stays, and why.
    pub fn abandon(&self, target: &str, wwid: &Wwid) -> Result<bool, IscsiError> {
        let _lock = Lock::take(&self.locks, target)?;
        let session = session::find(self.machine.root(), target)?.filter(|session| session.lost);
        let Some(session) = session else { return Ok(false) };
        let (ours, others): (Vec<Disk>, Vec<Disk>) =
            self.disks(&session)?.into_iter().partition(|disk| disk.wwid.as_ref() == Some(wwid));
        for disk in &ours {
            // A command that waits for the session is answered now (`__scsi_remove_device` starts the queue).
            self.machine.delete(disk.at)?;
        }
        if others.is_empty() {
            self.leave(target, &[session])?;
        }
        Ok(!ours.is_empty() || others.is_empty())
    }

    fn disk(&self, session: &Session, remote: &Remote) -> Result<Disk, DiskError> {
        let at = Address { host: session.host, channel: 0, target: session.target, lun: remote.lun };
        self.machine.attached(at, &remote.disk, DISK_WITHIN)
    }

    /// The disks behind a session: each has a SCSI host of its own (`iscsi_sw_tcp_session_create`).
    fn disks(&self, session: &Session) -> Result<Vec<Disk>, DiskError> {
        self.machine.disks_of_host(session.host)
    }

    fn log_in(&self, remote: &Remote, chap: Option<&Chap>) -> Result<Session, IscsiError> {
        let record = Record::of(&self.host, &remote.target);
        record.forget()?;
        let mut last = IscsiError::NoPortal { target: remote.target.clone() };
        for portal in &remote.portals {
            match record.log_in(*portal, chap) {
                Ok(()) => match session::find(self.machine.root(), &remote.target)? {
                    Some(session) => return Ok(session),
                    None => last = IscsiError::NoSession { target: remote.target.clone() },
                },
                Err(error) => last = error,
            }
        }
        // A record that leads nowhere would be tried at every boot of some distributions.
        let _ = record.forget();
        Err(last)
    }

    fn leave(&self, target: &str, sessions: &[Session]) -> Result<(), IscsiError> {
        let record = Record::of(&self.host, target);
        for session in sessions {
            record.log_out(session.id)?;
        }
        record.forget()
    }
}

#[cfg(test)]
mod tests;
