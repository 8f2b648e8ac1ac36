//! The kernel's own configfs, under a root that a test may choose.
//!
//! Uses plain system calls, one per operation: `std::fs::write` may split a write, which configfs takes for two
//! requests, so an attribute is opened without O_CREAT or O_TRUNC and written once.

mod uio;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use super::{Configfs, Entry, EntryKind};
use crate::node::Node;
use crate::portal::Portal;
use uio::Devices;

/// The kernel's configfs.
#[derive(Clone, Debug)]
pub struct Real {
    target: PathBuf,
    uio: Arc<Devices>,
}

impl Default for Real {
    fn default() -> Real {
        Real::new("/sys/kernel/config/target", "/sys/class/uio")
    }
}

impl Real {
    /// `target` is where the target's tree is, `uio` where the UIO devices are listed.
    pub fn new(target: impl Into<PathBuf>, uio: impl Into<PathBuf>) -> Real {
        Real { target: target.into(), uio: Arc::new(Devices::new(uio.into())) }
    }

    /// Where the target's tree is.
    pub fn root(&self) -> &Path {
        &self.target
    }
}

impl Configfs for Real {
    fn list(&self, directory: &Node) -> Result<Vec<Entry>, Errno> {
        let mut entries = fs::read_dir(directory.under(&self.target))
            .and_then(|listing| listing.map(entry).collect::<io::Result<Vec<_>>>())
            .map_err(errno)?;
        entries.sort();
        Ok(entries)
    }

    fn read(&self, attr: &Node) -> Result<String, Errno> {
        let bytes = fs::read(attr.under(&self.target)).map_err(errno)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn write_once(&self, attr: &Node, bytes: &[u8]) -> Result<(), Errno> {
        let mut file = OpenOptions::new().write(true).open(attr.under(&self.target)).map_err(errno)?;
        let written = file.write(bytes).map_err(errno)?;
        if written == bytes.len() { Ok(()) } else { Err(Errno::EIO) }
    }

    /// A portal on an address that the node does not have is EADDRNOTAVAIL: the kernel would open it in silence
    /// (`IP_FREEBIND`, in `iscsit_setup_np`), and nobody would ever reach it.
    fn mkdir(&self, directory: &Node) -> Result<(), Errno> {
        let is_portal = directory.parent().is_some_and(|parent| parent.name() == "np");
        let portal = is_portal.then(|| Portal::parse(directory.name()).ok()).flatten();
        if portal.is_some_and(|portal| !portal.is_local()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        fs::create_dir(directory.under(&self.target)).map_err(errno)
    }

    fn rmdir(&self, directory: &Node) -> Result<(), Errno> {
        fs::remove_dir(directory.under(&self.target)).map_err(errno)
    }

    // configfs resolves the text against the caller's working directory at once (configfs_symlink), so it is absolute.
    fn symlink(&self, link: &Node, to: &Node) -> Result<(), Errno> {
        std::os::unix::fs::symlink(to.under(&self.target), link.under(&self.target)).map_err(errno)
    }

    fn unlink(&self, link: &Node) -> Result<(), Errno> {
        fs::remove_file(link.under(&self.target)).map_err(errno)
    }

    fn read_link(&self, link: &Node) -> Result<Node, Errno> {
        let link = link.under(&self.target);
        let text = fs::read_link(&link).map_err(errno)?;
        let absolute = flatten(&link.parent().unwrap_or(&self.target).join(text));
        Node::of_absolute(&self.target, &absolute).ok_or(Errno::EXDEV)
    }

    fn uio_minor(&self, name: &str) -> Result<Option<u32>, Errno> {
        self.uio.minor(name).map_err(errno)
    }
}

fn entry(found: io::Result<fs::DirEntry>) -> io::Result<Entry> {
    let found = found?;
    let kind = found.file_type()?;
    let kind = match () {
        () if kind.is_dir() => EntryKind::Directory,
        () if kind.is_symlink() => EntryKind::Link,
        () => EntryKind::Attribute,
    };
    Ok(Entry { name: found.file_name().to_string_lossy().into_owned(), kind })
}

/// Resolves `..` by text: the links of configfs go up to its mount point and down again.
fn flatten(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut flat, component| {
        match component {
            Component::ParentDir => {
                flat.pop();
            }
            Component::CurDir => {}
            other => flat.push(other),
        }
        flat
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests;
