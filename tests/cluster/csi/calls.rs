//! A volume's life through the real driver and API server: what each call leaves in the cluster.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use lunette_api::csi::PublishContext;
use lunette_bed::{Context, Result};
use lunette_proto::csi;
use lunette_proto::csi::volume_capability::access_mode::Mode;
use lunette_proto::csi::volume_capability::{AccessMode, AccessType, BlockVolume};
use nix::sys::signal::Signal;
use serde_json::Value;
use tonic::{Code, Request};

use super::super::site::{SOON, SYSTEM, Site, patiently};
use super::agent::Agents;
use super::{Driver, with_driver};

const NAME: &str = "pvc-3fa85f64-5717-4562-b3fc-2c963f66afa6";

pub fn a_volume_lives_from_claim_to_deletion(context: &Context) -> Result<()> {
    with_driver(context, |site, agents, driver| {
        let volume = is_made_once(site, driver)?;
        let secret = is_attached_with_credentials_of_its_own(site, driver, &volume)?;
        outlives_the_driver(site, driver, &volume)?;
        is_detached_when_the_agent_says_so(site, agents, driver, &volume, &secret)?;
        let request = csi::DeleteVolumeRequest { volume_id: volume.volume_id.clone(), ..Default::default() };
        driver.runtime.block_on(driver.controller().delete_volume(request))?;
        ensure!(lun(site).is_err(), "the Lun is still there");
        Ok(())
    })
}

fn lun(site: &Site) -> Result<Value> {
    site.plane.get_json(["lun", NAME, "-n", SYSTEM])
}

fn capability() -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
        access_type: Some(AccessType::Block(BlockVolume {})),
    }
}

fn is_made_once(site: &Site, driver: &Driver) -> Result<csi::Volume> {
    let at = csi::Topology { segments: HashMap::from([("topology.lunette.io/node".to_owned(), "b".to_owned())]) };
    let parameter = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let request = csi::CreateVolumeRequest {
        name: NAME.to_owned(),
        capacity_range: Some(csi::CapacityRange { required_bytes: (1 << 30) + 1, limit_bytes: 0 }),
        volume_capabilities: vec![capability()],
        parameters: HashMap::from([parameter("pool", "fast"), parameter("csi.storage.k8s.io/pvc/namespace", "prod")]),
        accessibility_requirements: Some(csi::TopologyRequirement { requisite: vec![], preferred: vec![at] }),
        ..Default::default()
    };
    let make = || driver.runtime.block_on(driver.controller().create_volume(request.clone()));
    let volume = make()?.into_inner().volume.context("a volume")?;
    ensure!(make()?.into_inner().volume.as_ref() == Some(&volume), "another volume of the same name");
    let lun = lun(site)?;
    ensure!(lun["status"]["node"] == "b" && lun["status"]["state"] == "Ready", "{lun:#}");
    ensure!(lun["metadata"]["labels"]["lunette.io/claim-namespace"] == "prod", "{lun:#}");
    ensure!(lun["metadata"]["uid"] == volume.volume_context["uid"].as_str(), "{volume:?}");
    ensure!(volume.capacity_bytes == (1 << 30) + 512, "{volume:?}");
    Ok(volume)
}

fn attach(driver: &Driver, volume: &csi::Volume, node: &str) -> Result<PublishContext, tonic::Status> {
    let request = csi::ControllerPublishVolumeRequest {
        volume_id: volume.volume_id.clone(),
        node_id: node.to_owned(),
        volume_capability: Some(capability()),
        volume_context: volume.volume_context.clone(),
        ..Default::default()
    };
    let answer = driver.runtime.block_on(driver.controller().controller_publish_volume(request))?;
    PublishContext::from_map(&answer.into_inner().publish_context).map_err(|e| tonic::Status::internal(e.to_string()))
}

fn is_attached_with_credentials_of_its_own(site: &Site, driver: &Driver, volume: &csi::Volume) -> Result<String> {
    let context = attach(driver, volume, "a")?;
    ensure!(context.node == "b" && context.portals == ["192.0.2.1:3260"] && context.epoch == 1, "{context:?}");
    let secret = context.chap_secret.context("credentials")?;
    let stored = site.plane.get_json(["secret", &secret, "-n", SYSTEM])?;
    ensure!(
        stored["type"] == "lunette.io/chap" && stored["metadata"]["ownerReferences"][0]["name"] == NAME,
        "{secret}"
    );
    let refused = attach(driver, volume, "b").err().context("two nodes have it")?;
    ensure!(refused.code() == Code::FailedPrecondition && refused.message().contains("attached to a"), "{refused}");
    Ok(secret)
}

/// Another process knows what the first had begun.
fn outlives_the_driver(site: &Site, driver: &mut Driver, volume: &csi::Volume) -> Result<()> {
    driver.daemon.signal(Signal::SIGKILL)?;
    *driver = Driver::start(site)?;
    let listed = driver.runtime.block_on(driver.controller().list_volumes(csi::ListVolumesRequest::default()))?;
    let entries = listed.into_inner().entries;
    let entry = entries.iter().find(|entry| entry.volume.as_ref() == Some(volume)).context("the volume is listed")?;
    let nodes = entry.status.as_ref().map(|status| status.published_node_ids.clone());
    ensure!(nodes == Some(vec!["a".to_owned()]), "{entry:?}");
    Ok(())
}

fn is_detached_when_the_agent_says_so(
    site: &Site,
    agents: &Agents,
    driver: &Driver,
    volume: &csi::Volume,
    secret: &str,
) -> Result<()> {
    let detach = |patience| {
        let request = csi::ControllerUnpublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            node_id: "a".to_owned(),
            ..Default::default()
        };
        let mut request = Request::new(request);
        request.set_timeout(patience);
        driver.runtime.block_on(driver.controller().controller_unpublish_volume(request))
    };
    agents.be_silent(true);
    let early = detach(std::time::Duration::from_secs(3)).err().context("detached without its agent's word")?;
    ensure!(early.code() == Code::DeadlineExceeded && early.message().contains("lost its access"), "{early}");
    ensure!(site.plane.get_json(["secret", secret, "-n", SYSTEM]).is_ok(), "the agent may still need the Secret");
    agents.be_silent(false);
    detach(SOON)?;
    ensure!(site.plane.get_json(["secret", secret, "-n", SYSTEM]).is_err(), "the Secret is still there");
    patiently(|| {
        let lun = lun(site)?;
        ensure!(lun["status"]["epoch"] == 2, "{lun:#}");
        Ok(())
    })
}
