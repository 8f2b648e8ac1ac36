//! A Lun as CSI sees it: a volume with an id, a size and a context.

use std::collections::HashMap;

use kube::ResourceExt;
use lunette_api::Lun;
use lunette_api::csi::{CONTEXT_MKFS_OPTIONS, CONTEXT_UID, VolumeId};
use lunette_proto::csi;
use lunette_proto::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};

/// Field manager of this process's writes, and the value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "lunette-csi";

/// On a Lun that CreateVolume made: the volume's name as the caller gave it.
pub const VOLUME_NAME: &str = "csi.lunette.io/volume-name";
/// On a Lun that CreateVolume made: arguments for mkfs.
pub const MKFS_OPTIONS: &str = "csi.lunette.io/mkfs-options";
/// On a Lun: `false` where nodes log in without CHAP.
pub const CHAP: &str = "csi.lunette.io/chap";
/// On a Lun that CreateVolume made: the PersistentVolumeClaim.
pub const PVC_NAME: &str = "csi.lunette.io/pvc-name";
/// On a Lun that CreateVolume made: the PersistentVolume.
pub const PV_NAME: &str = "csi.lunette.io/pv-name";

/// The volume's id.
pub fn id(lun: &Lun) -> VolumeId {
    VolumeId { namespace: lun.namespace().unwrap_or_default(), name: lun.name_any() }
}

/// The volume's size in bytes.
pub fn bytes(lun: &Lun) -> u64 {
    lun.spec.size.bytes().unwrap_or_default()
}

/// What nodes are told of the volume in every call.
pub fn context(lun: &Lun) -> HashMap<String, String> {
    let mut context = HashMap::from([(CONTEXT_UID.to_owned(), lun.uid().unwrap_or_default())]);
    if let Some(options) = lun.annotations().get(MKFS_OPTIONS) {
        context.insert(CONTEXT_MKFS_OPTIONS.to_owned(), options.clone());
    }
    context
}

/// As CSI says it. A LUN can be reached from every node, so no topology binds it.
pub fn of(lun: &Lun) -> csi::Volume {
    csi::Volume {
        capacity_bytes: signed(bytes(lun)),
        volume_id: id(lun).to_string(),
        volume_context: context(lun),
        content_source: source(lun),
        accessible_topology: Vec::new(),
    }
}

/// What a Lun was made from, as CSI says it.
fn source(lun: &Lun) -> Option<csi::VolumeContentSource> {
    let namespace = lun.namespace().unwrap_or_default();
    let id = |name: &String| VolumeId { namespace: namespace.clone(), name: name.clone() }.to_string();
    let source = lun.spec.source.as_ref()?;
    let of_snapshot = source.snapshot.as_ref().map(|name| Type::Snapshot(SnapshotSource { snapshot_id: id(name) }));
    let of_volume = || source.lun.as_ref().map(|name| Type::Volume(VolumeSource { volume_id: id(name) }));
    let r#type = of_snapshot.or_else(of_volume)?;
    Some(csi::VolumeContentSource { r#type: Some(r#type) })
}

/// Bytes as CSI counts them.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
