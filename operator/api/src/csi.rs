//! What the two halves of the CSI driver, the controller and the agents, must agree on: names, and what they
//! hand each other through Kubernetes. Nothing of it is secret: Kubernetes shows it to whoever may read
//! PersistentVolumes and VolumeAttachments.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The driver's name, in CSIDriver objects, StorageClasses and PersistentVolumes.
pub const DRIVER: &str = "csi.lunette.io";

/// The topology key of a node: its value is the node's name.
pub const TOPOLOGY_NODE: &str = "topology.lunette.io/node";

/// In a volume's context: the Lun's UID, so that another Lun of the same name is never taken for it.
pub const CONTEXT_UID: &str = "uid";
/// In a volume's context: arguments for mkfs, separated by spaces.
pub const CONTEXT_MKFS_OPTIONS: &str = "mkfsOptions";

/// A volume's id: `NAMESPACE/NAME` of its Lun.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    /// The Lun's namespace.
    pub namespace: String,
    /// The Lun's name.
    pub name: String,
}

/// Why a text is no volume id.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no volume of this driver: its volumes are called NAMESPACE/NAME, after their Luns")]
pub struct NoVolumeId(String);

impl FromStr for VolumeId {
    type Err = NoVolumeId;

    fn from_str(text: &str) -> Result<Self, NoVolumeId> {
        let no_id = || NoVolumeId(text.to_owned());
        let (namespace, name) = text.split_once('/').ok_or_else(no_id)?;
        if is_name(namespace, 63) && is_name(name, 253) {
            Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
        } else {
            Err(no_id())
        }
    }
}

/// Whether Kubernetes would take it for an object's name: RFC 1123.
fn is_name(text: &str, longest: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= longest
        && bytes.iter().all(|b| inner(*b) || *b == b'-' || *b == b'.')
        && bytes.first().is_some_and(|b| inner(*b))
        && bytes.last().is_some_and(|b| inner(*b))
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What ControllerPublishVolume tells the node that is to attach a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishContext {
    /// The target's iSCSI qualified name.
    pub iqn: String,
    /// The logical unit number in that target.
    pub lun: u32,
    /// Where the target listens: `ADDRESS:PORT`, or `[ADDRESS]:PORT`.
    pub portals: Vec<String>,
    /// The node that serves it.
    pub node: String,
    /// The identity that the device must show: `naa.` and 32 digits.
    pub wwid: String,
    /// The fencing generation of the Lun when it was published.
    pub epoch: u64,
    /// The Secret with the CHAP credentials for this node, in the Lun's namespace; `None` without CHAP.
    pub chap_secret: Option<String>,
}

/// Why a publish context cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoPublishContext {
    /// A key is not there.
    #[error("the publish context has no {0:?}: was the volume published by this driver's controller?")]
    Missing(&'static str),
    /// A value is no number.
    #[error("the publish context's {0:?} is {1:?}, which is no number")]
    NoNumber(&'static str, String),
}

/// Keys of the publish context.
mod keys {
    pub const IQN: &str = "iqn";
    pub const LUN: &str = "lun";
    pub const PORTALS: &str = "portals";
    pub const NODE: &str = "node";
    pub const WWID: &str = "wwid";
    pub const EPOCH: &str = "epoch";
    pub const CHAP_SECRET: &str = "chapSecret";
}

impl PublishContext {
    /// As CSI carries it.
    #[must_use]
    pub fn to_map(&self) -> HashMap<String, String> {
        let mut map = BTreeMap::from([
            (keys::IQN, self.iqn.clone()),
            (keys::LUN, self.lun.to_string()),
            (keys::PORTALS, self.portals.join(",")),
            (keys::NODE, self.node.clone()),
            (keys::WWID, self.wwid.clone()),
            (keys::EPOCH, self.epoch.to_string()),
        ]);
        if let Some(secret) = &self.chap_secret {
            map.insert(keys::CHAP_SECRET, secret.clone());
        }
        map.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// As it came through CSI. Keys that are not known are passed over: a newer controller may say more.
    ///
    /// # Errors
    /// When something is missing or is no number.
    pub fn from_map(map: &HashMap<String, String>) -> Result<Self, NoPublishContext> {
        let get = |key| map.get(key).filter(|v| !v.is_empty()).cloned().ok_or(NoPublishContext::Missing(key));
        Ok(Self {
            iqn: get(keys::IQN)?,
            lun: number(keys::LUN, &get(keys::LUN)?)?,
            portals: get(keys::PORTALS)?.split(',').map(str::to_owned).collect(),
            node: get(keys::NODE)?,
            wwid: get(keys::WWID)?,
            epoch: number(keys::EPOCH, &get(keys::EPOCH)?)?,
            chap_secret: get(keys::CHAP_SECRET).ok(),
        })
    }
}

fn number<T: FromStr>(key: &'static str, text: &str) -> Result<T, NoPublishContext> {
    text.parse().map_err(|_| NoPublishContext::NoNumber(key, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_id_is_the_luns_namespace_and_name() {
        let id: VolumeId = "lunette-system/pvc-1".parse().expect("an id");
        assert_eq!((id.namespace.as_str(), id.name.as_str()), ("lunette-system", "pvc-1"));
        assert_eq!(id.to_string(), "lunette-system/pvc-1");
        for text in ["", "a", "/a", "a/", "a/b/c", "A/b", "a/b c", "../x", "a/-b", "a/b\n"] {
            assert_eq!(text.parse::<VolumeId>(), Err(NoVolumeId(text.to_owned())));
        }
    }

    #[test]
    fn a_publish_context_travels_as_text() {
        let context = PublishContext {
            iqn: "iqn.2026-01.io.lunette:u".to_owned(),
            lun: 0,
            portals: vec!["10.0.0.1:3260".to_owned(), "[fd00::1]:3260".to_owned()],
            node: "a".to_owned(),
            wwid: "naa.60014050123456789abcdef012345678".to_owned(),
            epoch: 7,
            chap_secret: Some("s".to_owned()),
        };
        for context in [context.clone(), PublishContext { chap_secret: None, ..context.clone() }] {
            assert_eq!(PublishContext::from_map(&context.to_map()), Ok(context));
        }
        let without = |key: &str| {
            let mut map = context.to_map();
            map.remove(key);
            PublishContext::from_map(&map)
        };
        assert_eq!(without("wwid"), Err(NoPublishContext::Missing("wwid")));
        let mut map = context.to_map();
        map.insert("epoch".to_owned(), "x".to_owned());
        assert_eq!(PublishContext::from_map(&map), Err(NoPublishContext::NoNumber("epoch", "x".to_owned())));
    }
}
