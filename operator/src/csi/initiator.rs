//! How a node is written into a Lun's list of initiators: the one place that knows.
//!
//! A node's entry is found by the initiator name that its LunNode shows or, where that is gone, by the name
//! of the Secret that was made for it. Entries that users wrote for clients outside are left alone.

use kube::ResourceExt;
use lunette_api::{Initiator, Lun, LunNode, SecretReference};

use super::chap::secret_name;

/// The entry that lets a node in; `None` where the node says no initiator name.
pub fn entry(node: &LunNode, secret: Option<String>, read_only: bool) -> Option<Initiator> {
    let iqn = name_of(node)?.to_owned();
    Some(Initiator { iqn, chap_secret: secret.map(|name| SecretReference { name }), read_only })
}

/// The entry of that node in the Lun.
pub fn find<'a>(lun: &'a Lun, name: &str, node: Option<&LunNode>) -> Option<&'a Initiator> {
    lun.spec.initiators.iter().find(|entry| is_of(entry, lun, name, node))
}

/// The Lun's entries but for that node's.
pub fn without(lun: &Lun, name: &str, node: Option<&LunNode>) -> Vec<Initiator> {
    lun.spec.initiators.iter().filter(|entry| !is_of(entry, lun, name, node)).cloned().collect()
}

/// The names of the nodes that the Lun lets in.
pub fn nodes(lun: &Lun, all: &[LunNode]) -> Vec<String> {
    let mut names: Vec<String> = all
        .iter()
        .map(|n| (n.name_any(), n))
        .filter(|(name, node)| find(lun, name, Some(node)).is_some())
        .map(|n| n.0)
        .collect();
    names.sort();
    names
}

/// Whether a session of that node is still reported.
pub fn has_session(lun: &Lun, node: Option<&LunNode>) -> bool {
    let sessions = lun.status.iter().flat_map(|s| &s.sessions);
    node.and_then(name_of).is_some_and(|iqn| sessions.into_iter().any(|s| s.initiator == iqn))
}

fn is_of(entry: &Initiator, lun: &Lun, name: &str, node: Option<&LunNode>) -> bool {
    node.and_then(name_of).is_some_and(|iqn| entry.iqn == iqn)
        || entry.chap_secret.as_ref().is_some_and(|secret| secret.name == secret_name(lun, name))
}

fn name_of(node: &LunNode) -> Option<&str> {
    node.status.as_ref()?.initiator_name.as_deref().filter(|name| !name.is_empty())
}
