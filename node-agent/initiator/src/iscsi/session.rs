//! Sessions of this machine, as sysfs shows them (`scsi_transport_iscsi.c`).

use std::fs;
use std::path::Path;

use super::IscsiError;

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The number in its name.
    pub id: u32,
    /// Its SCSI host.
    pub host: u32,
    /// Its target on that host.
    pub target: u32,
}

/// The session with this target, if there is one.
pub fn find(root: &Path, target: &str) -> Result<Option<Session>, IscsiError> {
    let directory = root.join("sys/class/iscsi_session");
    let listing = match fs::read_dir(&directory) {
        // No module of iSCSI is loaded.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        listing => listing.map_err(|error| IscsiError::Io { what: "read", path: directory, error })?,
    };
    // What ends while we look is not there.
    Ok(listing.flatten().find_map(|entry| read(&entry.path(), target)))
}

fn read(session: &Path, target: &str) -> Option<Session> {
    let name = fs::read_to_string(session.join("targetname")).ok()?;
    if name.trim() != target {
        return None;
    }
    let id = session.file_name()?.to_str()?.strip_prefix("session")?.parse().ok()?;
    // …/host3/session1, of which the class directory's `device` is a link.
    let device = fs::canonicalize(session.join("device")).ok()?;
    let host = device.iter().rev().find_map(|part| part.to_str()?.strip_prefix("host")?.parse().ok())?;
    let target = fs::read_to_string(session.join("target_id")).ok().and_then(|text| text.trim().parse().ok());
    Some(Session { id, host, target: target.unwrap_or(0) })
}
