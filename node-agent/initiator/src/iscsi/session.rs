//! Sessions of this machine, as sysfs shows them (`scsi_transport_iscsi.c`).

use std::fs;
use std::path::{Path, PathBuf};

use super::IscsiError;

const CLASS: &str = "sys/class/iscsi_session";

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The number in its name.
    pub id: u32,
    /// Its SCSI host.
    pub host: u32,
    /// Its target on that host.
    pub target: u32,
    /// Whether it was lost: its connection is gone, and open-iscsi tries to log in again.
    pub lost: bool,
}

/// The session with this target, if there is one.
pub fn find(root: &Path, target: &str) -> Result<Option<Session>, IscsiError> {
    let all = folders(root)?;
    Ok(all.iter().filter(|session| target_of(session).as_deref() == Some(target)).find_map(|session| read(session)))
}

/// The targets to which a session was lost.
pub fn lost(root: &Path) -> Result<Vec<String>, IscsiError> {
    let all = folders(root)?;
    Ok(all.iter().filter(|session| is_lost(session)).filter_map(|session| target_of(session)).collect())
}

/// The password that this machine proves to the target who it is with, as the session began; `None` without CHAP. The
/// kernel keeps it for iscsid, and shows it to root alone.
pub fn password(root: &Path, session: &Session) -> Option<String> {
    let file = root.join(CLASS).join(format!("session{}/password", session.id));
    let text = fs::read_to_string(file).ok()?.trim_end_matches('\n').to_owned();
    // As the kernel writes what was never set (`iscsi_session_get_param`, `%s` of NULL).
    Some(text).filter(|password| !password.is_empty() && password != "(null)")
}

fn folders(root: &Path) -> Result<Vec<PathBuf>, IscsiError> {
    let directory = root.join(CLASS);
    match fs::read_dir(&directory) {
        // No module of iSCSI is loaded.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listing => {
            let listing = listing.map_err(|error| IscsiError::Io { what: "read", path: directory, error })?;
            Ok(listing.flatten().map(|entry| entry.path()).collect())
        }
    }
}

/// `None` also where the session has ended while we look.
fn target_of(session: &Path) -> Option<String> {
    Some(fs::read_to_string(session.join("targetname")).ok()?.trim().to_owned())
}

/// `FAILED` from the loss of its connection on, `FREE` once the kernel has given it up (`session_recovery_timedout`).
fn is_lost(session: &Path) -> bool {
    fs::read_to_string(session.join("state")).is_ok_and(|state| matches!(state.trim(), "FAILED" | "FREE"))
}

fn read(session: &Path) -> Option<Session> {
    let id = session.file_name()?.to_str()?.strip_prefix("session")?.parse().ok()?;
    // …/host3/session1, of which the class directory's `device` is a link.
    let device = fs::canonicalize(session.join("device")).ok()?;
    let host = device.iter().rev().find_map(|part| part.to_str()?.strip_prefix("host")?.parse().ok())?;
    let target = fs::read_to_string(session.join("target_id")).ok().and_then(|text| text.trim().parse().ok());
    Some(Session { id, host, target: target.unwrap_or(0), lost: is_lost(session) })
}
