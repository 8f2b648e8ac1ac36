//! What a kubelet or a provisioner may send: messages of CSI, volumes' ids, publish contexts.

use lunette_api::csi::{PublishContext, VolumeId};
use lunette_csi_node::request::{Published, Use, known_volume_id, mkfs_options, path};
use lunette_proto::csi::NodeStageVolumeRequest;
use prost::Message;

/// Any bytes are tried as an id, and as a message.
pub fn play(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes) {
        id(text);
    }
    if let Ok(request) = NodeStageVolumeRequest::decode(bytes) {
        stage(&request);
    }
}

/// What is a volume's id is written as it was read, and names nothing outside Kubernetes' names.
fn id(text: &str) {
    let Ok(id) = text.parse::<VolumeId>() else { return };
    assert_eq!(id.to_string(), text);
    assert!(!text.contains("..") || !text.split('/').any(|part| part == ".."), "{text:?} leads elsewhere");
}

fn stage(request: &NodeStageVolumeRequest) {
    let _ = Use::read(request.volume_capability.as_ref());
    if let Ok(path) = path(&request.staging_target_path, "staging_target_path") {
        assert!(path.is_absolute());
    }
    let _ = mkfs_options(&request.volume_context);
    if let Ok(context) = PublishContext::from_map(&request.publish_context) {
        assert_eq!(PublishContext::from_map(&context.to_map()), Ok(context));
    }
    let Ok(id) = known_volume_id(&request.volume_id) else { return };
    if let Ok(published) = Published::read(id.clone(), &request.publish_context, &request.volume_context) {
        assert_eq!(published.volume.id, id);
        assert!(request.publish_context["iqn"].ends_with(&published.volume.uid), "a UID that its target does not have");
    }
}
