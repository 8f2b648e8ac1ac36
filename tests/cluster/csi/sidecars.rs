//! The real sidecars, run as processes with the account, the rights and the arguments that the chart gives them: from a
//! claim to a volume, attached, grown, changed, detached and deleted. The controllers of Kubernetes are real; kubelets
//! and agents are played.

use std::path::Path;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, ControlPlaneSpec, Daemon, Result};
use serde_json::{Value, json};

use super::super::charts::helm::{Helm, documents, parsed};
use super::super::site::{SOON, SYSTEM, Site, patiently};
use super::{Driver, with_driver_on};

const NODES: [&str; 2] = ["a", "b"];
const TOPOLOGY: &str = "topology.lunette.io/node";

/// On the newest API and on the oldest that the chart admits.
pub fn sidecars_do_what_claims_ask(context: &Context) -> Result<()> {
    for spec in [ControlPlaneSpec::new(), ControlPlaneSpec::new().emulated_version("1.34")] {
        with_driver_on(context, spec.with_controllers(), |site, _, driver| {
            kubelets_have_registered(site)?;
            classes(site)?;
            let sidecars = start(site, driver)?;
            capacities_are_published(site)?;
            let lun = a_claim_gets_a_lun(site)?;
            a_node_attaches_it(site, &lun)?;
            a_claim_grows_and_changes(site, &lun)?;
            a_claim_with_a_chosen_node_gets_a_lun_there(site)?;
            nothing_stays(site)?;
            sidecars.iter().try_for_each(was_allowed_all)
        })?;
    }
    Ok(())
}

/// What kubelets write when the driver registers with them.
fn kubelets_have_registered(site: &Site) -> Result<()> {
    for node in NODES {
        site.apply(
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {TOPOLOGY: node}}}),
        )?;
        let driver = json!({"name": "csi.lunette.io", "nodeID": node, "topologyKeys": [TOPOLOGY]});
        site.apply(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node},
            "spec": {"drivers": [driver]}}))?;
    }
    Ok(())
}

fn classes(site: &Site) -> Result<()> {
    for (name, mode) in [("now", "Immediate"), ("later", "WaitForFirstConsumer")] {
        site.apply(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "csi.lunette.io", "parameters": {"pool": "fast"}, "volumeBindingMode": mode,
            "allowVolumeExpansion": true}))?;
    }
    site.apply(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass",
        "metadata": {"name": "through"}, "driverName": "csi.lunette.io", "parameters": {"writeCache": "WriteThrough"}}))
}

/// Starts each as the pod of the chart would, but for where things are.
fn start(site: &Site, driver: &Driver) -> Result<Vec<Daemon>> {
    let rendered = Helm::alone(&site.bed).render(None)?;
    let document =
        documents(&rendered).into_iter().find(|d| d.contains("kind: Deployment\nmetadata:\n  name: lunette-csi"));
    let deployment = parsed(&site.plane, document.context("the chart has the Deployment")?)?;
    let token = site.plane.kubectl_must(["create", "token", "lunette-csi", "-n", SYSTEM])?;
    let kubeconfig = site.plane.kubeconfig_for_token("sidecars", &token)?;
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let sidecars = containers.iter().filter(|container| container["name"] != "driver");
    sidecars.map(|container| one(site, driver, &kubeconfig, container)).collect()
}

fn one(site: &Site, driver: &Driver, kubeconfig: &Path, container: &Value) -> Result<Daemon> {
    let name = container["name"].as_str().context("a container has a name")?;
    let mut command = site.bed.command(site.bed.ground().program(name)?);
    for argument in container["args"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        command.arg(argument.replace("/csi/csi.sock", &driver.socket.display().to_string()));
    }
    command.arg("--kubeconfig").arg(kubeconfig).env("NAMESPACE", SYSTEM).env("POD_NAME", pod(site)?);
    Daemon::start(&site.bed, name, command)
}

/// The pod that the Deployment controller made; it runs nowhere.
fn pod(site: &Site) -> Result<String> {
    patiently(|| {
        let pods = site.plane.get_json(["pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=lunette-csi"])?;
        Ok(pods["items"][0]["metadata"]["name"].as_str().context("no pod of lunette-csi yet")?.to_owned())
    })
}

/// One for each class and node, and they go with the Deployment.
fn capacities_are_published(site: &Site) -> Result<()> {
    patiently(|| {
        let list = site.plane.get_json(["csistoragecapacities", "-n", SYSTEM])?;
        let all = list["items"].as_array().cloned().unwrap_or_default();
        let of_later: Vec<&Value> = all.iter().filter(|c| c["storageClassName"] == "later").collect();
        ensure!(of_later.len() == NODES.len(), "{list:#}");
        let owned = |c: &&Value| c["metadata"]["ownerReferences"][0]["name"] == "lunette-csi";
        ensure!(of_later.iter().all(|c| owned(c) && c["capacity"].is_string()), "{list:#}");
        Ok(())
    })
}

fn claim(name: &str, class: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
    change(&mut claim);
    claim
}

/// The Lun of a claim, once it is bound.
fn bound(site: &Site, name: &str) -> Result<String> {
    let is_bound = |claim: &Value| claim["status"]["phase"] == "Bound";
    let claim = site.plane.wait_for_json(["pvc", name, "-n", "prod"], SOON, is_bound)?;
    Ok(claim["spec"]["volumeName"].as_str().context("a bound claim names its volume")?.to_owned())
}

fn lun(site: &Site, name: &str) -> Result<Value> {
    site.plane.get_json(["lun", name, "-n", SYSTEM])
}

fn a_claim_gets_a_lun(site: &Site) -> Result<String> {
    site.apply(&claim("data", "now", |_| ()))?;
    let name = bound(site, "data")?;
    let volume = site.plane.get_json(["pv", &name])?;
    let handle = format!("{SYSTEM}/{name}");
    ensure!(volume["spec"]["csi"]["volumeHandle"] == handle.as_str(), "{volume:#}");
    // A LUN can be reached from every node.
    ensure!(volume["spec"]["nodeAffinity"].is_null(), "{volume:#}");
    let lun = lun(site, &name)?;
    let for_whom = &lun["metadata"]["annotations"]["csi.lunette.io/pvc-name"];
    ensure!(lun["metadata"]["labels"]["lunette.io/claim-namespace"] == "prod" && *for_whom == "data", "{lun:#}");
    Ok(name)
}

/// As Kubernetes' attach-detach controller asks for it.
fn a_node_attaches_it(site: &Site, name: &str) -> Result<()> {
    site.apply(&json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "data-b"},
        "spec": {"attacher": "csi.lunette.io", "nodeName": "b", "source": {"persistentVolumeName": name}}}))?;
    let attached = |attachment: &Value| attachment["status"]["attached"] == true;
    let attachment = site.plane.wait_for_json(["volumeattachment", "data-b"], SOON, attached)?;
    let lun = lun(site, name)?;
    ensure!(lun["spec"]["initiators"][0]["nodeName"] == "b", "{lun:#}");
    let wwid = &attachment["status"]["attachmentMetadata"]["wwid"];
    ensure!(*wwid == lun["status"]["wwid"], "{attachment:#}");
    Ok(())
}

/// In use as it is.
fn a_claim_grows_and_changes(site: &Site, name: &str) -> Result<()> {
    let patch = |patch: Value| {
        let patch = patch.to_string();
        site.plane.kubectl_must(["patch", "pvc", "data", "-n", "prod", "--type=merge", "-p", &patch]).map(drop)
    };
    patch(json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}))?;
    let grown = |volume: &Value| volume["spec"]["capacity"]["storage"] == "2Gi";
    site.plane.wait_for_json(["pv", name], SOON, grown)?;
    ensure!(lun(site, name)?["spec"]["size"] == "2147483648", "{:#}", lun(site, name)?);
    patch(json!({"spec": {"volumeAttributesClassName": "through"}}))?;
    let changed = |claim: &Value| claim["status"]["currentVolumeAttributesClassName"] == "through";
    site.plane.wait_for_json(["pvc", "data", "-n", "prod"], SOON, changed)?;
    ensure!(lun(site, name)?["spec"]["writeCache"] == "WriteThrough", "{:#}", lun(site, name)?);
    Ok(())
}

/// As the scheduler says it, when the first pod comes.
fn a_claim_with_a_chosen_node_gets_a_lun_there(site: &Site) -> Result<()> {
    let chosen = |claim: &mut Value| {
        claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": "b"});
    };
    site.apply(&claim("there", "later", chosen))?;
    let lun = lun(site, &bound(site, "there")?)?;
    ensure!(lun["status"]["node"] == "b", "{lun:#}");
    Ok(())
}

fn nothing_stays(site: &Site) -> Result<()> {
    site.plane.kubectl_must(["delete", "volumeattachment", "data-b", "--timeout=30s"])?;
    site.plane.kubectl_must(["delete", "pvc", "--all", "-n", "prod", "--timeout=30s"])?;
    for kind in ["pv", "luns"] {
        patiently(|| {
            let left = site.plane.kubectl_must(["get", kind, "-A", "-o", "name"])?;
            ensure!(left.is_empty(), "left: {left}");
            Ok(())
        })?;
    }
    let secrets = site.plane.kubectl_must(["get", "secrets", "-n", SYSTEM, "-o", "name"])?;
    ensure!(secrets.is_empty(), "left: {secrets}");
    Ok(())
}

/// A right that it lacks shows in its log, or nowhere.
fn was_allowed_all(sidecar: &Daemon) -> Result<()> {
    let log = std::fs::read_to_string(sidecar.log()).context("reading a sidecar's log")?;
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("forbidden")).collect();
    ensure!(refused.is_empty(), "{} was refused:\n{}", sidecar.log().display(), refused.join("\n"));
    Ok(())
}
