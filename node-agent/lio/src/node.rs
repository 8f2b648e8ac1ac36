//! A place in the target's configfs tree: a path below `/sys/kernel/config/target`, and the paths of our objects.
//!
//! Only this file spells the tree's layout (documented in `Documentation/target/` and `tcm_mod_builder`).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::iqn::Iqn;
use crate::naa::Naa;
use crate::name::{BackstoreName, HbaNumber, LunNumber, TpgTag, Uid};
use crate::portal::Portal;

/// A path below the target root, without a leading slash, such as `core/user_1/disk`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(String);

impl Node {
    /// The directory of all HBAs.
    pub fn core() -> Node {
        Node("core".to_owned())
    }

    /// The iSCSI fabric. It has to be made (`mkdir`) once after `iscsi_target_mod` was loaded.
    pub fn iscsi() -> Node {
        Node("iscsi".to_owned())
    }

    /// The fabric of local disks. It has to be made (`mkdir`) once; the kernel loads `tcm_loop` then.
    pub fn loopback() -> Node {
        Node("loopback".to_owned())
    }

    /// An HBA directory.
    pub fn hba(hba: HbaNumber) -> Node {
        Node::core().child(hba)
    }

    /// The backstore's directory.
    pub fn device(hba: HbaNumber, uid: &Uid) -> Node {
        Node::hba(hba).child(BackstoreName::of(uid))
    }

    /// A target's directory.
    pub fn target(iqn: &Iqn) -> Node {
        Node::iscsi().child(iqn)
    }

    /// A target portal group's directory.
    pub fn tpg(iqn: &Iqn, tag: TpgTag) -> Node {
        Node::target(iqn).child(tag)
    }

    /// The directory of a local disk's target: on the machine, a SCSI host of its own.
    pub fn loop_target(uid: &Uid) -> Node {
        Node::loopback().child(Naa::target(uid))
    }

    /// The one target portal group of a local disk.
    pub fn loop_tpg(uid: &Uid) -> Node {
        Node::loop_target(uid).child(TpgTag::ONLY)
    }

    /// The place of a portal in this TPG.
    pub(crate) fn portal(&self, portal: &Portal) -> Node {
        self.child("np").child(portal)
    }

    /// The place of a LUN in this TPG.
    pub(crate) fn lun(&self, lun: LunNumber) -> Node {
        self.child("lun").child(lun)
    }

    /// The place of an initiator's ACL in this TPG.
    pub(crate) fn acl(&self, initiator: &Iqn) -> Node {
        self.child("acls").child(initiator)
    }

    /// What lies under this place by that name.
    pub fn child(&self, name: impl fmt::Display) -> Node {
        Node(format!("{}/{name}", self.0))
    }

    /// The directory that holds this place; `None` at the top.
    pub fn parent(&self) -> Option<Node> {
        self.0.rsplit_once('/').map(|(parent, _)| Node(parent.to_owned()))
    }

    /// The last element.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The whole path below the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute path under this root.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The place that an absolute path names; `None` if it lies outside of the root.
    pub fn of_absolute(root: &Path, path: &Path) -> Option<Node> {
        path.strip_prefix(root).ok()?.to_str().filter(|rest| !rest.is_empty()).map(|rest| Node(rest.to_owned()))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
