//! A LunSnapshot as CSI sees it, and what the calls about snapshots have in common.

use kube::ResourceExt;
use lunette_api::LunSnapshot;
use lunette_api::conditions::{self, PLACED, READY, RELEASED};
use lunette_api::csi::VolumeId;
use lunette_proto::{Timestamp, csi};

use super::volume::signed;

/// On a LunSnapshot that CreateSnapshot made: the snapshot's name as the caller gave it.
pub const SNAPSHOT_NAME: &str = "csi.lunette.io/snapshot-name";
/// On a LunSnapshot that CreateVolumeGroupSnapshot made: the id of the group.
pub const GROUP_ID: &str = "csi.lunette.io/group-snapshot-id";

/// The snapshot's id: `NAMESPACE/NAME`, as a volume's.
pub fn id(snapshot: &LunSnapshot) -> VolumeId {
    VolumeId { namespace: snapshot.namespace().unwrap_or_default(), name: snapshot.name_any() }
}

/// The id of the volume that it is of.
pub fn source(snapshot: &LunSnapshot) -> VolumeId {
    VolumeId { namespace: snapshot.namespace().unwrap_or_default(), name: snapshot.spec.lun.clone() }
}

/// Whether volumes can be made from it.
pub fn is_ready(snapshot: &LunSnapshot) -> bool {
    snapshot.status.as_ref().is_some_and(|status| status.ready_to_use == Some(true))
}

/// Bytes that a volume made from it needs at least.
pub fn bytes(snapshot: &LunSnapshot) -> u64 {
    snapshot.status.as_ref().and_then(|status| status.size).unwrap_or_default()
}

/// As CSI says it.
pub fn of(snapshot: &LunSnapshot) -> csi::Snapshot {
    let taken = snapshot.status.as_ref().and_then(|status| status.creation_time.as_ref());
    csi::Snapshot {
        size_bytes: signed(bytes(snapshot)),
        snapshot_id: id(snapshot).to_string(),
        source_volume_id: source(snapshot).to_string(),
        creation_time: taken.map(|time| Timestamp { seconds: time.0.as_second(), nanos: time.0.subsec_nanosecond() }),
        ready_to_use: is_ready(snapshot),
        group_snapshot_id: snapshot.annotations().get(GROUP_ID).cloned().unwrap_or_default(),
        accessible_topology: Vec::new(),
    }
}

/// What stands in the way, for people: the first condition that is not as it should be.
pub fn obstacle(snapshot: &LunSnapshot) -> String {
    let all = snapshot.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let said = |type_: &str| conditions::find(all, type_).filter(|c| c.status == "False").map(|c| c.message.clone());
    if snapshot.metadata.deletion_timestamp.is_some() {
        return said(RELEASED).unwrap_or_else(|| "its deletion has not begun yet: is the operator running?".to_owned());
    }
    if conditions::find(all, PLACED).is_none() {
        return "no node was asked to take it yet: is the operator running?".to_owned();
    }
    let node = snapshot.status.as_ref().and_then(|s| s.node.clone()).unwrap_or_default();
    said(PLACED)
        .or_else(|| said(READY).map(|why| format!("node {node}: {why}")))
        .unwrap_or_else(|| format!("node {node} has not reported yet: is its agent running?"))
}
