//! What the steps for a target portal group and for its ACLs have in common: where it stands, and what it leads to.

use crate::name::{BackstoreName, LunNumber};
use crate::node::Node;
use crate::step::Step;

/// A TPG that is brought to what is wanted.
pub(super) struct TpgChange<'a> {
    pub node: Node,
    /// The backstore's directory.
    pub device: Node,
    pub name: &'a BackstoreName,
    /// What the TPG will say about ACLs that say nothing.
    pub demands_chap: bool,
}

impl TpgChange<'_> {
    /// Where a mapped LUN's link stands, and what it points at.
    pub fn mapped_link(&self, mapped: &Node, lun: LunNumber) -> Step {
        Step::Link { link: mapped.child(self.name), to: self.node.lun(lun) }
    }
}
