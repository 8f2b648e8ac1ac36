//! The operator's daily work: Luns find nodes, and their status says what is.

use std::time::{Duration, Instant};

use anyhow::ensure;
use lunette_bed::{Context, ControlPlaneSpec, Result};
use serde_json::{Value, json};

use super::agent::{Agent, pool as node_pool};
use super::operator::Operator;
use super::site::{Site, condition, lun, patiently, pool, says};

/// How long the API server is watched for writes that nobody asked for.
const STEADY: Duration = Duration::from_secs(20);

pub fn a_lun_is_placed_and_served(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    site.apply(&lun("db", |spec| {
        spec["initiators"] = json!([{"iqn": "iqn.2026-01.io.example:c", "chapSecret": {"name": "chap"}}]);
    }))?;
    let db = site.wait_lun("db", |lun| says(lun, "Placed", "True", "Placed"))?;
    let uid = db["metadata"]["uid"].as_str().unwrap_or_default();
    ensure!(db["status"]["node"] == "a" && db["status"]["epoch"] == 1 && db["status"]["state"] == "Placed", "{db:#}");
    ensure!(db["status"]["target"] == json!({"iqn": format!("iqn.2026-01.io.lunette:{uid}"), "lun": 0}), "{db:#}");
    let wwid = db["status"]["wwid"].as_str().unwrap_or_default();
    ensure!(wwid.starts_with("naa.6001405") && wwid.len() == 36, "{wwid}");
    ensure!(db["metadata"]["finalizers"] == json!(["lunette.io/unexport"]), "{db:#}");
    ensure!(agent.kubectl(&["auth", "can-i", "get", "secret/chap", "-n", "prod"], "")?.stdout.trim() == "yes");
    agent.serve(&db)?;
    site.wait_lun("db", |lun| lun["status"]["state"] == "Ready")?;
    let table = site.plane.kubectl_must(["get", "luns", "-n", "prod"])?;
    let words: Vec<&str> = table.split_whitespace().collect();
    ensure!(words[..7] == ["NAME", "POOL", "SIZE", "NODE", "STATE", "SESSIONS", "AGE"], "{table}");
    ensure!(words[7..13] == ["db", "fast", "1Gi", "a", "Ready", "0"], "{table}");
    ensure!(site.events("prod", "db", "Placed")? == ["node a serves it"]);
    ensure!(
        operator.get("/healthz")?.starts_with("HTTP/1.1 200") && operator.get("/readyz")?.starts_with("HTTP/1.1 200")
    );
    // The grant follows the list of initiators.
    site.apply(&lun("db", |spec| spec["initiators"] = json!([{"iqn": "iqn.2026-01.io.example:c"}])))?;
    patiently(|| {
        let allowed = agent.kubectl(&["auth", "can-i", "get", "secret/chap", "-n", "prod"], "")?;
        ensure!(allowed.stdout.trim() == "no", "the agent may still read the Secret");
        Ok(())
    })
}

pub fn the_oldest_api_serves_as_well(context: &Context) -> Result<()> {
    let site = Site::of(context, ControlPlaneSpec::new().emulated_version("1.34"))?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    site.apply(&lun("db", |_| ()))?;
    let db = site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    agent.serve(&db)?;
    site.wait_lun("db", |lun| lun["status"]["state"] == "Ready")?;
    let on_a = site.plane.kubectl_must(["get", "luns", "-A", "--field-selector=status.node=a", "-o", "name"])?;
    let on_b = site.plane.kubectl_must(["get", "luns", "-A", "--field-selector=status.node=b", "-o", "name"])?;
    ensure!(on_a == "lun.lunette.io/db" && on_b.is_empty(), "on a: {on_a}; on b: {on_b}");
    Ok(())
}

/// Writes that the API server has taken, but for heartbeats.
fn writes(site: &Site) -> Result<u64> {
    let text = site.plane.kubectl_must(["get", "--raw", "/metrics"])?;
    let counted = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && ["APPLY", "PATCH", "PUT", "POST", "DELETE"].iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")))
            && ["luns", "lunpools", "lunnodes", "events", "roles", "rolebindings"]
                .iter()
                .any(|resource| line.contains(&format!("resource=\"{resource}\"")))
    };
    let count = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(text.lines().filter(counted).map(count).sum::<f64>() as u64)
}

pub fn nothing_is_written(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    for i in 0..5 {
        site.apply(&lun(&format!("db-{i}"), |_| ()))?;
        agent.serve(&site.wait_lun(&format!("db-{i}"), |lun| lun["status"]["node"] == "a")?)?;
        site.wait_lun(&format!("db-{i}"), |lun| lun["status"]["state"] == "Ready")?;
    }
    site.apply(&lun("stuck", |spec| spec["pool"] = json!("missing")))?;
    site.wait_lun("stuck", |lun| says(lun, "Placed", "False", "PoolNotFound"))?;
    site.plane.wait_for_json(["lunpool", "fast"], super::site::SOON, |pool| pool["status"]["luns"] == 5)?;
    std::thread::sleep(Duration::from_secs(3));
    let before = (writes(&site)?, site.plane.get_json(["luns,lunpools,lunnodes", "-A"])?);
    ensure!(before.0 > 10, "the API server's metrics show no writes at all: {}", before.0);
    agent.beat(60)?;
    std::thread::sleep(STEADY);
    let after = (writes(&site)?, site.plane.get_json(["luns,lunpools,lunnodes", "-A"])?);
    ensure!(before == after, "{} writes in {STEADY:?}", after.0 - before.0);
    // A restarted operator finds everything as it should be.
    drop(operator);
    let operator = Operator::start(&site)?;
    patiently(|| {
        ensure!(operator.metric("lunette_operator_reconciles_total{kind=\"Lun\"}")? >= 6);
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(writes(&site)? == before.0, "a restarted operator writes");
    Ok(())
}

pub fn a_lun_without_a_node_says_why(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    site.apply(&lun("db", |spec| spec["size"] = json!("60Gi")))?;
    let message = |reason: &'static str| {
        let lun = site.wait_lun("db", |lun| says(lun, "Placed", "False", reason))?;
        ensure!(lun["status"]["state"] == "Pending" && lun["status"]["node"].is_null(), "{lun:#}");
        Ok(condition(&lun, "Placed")["message"].as_str().unwrap_or_default().to_owned())
    };
    ensure!(message("PoolNotFound")? == "pool fast does not exist: create it, or see `kubectl get lunpools`");
    site.apply(&pool("fast", |spec| spec["overcommitPercent"] = json!(100)))?;
    ensure!(message("NoNode")? == "no node has joined: is the DaemonSet lunette-node running? (kubectl get lunnodes)");
    let a = Agent::new(&site.plane, "a")?;
    let says_now = |words: &str| {
        patiently(|| {
            let said = message("NoNode")?;
            ensure!(said == format!("no node can take it: {words}"), "it says {said:?}");
            Ok(())
        })
    };
    a.report(&json!({}), true)?;
    says_now("a: its agent gives no sign of life")?;
    a.beat(3600)?;
    says_now("a: its agent says nothing of the pool")?;
    a.report(&json!({"fast": {"ready": false, "message": "/var/lib/lunette/pool is no directory"}}), true)?;
    says_now("a: it cannot serve the pool: /var/lib/lunette/pool is no directory")?;
    a.report(&json!({"fast": node_pool(50)}), false)?;
    says_now("a: it is not ready: target_core_user is missing")?;
    a.report(&json!({"fast": node_pool(50)}), true)?;
    says_now("a: 64424509440 bytes are more than its largest volume of 53687091200")?;
    let events = site.events("prod", "db", "NoNode")?;
    ensure!(events.len() == 1, "one event while it stays so: {events:?}");
    a.report(&json!({"fast": node_pool(100)}), true)?;
    site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    site.apply(&lun("db-2", |spec| spec["size"] = json!("60Gi")))?;
    let second = site.wait_lun("db-2", |lun| says(lun, "Placed", "False", "NoNode"))?;
    ensure!(condition(&second, "Placed")["message"].as_str().is_some_and(|m| m.ends_with(
        "64424509440 bytes promised and 64424509440 wanted would pass the pool's overcommit limit of 107374182400"
    )));
    let b = Agent::ready(&site.plane, "b")?;
    site.wait_lun("db-2", |lun| lun["status"]["node"] == b.node)?;
    Ok(())
}

pub fn what_another_hand_writes_is_put_back(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    site.apply(&lun("db", |_| ()))?;
    let placed = site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    agent.serve(&placed)?;
    let before = site.wait_lun("db", |lun| lun["status"]["state"] == "Ready")?;
    let patch = |sub: &[&str], patch: Value| {
        let patch = patch.to_string();
        site.plane
            .kubectl_must([["patch", "lun", "db", "-n", "prod", "--type=merge", "-p", &patch].as_slice(), sub].concat())
    };
    let status = ["--subresource=status"];
    patch(&status, json!({"status": {"wwid": "naa.1", "state": "Fine", "target": {"iqn": "iqn.forged", "lun": 7}}}))?;
    let own = |lun: &Value| ["node", "epoch", "wwid", "state", "target"].map(|field| lun["status"][field].clone());
    site.wait_lun("db", |lun| own(lun) == own(&before))?;
    patch(
        &status,
        json!({"status": {"conditions": [{"type": "Placed", "status": "False", "reason": "Forged", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
    )?;
    site.wait_lun("db", |lun| says(lun, "Placed", "True", "Placed") && lun["status"]["state"] == "Placed")?;
    agent.serve(&placed)?;
    site.wait_lun("db", |lun| own(lun) == own(&before))?;
    patch(&[], json!({"metadata": {"finalizers": null}}))?;
    site.wait_lun("db", |lun| lun["metadata"]["finalizers"] == json!(["lunette.io/unexport"]))?;
    Ok(())
}

pub fn a_node_that_vanishes_is_noticed(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let (a, b) = (Agent::ready(&site.plane, "a")?, Agent::ready(&site.plane, "b")?);
    site.apply(&lun("db", |spec| spec["nodeName"] = json!("a")))?;
    a.serve(&site.wait_lun("db", |lun| lun["status"]["node"] == "a")?)?;
    site.wait_lun("db", |lun| lun["status"]["state"] == "Ready")?;
    a.beat(2)?;
    let lost = site.wait_lun("db", |lun| says(lun, "NodeReachable", "False", "NodeLost"))?;
    ensure!(lost["status"]["state"] == "Degraded" && lost["status"]["node"] == "a", "it is not moved: {lost:#}");
    let message = condition(&lost, "NodeReachable")["message"].as_str().unwrap_or_default().to_owned();
    ensure!(message.starts_with("the agent of node a has given no sign of life since 20"), "{message}");
    site.plane.wait_for_json(["lunpool", "fast"], super::site::SOON, |pool| pool["status"]["nodes"] == json!(["b"]))?;
    site.apply(&lun("db-2", |_| ()))?;
    site.wait_lun("db-2", |lun| lun["status"]["node"] == b.node)?;
    site.plane.kubectl_must(["delete", "lunnode", "a"])?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        ensure!(site.lun("db")?["status"]["node"] == "a");
    }
    let back = Agent::ready(&site.plane, "a")?;
    site.wait_lun("db", |lun| lun["status"]["state"] == "Ready" && condition(lun, "NodeReachable").is_null())?;
    ensure!(back.node == "a");
    Ok(())
}

pub fn a_malformed_object_stops_nothing(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _agent = Agent::ready(&site.plane, "a")?;
    site.apply(&pool("fast", |_| ()))?;
    without_schema(&site, "luns", || site.apply(&lun("bad", |spec| *spec = json!({"pool": 7, "size": ["large"]}))))?;
    without_schema(&site, "lunpools", || site.apply(&pool("bad", |spec| *spec = json!({"directory": "here"}))))?;
    let operator = Operator::start(&site)?;
    site.apply(&lun("good", |_| ()))?;
    site.wait_lun("good", |lun| lun["status"]["node"] == "a")?;
    patiently(|| {
        ensure!(operator.metric("lunette_operator_reconcile_errors_total{kind=\"Lun\",error=\"malformed\"}")? >= 1);
        ensure!(operator.metric("lunette_operator_reconcile_errors_total{kind=\"LunPool\",error=\"malformed\"}")? >= 1);
        let events = site.events("prod", "bad", "InvalidSpec")?;
        ensure!(events.iter().any(|e| e.starts_with("Lun prod/bad cannot be read as it is stored:")), "{events:?}");
        let events = site.events("default", "bad", "InvalidSpec")?;
        ensure!(events.iter().any(|e| e.starts_with("LunPool bad cannot be read as it is stored:")), "{events:?}");
        Ok(())
    })
}

/// Does something while a kind has no schema, as an older version might have left objects behind.
fn without_schema(site: &Site, plural: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let name = format!("{plural}.lunette.io");
    let strict = site.plane.get_json(["crd", &name])?;
    let mut loose = strict.clone();
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    loose["spec"]["versions"][0]["selectableFields"] = json!([]);
    let replace = |mut crd: Value| {
        crd["metadata"] = json!({"name": name});
        site.plane.kubectl_with_input(["replace", "-f", "-"], &crd.to_string())?.ok().map(drop)
    };
    replace(loose)?;
    let mut work = Some(work);
    // The API server takes up a changed schema a moment later.
    std::thread::sleep(Duration::from_secs(2));
    work.take().map_or(Ok(()), |work| work())?;
    replace(strict)?;
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}
