//! How a node is written into a Lun's list of initiators, and found there: the one place that knows.
//!
//! A node's entry has its name; entries that users wrote for clients outside have an IQN, and are left alone.

use kube::ResourceExt;
use lunette_api::{Initiator, Lun, LunNode, SecretReference};

/// The entry that lets a node in.
pub fn entry(node: &str, secret: Option<String>, read_only: bool) -> Initiator {
    let chap_secret = secret.map(|name| SecretReference { name });
    Initiator { iqn: None, node_name: Some(node.to_owned()), chap_secret, read_only }
}

/// The entry of that node in the Lun.
pub fn find<'a>(lun: &'a Lun, node: &str) -> Option<&'a Initiator> {
    lun.spec.initiators.iter().find(|entry| is_of(entry, node))
}

/// The Lun's entries but for that node's.
pub fn without(lun: &Lun, node: &str) -> Vec<Initiator> {
    lun.spec.initiators.iter().filter(|entry| !is_of(entry, node)).cloned().collect()
}

/// The names of the nodes that the Lun lets in.
pub fn nodes(lun: &Lun) -> Vec<String> {
    let mut names: Vec<String> = lun.spec.initiators.iter().filter_map(|entry| entry.node_name.clone()).collect();
    names.sort();
    names
}

/// Whether the node serves the Lun itself: it has it as a local disk, and logs in nowhere.
pub fn is_local(lun: &Lun, node: &str) -> bool {
    lun.status.as_ref().is_some_and(|status| status.node.as_deref() == Some(node))
}

/// The name under which a node logs in, where it has one.
pub fn name_of(node: &LunNode) -> Option<&str> {
    node.status.as_ref()?.initiator_name.as_deref().filter(|name| !name.is_empty())
}

/// Whether a session of that node is still reported; a local disk is reported under the node's own name.
pub fn has_session(lun: &Lun, node: &str, there: Option<&LunNode>) -> bool {
    let iqn = there.filter(|there| there.name_any() == node).and_then(name_of);
    let mut sessions = lun.status.iter().flat_map(|status| &status.sessions);
    sessions.any(|session| session.initiator == node || Some(session.initiator.as_str()) == iqn)
}

fn is_of(entry: &Initiator, node: &str) -> bool {
    entry.node_name.as_deref() == Some(node)
}
