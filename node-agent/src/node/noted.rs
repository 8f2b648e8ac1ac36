//! Which Luns the LUNs of other nodes are that this node has as disks: a session says the Lun's UID, and the API server
//! is asked by namespace and name. Kept as long as sessions are at most: until the machine boots.

use std::fs;
use std::path::PathBuf;

use lunette_lio::Uid;

use super::Context;
use crate::attach::Refusal;

/// Notes down whose LUN a session will be with.
///
/// # Errors
/// When that cannot be written.
pub fn note(context: &Context, uid: &Uid, namespace: &str, name: &str) -> Result<(), Refusal> {
    let path = path(context, uid);
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let noted = folder.and_then(|()| fs::write(&path, format!("{namespace}/{name}\n")));
    noted.map_err(|error| Refusal::NotYet(format!("cannot write {}: {error}", path.display())))
}

/// Namespace and name of the Lun of that UID, if this node has it as a disk.
pub fn of(context: &Context, uid: &Uid) -> Option<(String, String)> {
    let text = fs::read_to_string(path(context, uid)).ok()?;
    let (namespace, name) = text.trim_end().split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// There is no session with it any more.
pub fn forget(context: &Context, uid: &Uid) {
    // One too many does no harm: it is read only where there is a session.
    let _ = fs::remove_file(path(context, uid));
}

fn path(context: &Context, uid: &Uid) -> PathBuf {
    context.run_dir.join("attached").join(uid.as_str())
}
