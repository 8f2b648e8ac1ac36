//! The file operations that configfs understands, as a trait: [`Real`] does them, `Fake` plays the kernel.
//!
//! Configfs is not a file system to be edited freely: `mkdir` makes a kernel object, one `write(2)` is one request,
//! a directory with default children is removed by one `rmdir`. The trait has no more than that.

#[cfg(any(test, feature = "test-utils"))]
mod fake;
mod real;

use nix::errno::Errno;

#[cfg(any(test, feature = "test-utils"))]
pub use fake::Fake;
pub use real::Real;

use crate::node::Node;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The file name.
    pub name: String,
    /// What stands under it.
    pub kind: EntryKind,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// An object or a group.
    Directory,
    /// An attribute.
    Attribute,
    /// A symbolic link from one object to another.
    Link,
}

/// The target's configfs, and the list of UIO devices that belongs to it.
///
/// Paths are below the target root. Any of the changing calls may sleep in the kernel, uninterruptibly.
pub trait Configfs: Send + Sync {
    /// What a directory holds, sorted by name.
    fn list(&self, directory: &Node) -> Result<Vec<Entry>, Errno>;
    /// An attribute's text as the kernel prints it, newline included.
    fn read(&self, attr: &Node) -> Result<String, Errno>;
    /// Writes the bytes with exactly one `write(2)`; a short write is EIO.
    fn write_once(&self, attr: &Node, bytes: &[u8]) -> Result<(), Errno>;
    /// Makes a directory.
    fn mkdir(&self, directory: &Node) -> Result<(), Errno>;
    /// Removes a directory.
    fn rmdir(&self, directory: &Node) -> Result<(), Errno>;
    /// Makes a link that points at another object of the tree.
    fn symlink(&self, link: &Node, to: &Node) -> Result<(), Errno>;
    /// Removes a link.
    fn unlink(&self, link: &Node) -> Result<(), Errno>;
    /// The place that a link points at; EXDEV if it lies outside of the target's tree.
    fn read_link(&self, link: &Node) -> Result<Node, Errno>;
    /// The minor number of the UIO device of this name (`/sys/class/uio/uio<minor>/name`), if there is one.
    fn uio_minor(&self, name: &str) -> Result<Option<u32>, Errno>;
}
