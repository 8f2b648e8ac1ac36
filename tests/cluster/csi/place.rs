//! A real node as the kubelet uses it: the agent's own CSI socket, called in the VM.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use lunette_bed::{Result, grpc};
use lunette_proto::csi;
use lunette_proto::csi::volume_capability::access_mode::Mode;
use lunette_proto::csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use lunette_proto::registration::{InfoRequest, PluginInfo};
use prost::Message;
use tonic::Status;

use super::super::node::{KUBELET, Node};
use super::super::site::{SYSTEM, Site, patiently};
use super::Driver;

/// How long a call to a node may take on a busy machine: as long as the kubelet gives it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the agent of a node serves CSI.
pub fn csi_socket() -> String {
    format!("{KUBELET}/plugins/csi.lunette.io/csi.sock")
}

/// As what a volume is seen: a file system of that type, or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    As(&'static str),
    Device,
}

/// A volume, and what is said of it in every call.
pub struct Volume {
    pub about: csi::Volume,
    pub seen: Seen,
}

impl Volume {
    /// Has the controller make one, if it can on that node.
    pub fn create(driver: &Driver, name: &str, seen: Seen, bytes: i64, node: &str) -> Result<Volume> {
        let segments = HashMap::from([("topology.lunette.io/node".to_owned(), node.to_owned())]);
        let requirement = csi::TopologyRequirement { requisite: vec![], preferred: vec![csi::Topology { segments }] };
        let request = csi::CreateVolumeRequest {
            name: name.to_owned(),
            capacity_range: Some(csi::CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            volume_capabilities: capability(seen).into_iter().collect(),
            parameters: HashMap::from([("pool".to_owned(), "fast".to_owned())]),
            accessibility_requirements: Some(requirement),
            ..Default::default()
        };
        let made = driver.runtime.block_on(driver.controller().create_volume(request))?.into_inner();
        Ok(Volume { about: made.volume.context("a volume")?, seen })
    }

    /// Lets a node in: what it is told.
    pub fn attach(&self, driver: &Driver, node: &str) -> Result<HashMap<String, String>> {
        let request = csi::ControllerPublishVolumeRequest {
            volume_id: self.about.volume_id.clone(),
            node_id: node.to_owned(),
            volume_capability: capability(self.seen),
            volume_context: self.about.volume_context.clone(),
            ..Default::default()
        };
        let answer = driver.runtime.block_on(driver.controller().controller_publish_volume(request))?;
        Ok(answer.into_inner().publish_context)
    }

    /// Takes a node's access away.
    pub fn detach(&self, driver: &Driver, node: &str) -> Result<()> {
        let (volume_id, node_id) = (self.about.volume_id.clone(), node.to_owned());
        let request = csi::ControllerUnpublishVolumeRequest { volume_id, node_id, ..Default::default() };
        driver.runtime.block_on(driver.controller().controller_unpublish_volume(request))?;
        Ok(())
    }

    /// Has the controller make it larger.
    pub fn grow(&self, driver: &Driver, bytes: i64) -> Result<()> {
        let request = csi::ControllerExpandVolumeRequest {
            volume_id: self.about.volume_id.clone(),
            capacity_range: Some(csi::CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            volume_capability: capability(self.seen),
            ..Default::default()
        };
        driver.runtime.block_on(driver.controller().controller_expand_volume(request))?;
        Ok(())
    }

    /// Has the controller delete it, and its data.
    pub fn delete(self, driver: &Driver) -> Result<()> {
        let request = csi::DeleteVolumeRequest { volume_id: self.about.volume_id, ..Default::default() };
        driver.runtime.block_on(driver.controller().delete_volume(request))?;
        Ok(())
    }

    /// The name of its Lun.
    pub fn lun(&self) -> &str {
        self.about.volume_id.rsplit('/').next().unwrap_or_default()
    }

    /// Where it is staged on a node.
    pub fn staging(&self) -> String {
        format!("{KUBELET}/plugins/kubernetes.io/csi/csi.lunette.io/{}/globalmount", self.lun())
    }

    /// Where that pod sees it.
    pub fn target(&self, pod: &str) -> String {
        format!("{KUBELET}/pods/{pod}/volumes/kubernetes.io~csi/{}/mount", self.lun())
    }
}

fn capability(seen: Seen) -> Option<csi::VolumeCapability> {
    let access_type = match seen {
        Seen::As(fs_type) => AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..Default::default() }),
        Seen::Device => AccessType::Block(BlockVolume {}),
    };
    let access_mode = Some(AccessMode { mode: Mode::SingleNodeMultiWriter.into() });
    Some(csi::VolumeCapability { access_mode, access_type: Some(access_type) })
}

/// The calls that the kubelet of a node makes.
pub struct Kubelet<'a> {
    site: &'a Site,
    pub node: Node<'a>,
}

impl<'a> Kubelet<'a> {
    /// Of a node that boots now.
    pub fn of(site: &'a Site, name: &'static str) -> Result<Kubelet<'a>> {
        let kubelet = Kubelet { site, node: Node::named(site, name)? };
        kubelet.wait_ready()?;
        Ok(kubelet)
    }

    /// Waits until the agent says that it is ready.
    pub fn wait_ready(&self) -> Result<()> {
        patiently(|| {
            let probe: csi::ProbeResponse =
                self.ask("csi.v1.Identity/Probe", &csi::ProbeRequest {}, Duration::from_secs(10))??;
            anyhow::ensure!(probe.ready == Some(true), "the agent is not ready");
            Ok(())
        })
    }

    /// Makes a call; the service's own refusal is the inner error.
    pub fn ask<T: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
        patience: Duration,
    ) -> Result<Result<T, Status>> {
        grpc::call((&self.site.bed, &self.node.vm), &csi_socket(), &format!("/{method}"), request, patience)
    }

    /// What a kubelet is told that looks into its folder of plugins.
    pub fn registration(&self) -> Result<PluginInfo> {
        let socket = format!("{KUBELET}/plugins_registry/csi.lunette.io@reg.sock");
        let method = "/pluginregistration.Registration/GetInfo";
        Ok(grpc::call((&self.site.bed, &self.node.vm), &socket, method, &InfoRequest {}, PATIENCE)??)
    }

    fn node<T: Message + Default>(&self, call: &str, request: &impl Message) -> Result<Result<T, Status>> {
        self.ask(&format!("csi.v1.Node/{call}"), request, PATIENCE)
    }

    /// NodeStageVolume, within so much time.
    pub fn stage_within(
        &self,
        volume: &Volume,
        context: &HashMap<String, String>,
        patience: Duration,
    ) -> Result<Result<(), Status>> {
        self.node.vm.must(format!("mkdir -p {}", volume.staging()))?;
        let request = csi::NodeStageVolumeRequest {
            volume_id: volume.about.volume_id.clone(),
            publish_context: context.clone(),
            staging_target_path: volume.staging(),
            volume_capability: capability(volume.seen),
            volume_context: volume.about.volume_context.clone(),
            ..Default::default()
        };
        let staged = self.ask::<csi::NodeStageVolumeResponse>("csi.v1.Node/NodeStageVolume", &request, patience)?;
        Ok(staged.map(drop))
    }

    /// NodeStageVolume.
    pub fn stage(&self, volume: &Volume, context: &HashMap<String, String>) -> Result<Result<(), Status>> {
        self.stage_within(volume, context, PATIENCE)
    }

    /// NodePublishVolume for a pod of that name.
    pub fn publish(&self, volume: &Volume, pod: &str, readonly: bool) -> Result<Result<(), Status>> {
        let target = volume.target(pod);
        self.node.vm.must(format!("mkdir -p $(dirname {target})"))?;
        let request = csi::NodePublishVolumeRequest {
            volume_id: volume.about.volume_id.clone(),
            staging_target_path: volume.staging(),
            target_path: target,
            volume_capability: capability(volume.seen),
            volume_context: volume.about.volume_context.clone(),
            readonly,
            ..Default::default()
        };
        Ok(self.node::<csi::NodePublishVolumeResponse>("NodePublishVolume", &request)?.map(drop))
    }

    /// NodeUnpublishVolume for a pod of that name.
    pub fn unpublish(&self, volume: &Volume, pod: &str) -> Result<Result<(), Status>> {
        let (volume_id, target_path) = (volume.about.volume_id.clone(), volume.target(pod));
        let request = csi::NodeUnpublishVolumeRequest { volume_id, target_path };
        Ok(self.node::<csi::NodeUnpublishVolumeResponse>("NodeUnpublishVolume", &request)?.map(drop))
    }

    /// NodeUnstageVolume, within so much time.
    pub fn unstage_within(&self, volume: &Volume, patience: Duration) -> Result<Result<(), Status>> {
        let (volume_id, staging_target_path) = (volume.about.volume_id.clone(), volume.staging());
        let request = csi::NodeUnstageVolumeRequest { volume_id, staging_target_path };
        let unstaged =
            self.ask::<csi::NodeUnstageVolumeResponse>("csi.v1.Node/NodeUnstageVolume", &request, patience)?;
        Ok(unstaged.map(drop))
    }

    /// NodeUnstageVolume.
    pub fn unstage(&self, volume: &Volume) -> Result<Result<(), Status>> {
        self.unstage_within(volume, PATIENCE)
    }

    /// NodeExpandVolume where that pod sees it; its size.
    pub fn expand(&self, volume: &Volume, pod: &str, bytes: i64) -> Result<i64> {
        let request = csi::NodeExpandVolumeRequest {
            volume_id: volume.about.volume_id.clone(),
            volume_path: volume.target(pod),
            staging_target_path: volume.staging(),
            capacity_range: Some(csi::CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            volume_capability: capability(volume.seen),
            ..Default::default()
        };
        Ok(self.node::<csi::NodeExpandVolumeResponse>("NodeExpandVolume", &request)??.capacity_bytes)
    }

    /// NodeGetVolumeHealth: the reasons of what is wrong.
    pub fn health(&self, volume: &Volume) -> Result<Vec<String>> {
        let request = csi::NodeGetVolumeHealthRequest {
            volume_id: volume.about.volume_id.clone(),
            staging_target_path: volume.staging(),
            ..Default::default()
        };
        let health = self.node::<csi::NodeGetVolumeHealthResponse>("NodeGetVolumeHealth", &request)??;
        let entries = health.volume_health.context("no health")?.health_statuses;
        Ok(entries.into_iter().map(|entry| entry.reason).collect())
    }

    /// `lunette-node attach` or `detach` of the volume's Lun; the disk, which is the last word that attach prints.
    pub fn order(&self, word: &str, volume: &Volume) -> Result<String> {
        let binary = self.site.binary("lunette-node");
        let said = self.node.vm.must(format!("{} {word} {SYSTEM}/{} --timeout 60", binary.display(), volume.lun()))?;
        said.split_whitespace().last().map(str::to_owned).context("it prints nothing")
    }

    /// That nothing of the volume is left on the node.
    pub fn is_clean_of(&self, volume: &Volume) -> Result<()> {
        let (staging, lun) = (volume.staging(), volume.lun());
        self.node.vm.must(format!(
            "[ -z \"$(ls -A {staging})\" ] && ! grep -q {lun} /proc/self/mountinfo && rmdir {staging} && \
             if pidof iscsid >/dev/null; then ! iscsiadm -m session && ! iscsiadm -m node && ! ls /etc/iscsi/nodes/iqn*; fi"
        ))?;
        Ok(())
    }
}
