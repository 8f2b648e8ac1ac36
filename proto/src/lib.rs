//! The wire of CSI 1.13 and of the kubelet's plugin registration, as Rust types, servers and clients.
//!
//! The messages, names and numbers are facts that every driver and every Kubernetes agree on; they are
//! declared anew in `wire/`, one file for each service, and a test of the bed (`wire::`) compares them with
//! the published ones, field by field. What a message means for Lunette is not said here. `SnapshotMetadata`
//! is left out: nothing of ours serves or calls it.
//!
//! Messages with secrets (`csi_secret`) show `<secret>` in `Debug`.

#![forbid(unsafe_code)]

/// CSI, package `csi.v1`.
pub mod csi {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("csi.v1");
    include!(concat!(env!("OUT_DIR"), "/secretive.rs"));
}

/// The kubelet's plugin registration, package `pluginregistration`.
pub mod registration {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("pluginregistration");

    /// What a CSI driver says in [`PluginInfo::type`](PluginInfo).
    pub const CSI_PLUGIN: &str = "CSIPlugin";
}

/// The encoded `FileDescriptorSet` of everything here, for reflection and for comparison.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub use prost_types::Timestamp;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::csi::{CreateVolumeRequest, NodeStageVolumeRequest};

    fn secrets() -> HashMap<String, String> {
        HashMap::from([("password".to_owned(), "hunter2".to_owned())])
    }

    #[test]
    fn secrets_are_not_shown() {
        let create = CreateVolumeRequest { name: "pvc-1".to_owned(), secrets: secrets(), ..Default::default() };
        let stage = NodeStageVolumeRequest { volume_id: "v".to_owned(), secrets: secrets(), ..Default::default() };
        for shown in [format!("{create:?}"), format!("{stage:#?}")] {
            assert!(shown.contains("<secret>") && !shown.contains("hunter2") && !shown.contains("password"), "{shown}");
        }
        assert!(format!("{create:?}").contains("name: \"pvc-1\""));
    }
}
