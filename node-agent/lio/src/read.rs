//! Configfs → data: what there is of one LUN, or of all of ours, whole or half-made.
//!
//! Reads only; touches nothing, and does not look into objects that are not ours. What vanishes while we read (a
//! teardown running beside us) counts as not there.

mod backstore;
mod local;
mod ports;
mod target;

use std::collections::BTreeSet;

use nix::errno::Errno;

pub use local::{DiskAddress, disk_address};
pub use ports::{Port, PortGroup, Ports, ports};

use crate::configfs::{Configfs, Entry, EntryKind};
use crate::iqn::IqnPrefix;
use crate::name::{BackstoreName, HbaNumber, Uid};
use crate::node::Node;
use crate::step::Step;
use crate::tree::{Export, Found, Tree};

/// Why configfs could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The kernel refused.
    #[error(
        "cannot read {node} in the target's configfs: {errno}; is it mounted, and are we root? (`lunette-node check` tells)"
    )]
    Refused {
        /// What was read.
        node: Node,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The text is not what the kernel prints there.
    #[error("{node} reads {text:?}, which is not a number; this kernel is not one we know: please report it")]
    Malformed {
        /// What was read.
        node: Node,
        /// The text found.
        text: String,
    },
}

/// What there is of this LUN, and where its backstore is or would go.
pub fn read_export(fs: &dyn Configfs, prefix: &IqnPrefix, uid: &Uid) -> Result<Found, ReadError> {
    let (hba, foreign, backstore) = backstore::find(fs, uid)?;
    let target = target::read(fs, &prefix.target(uid), &Node::device(hba.number, uid), uid)?;
    let (target, strays) = target.map_or((None, Vec::new()), |(target, strays)| (Some(target), strays));
    let local = local::read(fs, uid, &Node::device(hba.number, uid))?;
    let (local, local_strays) = local.map_or((None, Vec::new()), |(local, strays)| (Some(local), strays));
    let (fabric, loopback) = (exists(fs, &Node::iscsi())?, exists(fs, &Node::loopback())?);
    let export = Export { backstore, target, local };
    Ok(Found { uid: uid.clone(), hba, fabric, loopback, export, foreign, strays, local_strays })
}

/// The backstore alone, which is a fifth of what there is to read: enough to serve its ring, and not to plan anything.
pub fn read_backstore(fs: &dyn Configfs, uid: &Uid) -> Result<Found, ReadError> {
    let (hba, foreign, backstore) = backstore::find(fs, uid)?;
    let export = Export { backstore, target: None, local: None };
    let (strays, local_strays) = (Vec::new(), Vec::new());
    Ok(Found { uid: uid.clone(), hba, fabric: false, loopback: false, export, foreign, strays, local_strays })
}

/// Whose backstores, targets and local disks there are, also those that nobody wants any more: names only, so quick.
pub fn owners(fs: &dyn Configfs, prefix: &IqnPrefix) -> Result<BTreeSet<Uid>, ReadError> {
    let mut uids = BTreeSet::new();
    for hba in hbas(fs)? {
        let devices = directories(fs, &Node::hba(hba))?;
        uids.extend(devices.iter().filter_map(|device| BackstoreName::owner(device)));
    }
    uids.extend(directories(fs, &Node::iscsi())?.iter().filter_map(|target| prefix.owner(target)));
    uids.extend(local::owners(fs)?);
    Ok(uids)
}

/// Everything of ours, read whole.
///
/// An empty HBA directory does not tell whose it is, nor does a local disk's target that has no LUN yet:
/// [`read_export`] of its LUN finds it, or [`abandoned`].
pub fn read_tree(fs: &dyn Configfs, prefix: &IqnPrefix) -> Result<Tree, ReadError> {
    let found = owners(fs, prefix)?.into_iter().map(|uid| Ok((uid.clone(), read_export(fs, prefix, &uid)?)));
    found.filter(|found| !found.as_ref().is_ok_and(|(_, found)| found.is_empty())).collect()
}

/// How to remove what an attempt of ours left unfinished and no LUN may ever ask for again: empty HBA directories, and
/// targets of local disks without a LUN.
///
/// For the start, before any LUN is being made: one that is being made may be so for a moment.
pub fn abandoned(fs: &dyn Configfs) -> Result<Vec<Step>, ReadError> {
    let mut steps = local::abandoned(fs)?;
    for hba in hbas(fs)?.into_iter().filter(|hba| hba.is_derived()) {
        if directories(fs, &Node::hba(hba))?.is_empty() {
            steps.push(Step::Rmdir(Node::hba(hba)));
        }
    }
    Ok(steps)
}

/// The TCMU HBAs, ours and others'.
fn hbas(fs: &dyn Configfs) -> Result<Vec<HbaNumber>, ReadError> {
    Ok(directories(fs, &Node::core())?.iter().filter_map(|name| HbaNumber::from_directory(name)).collect())
}

/// What a directory holds; nothing if it is not there.
fn list(fs: &dyn Configfs, node: &Node) -> Result<Vec<Entry>, ReadError> {
    match fs.list(node) {
        Err(Errno::ENOENT) => Ok(Vec::new()),
        other => other.map_err(|errno| ReadError::Refused { node: node.clone(), errno }),
    }
}

/// The names of the directories in a directory.
fn directories(fs: &dyn Configfs, node: &Node) -> Result<Vec<String>, ReadError> {
    let entries = list(fs, node)?.into_iter();
    Ok(entries.filter(|entry| entry.kind == EntryKind::Directory).map(|entry| entry.name).collect())
}

/// The names of the links in a directory.
fn links(fs: &dyn Configfs, node: &Node) -> Result<Vec<String>, ReadError> {
    let entries = list(fs, node)?.into_iter();
    Ok(entries.filter(|entry| entry.kind == EntryKind::Link).map(|entry| entry.name).collect())
}

fn exists(fs: &dyn Configfs, node: &Node) -> Result<bool, ReadError> {
    match fs.list(node) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(ReadError::Refused { node: node.clone(), errno }),
    }
}

/// An attribute without the one newline that the kernel adds; `None` if this kernel, or by now the object, lacks it.
fn text(fs: &dyn Configfs, node: &Node) -> Result<Option<String>, ReadError> {
    match fs.read(node) {
        Ok(text) => Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(None),
        Err(errno) => Err(ReadError::Refused { node: node.clone(), errno }),
    }
}

/// A number; 0 where there is none yet.
fn number<T: std::str::FromStr + Default>(fs: &dyn Configfs, node: &Node) -> Result<T, ReadError> {
    Ok(optional_number(fs, node)?.unwrap_or_default())
}

/// A number, where this kernel has it and it is set.
fn optional_number<T: std::str::FromStr>(fs: &dyn Configfs, node: &Node) -> Result<Option<T>, ReadError> {
    let Some(text) = text(fs, node)? else { return Ok(None) };
    match text.trim() {
        "" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| ReadError::Malformed { node: node.clone(), text }),
    }
}

/// The settings of this table that the directory has.
fn settings(
    fs: &dyn Configfs,
    directory: &Node,
    table: &[&'static str],
) -> Result<crate::settings::Settings, ReadError> {
    let mut found = crate::settings::Settings::new();
    for name in table {
        if let Some(value) = text(fs, &directory.child(name))? {
            found.set(name, value.trim());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
