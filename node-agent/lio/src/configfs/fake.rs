//! The kernel's rules for the target's configfs, in memory: stub.

use nix::errno::Errno;

use super::{Configfs, Entry};
use crate::node::Node;

/// An in-memory kernel.
#[derive(Debug, Default)]
pub struct Fake {}

impl Fake {
    /// A kernel with its modules loaded and no objects.
    pub fn new() -> Fake {
        Fake::default()
    }
}

impl Configfs for Fake {
    fn list(&self, _directory: &Node) -> Result<Vec<Entry>, Errno> {
        Err(Errno::ENOENT)
    }
    fn read(&self, _attr: &Node) -> Result<String, Errno> {
        Err(Errno::ENOENT)
    }
    fn write_once(&self, _attr: &Node, _bytes: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }
    fn mkdir(&self, _directory: &Node) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }
    fn rmdir(&self, _directory: &Node) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }
    fn symlink(&self, _link: &Node, _to: &Node) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }
    fn unlink(&self, _link: &Node) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }
    fn read_link(&self, _link: &Node) -> Result<Node, Errno> {
        Err(Errno::ENOENT)
    }
    fn uio_devices(&self) -> Result<Vec<(u32, String)>, Errno> {
        Ok(Vec::new())
    }
}
