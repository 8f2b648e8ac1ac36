//! Going away: a Lun waits for its agent, a pool for its Luns.

use std::time::Duration;

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::agent::Agent;
use super::operator::Operator;
use super::site::{SOON, Site, condition, lun, pool, says};

fn delete(site: &Site, what: &[&str]) -> Result<()> {
    site.plane.kubectl_must([["delete", "--wait=false"].as_slice(), what].concat()).map(drop)
}

fn released_message(lun: &Value) -> String {
    condition(lun, "Released")["message"].as_str().unwrap_or_default().to_owned()
}

pub fn a_deleted_lun_waits_for_its_agent(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    site.apply(&lun("db", |_| ()))?;
    let db = site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    agent.serve(&db)?;
    site.wait_lun("db", |lun| lun["status"]["state"] == "Ready")?;
    // What the agent said of an earlier generation is not about the deletion.
    delete(&site, &["lun", "db", "-n", "prod"])?;
    let waiting = site.wait_lun("db", |lun| says(lun, "Released", "False", "WaitingForNode"))?;
    ensure!(waiting["status"]["state"] == "Deleting", "{waiting:#}");
    let message = released_message(&waiting);
    ensure!(message.ends_with("waiting for the agent of node a to remove the export"), "{message}");
    agent.unexport(&db)?;
    std::thread::sleep(Duration::from_secs(2));
    site.lun("db")?;
    agent.unexport(&waiting)?;
    site.wait_gone(&["lun", "db", "-n", "prod"])?;
    ensure!(site.events("prod", "db", "Deleted")? == ["node a has removed the export"]);
    // One that no node ever had goes at once.
    site.apply(&lun("never", |spec| spec["pool"] = "missing".into()))?;
    site.wait_lun("never", |lun| says(lun, "Placed", "False", "PoolNotFound"))?;
    delete(&site, &["lun", "never", "-n", "prod"])?;
    site.wait_gone(&["lun", "never", "-n", "prod"])
}

pub fn a_deleted_lun_can_be_given_up(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    site.apply(&lun("db", |spec| spec["reclaimPolicy"] = "Delete".into()))?;
    site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    agent.beat(2)?;
    site.wait_lun("db", |lun| says(lun, "NodeReachable", "False", "NodeLost"))?;
    delete(&site, &["lun", "db", "-n", "prod"])?;
    let waiting = site.wait_lun("db", |lun| says(lun, "Released", "False", "WaitingForNode"))?;
    let message = released_message(&waiting);
    ensure!(message.contains(
        "waiting for the agent of node a to remove the export and the data, which has given no sign of life since"
    ));
    let command = "kubectl annotate lun db -n prod lunette.io/force-delete=true";
    ensure!(message.ends_with(command), "{message}");
    site.plane.kubectl_must(["delete", "lunnode", "a"])?;
    site.wait_lun("db", |lun| released_message(lun).contains("but no LunNode of that name exists"))?;
    site.plane.kubectl_must(command.split(' ').skip(1))?;
    site.wait_gone(&["lun", "db", "-n", "prod"])?;
    ensure!(site.events("prod", "db", "Deleted")? == ["given up by annotation: node a may still hold it"]);
    Ok(())
}

pub fn a_pool_in_use_does_not_go(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let agent = Agent::ready(&site.plane, "a")?;
    for name in ["db-1", "db-2"] {
        site.apply(&lun(name, |_| ()))?;
        agent.serve(&site.wait_lun(name, |lun| lun["status"]["node"] == "a")?)?;
    }
    delete(&site, &["lunpool", "fast"])?;
    let kept = site.plane.wait_for_json(["lunpool", "fast"], SOON, |pool| says(pool, "Released", "False", "InUse"))?;
    let message = "2 Luns use it: prod/db-1, prod/db-2; the pool goes when they go";
    ensure!(condition(&kept, "Released")["message"] == message, "{kept:#}");
    ensure!(site.events("default", "fast", "InUse")? == [message]);
    site.apply(&lun("late", |_| ()))?;
    let late = site.wait_lun("late", |lun| says(lun, "Placed", "False", "PoolUnavailable"))?;
    ensure!(condition(&late, "Placed")["message"] == "pool fast is being deleted", "{late:#}");
    for name in ["db-1", "db-2", "late"] {
        delete(&site, &["lun", name, "-n", "prod"])?;
        if name != "late" {
            agent.unexport(&site.wait_lun(name, |lun| lun["status"]["state"] == "Deleting")?)?;
        }
        site.wait_gone(&["lun", name, "-n", "prod"])?;
    }
    site.wait_gone(&["lunpool", "fast"])
}
