//! How long volumes take. Minutes each.

use std::time::Instant;

use anyhow::Context as _;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::super::site::SYSTEM;
use super::claims::{FOR_EVER, claim, running};
use super::site::{Installed, PATIENCE, WITHIN};

const PODS: usize = 20;
const CLAIMS: usize = 50;

/// From a claim and a pod to a pod that runs.
pub fn pods_with_new_volumes_run_soon(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let mut waits = Vec::new();
    for number in 0..PODS {
        let name = format!("timed-{number}");
        let began = Instant::now();
        site.apply(&claim(&name, |_| ()))?;
        site.start_pod(&name, None, running(FOR_EVER, &name))?;
        site.wait_pod(&name, "Running")?;
        waits.push(began.elapsed());
        site.delete_pod(&name)?;
        site.delete_claim(&name)?;
    }
    println!("     calls took on average: {}", means(&site)?);
    waits.sort();
    let seconds = |at: usize| waits[at].as_secs_f64();
    println!(
        "     claim to running pod over {PODS}: p50 {:.1} s, slowest {:.1} s",
        seconds(PODS / 2),
        seconds(PODS - 1)
    );
    Ok(())
}

/// Many at once: all are bound, and what that costs the API server.
pub fn fifty_claims_at_once_are_bound(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let claims = (0..CLAIMS).map(|number| {
        let mut claim = claim(&format!("many-{number}"), |spec| spec["storageClassName"] = json!("lunette-now"));
        claim["metadata"]["labels"] = json!({"many": "yes"});
        claim
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": claims.collect::<Vec<Value>>()});
    let (requests, began) = (requests(&site)?, Instant::now());
    site.apply(&list)?;
    let all_bound = |claims: &Value| {
        let items = claims["items"].as_array().cloned().unwrap_or_default();
        items.len() == CLAIMS && items.iter().all(|claim| claim["status"]["phase"] == "Bound")
    };
    site.plane.wait_for_json(["pvc", "-n", "prod", "-l", "many=yes"], PATIENCE, all_bound)?;
    let (took, each) = (began.elapsed(), (self::requests(&site)? - requests) / CLAIMS as f64);
    println!(
        "     {CLAIMS} claims at once: all bound after {:.1} s, {each:.0} API requests each by whomever; their owners were warned: {:?}",
        took.as_secs_f64(),
        warnings(&site)?
    );
    site.plane.kubectl_must(["delete", "pvc", "-n", "prod", "-l", "many=yes", WITHIN])?;
    let none = |luns: &Value| luns["items"].as_array().is_some_and(Vec::is_empty);
    site.plane.wait_for_json(["luns", "-n", SYSTEM], PATIENCE, none).map(drop)
}

/// What callers measured of CSI's calls: the sidecars' and the kubelets' own counts.
fn means(site: &Installed) -> Result<String> {
    let pods = site.plane.get_json(["pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=lunette-csi"])?;
    let pod = pods["items"][0]["metadata"]["name"].as_str().context("no pod of lunette-csi")?;
    let mut pages = Vec::new();
    for port in [8081, 8082] {
        pages.push(format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:{port}/proxy/metrics"));
    }
    pages.extend(site.nodes.iter().map(|node| format!("/api/v1/nodes/{}/proxy/metrics", node.name())));
    let mut all = String::new();
    for page in pages {
        all.push_str(&site.plane.kubectl_must(["get", "--raw", &page])?);
        all.push('\n');
    }
    let sum = |name: &str, method: &str| -> f64 {
        let of = |line: &&str| line.starts_with(name) && line.contains(&format!("/{method}\""));
        all.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let methods = [
        ("csi_sidecar", "CreateVolume"),
        ("csi_sidecar", "ControllerPublishVolume"),
        ("csi", "NodeStageVolume"),
        ("csi", "NodePublishVolume"),
        ("csi", "NodeUnstageVolume"),
        ("csi_sidecar", "ControllerUnpublishVolume"),
        ("csi_sidecar", "DeleteVolume"),
    ];
    let mean = |(by, method): (&str, &str)| {
        let [took, calls] = ["sum", "count"].map(|what| sum(&format!("{by}_operations_seconds_{what}"), method));
        format!("{method} {:.2} s of {calls}", took / calls)
    };
    Ok(methods.map(mean).join(", "))
}

/// All requests that the API server has answered.
fn requests(site: &Installed) -> Result<f64> {
    let page = site.plane.kubectl_must(["get", "--raw", "/metrics"])?;
    let counts = page.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// What the owners of these claims are warned of in their events.
fn warnings(site: &Installed) -> Result<Vec<String>> {
    let all = ["events", "-n", "prod", "--field-selector", "type=Warning,involvedObject.kind=PersistentVolumeClaim"];
    let events = site.plane.get_json(all)?["items"].as_array().cloned().unwrap_or_default();
    let of_these = events
        .iter()
        .filter(|event| event["involvedObject"]["name"].as_str().is_some_and(|name| name.starts_with("many-")));
    Ok(of_these.map(|event| event["message"].to_string()).collect())
}
