//! Operators that die at any moment, and two that would both lead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::agent::Agent;
use super::operator::Operator;
use super::site::{Site, lun, patiently, pool};

const LUNS: usize = 20;

/// A pause that differs each time, without a random number generator: a failure's log shows the order anyway.
fn pause(round: u64) -> Duration {
    Duration::from_millis(round.wrapping_mul(2_654_435_761) % 700)
}

pub fn an_operator_killed_anywhere_goes_on(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    site.apply(&pool("fast", |_| ()))?;
    let agents = [Agent::ready(&site.plane, "a")?, Agent::ready(&site.plane, "b")?];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let killing = scope.spawn(|| kill_again_and_again(&site, &done));
        let outcome = live_and_go(&site, &agents);
        done.store(true, Ordering::Relaxed);
        let rounds = killing.join().map_err(|_| anyhow::anyhow!("the killer panicked"))??;
        outcome?;
        ensure!(rounds >= 5, "the operator was killed {rounds} times only");
        Ok(())
    })
}

/// Starts the operator and kills it some moments after it leads, until told; how often.
fn kill_again_and_again(site: &Site, done: &AtomicBool) -> Result<u64> {
    let mut rounds = 0;
    while !done.load(Ordering::Relaxed) {
        let mut operator = Operator::launch(site, "operator-0", 8080)?;
        operator.wait_leader()?;
        std::thread::sleep(pause(rounds));
        operator.daemon.signal(Signal::SIGKILL)?;
        rounds += 1;
    }
    Ok(rounds)
}

/// Twenty Luns come, are served and go, each on one node all its life.
fn live_and_go(site: &Site, agents: &[Agent<'_>]) -> Result<()> {
    for i in 0..LUNS {
        site.apply(&lun(&format!("db-{i}"), |_| ()))?;
    }
    let placed = wait_all(site, |lun| lun["status"]["node"].is_string() && lun["status"]["target"]["iqn"].is_string())?;
    for lun in &placed {
        agent_of(agents, lun)?.serve(lun)?;
    }
    let ready = wait_all(site, |lun| lun["status"]["state"] == "Ready")?;
    for (before, after) in placed.iter().zip(&ready) {
        for field in ["node", "epoch", "wwid"] {
            ensure!(before["status"][field] == after["status"][field], "{field} changed:\n{before:#}\n{after:#}");
        }
    }
    let on_a = ready.iter().filter(|lun| lun["status"]["node"] == "a").count();
    ensure!(on_a == LUNS / 2, "{on_a} of {LUNS} on the one of two equal nodes");
    site.plane.kubectl_must(["delete", "luns", "--all", "-n", "prod", "--wait=false"])?;
    for lun in wait_all(site, |lun| lun["status"]["state"] == "Deleting")? {
        agent_of(agents, &lun)?.unexport(&lun)?;
    }
    site.wait_gone(&["luns", "-n", "prod"])
}

fn wait_all(site: &Site, accepted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
    patiently(|| {
        let list = site.plane.get_json(["luns", "-n", "prod"])?;
        let luns = list["items"].as_array().cloned().context("no list")?;
        let odd = luns.iter().find(|lun| !accepted(lun));
        ensure!(luns.len() == LUNS && odd.is_none(), "{} Luns; one not as it should be: {odd:#?}", luns.len());
        Ok(luns)
    })
}

fn agent_of<'a>(agents: &'a [Agent<'a>], lun: &Value) -> Result<&'a Agent<'a>> {
    agents.iter().find(|a| lun["status"]["node"] == a.node.as_str()).context("a Lun on a node that does not exist")
}

pub fn of_two_operators_one_writes(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    site.apply(&pool("fast", |_| ()))?;
    let _agent = Agent::ready(&site.plane, "a")?;
    let first = Operator::start(&site)?;
    let mut second = Operator::launch(&site, "operator-1", 8081)?;
    patiently(|| {
        ensure!(second.get("/readyz")?.starts_with("HTTP/1.1 200"), "not ready to stand by");
        Ok(())
    })?;
    let leads = |operator: &Operator<'_>| operator.metric("lunette_operator_is_leader");
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        ensure!(leads(&first)? == 1 && leads(&second)? == 0, "both lead, or none, or they have changed");
        std::thread::sleep(Duration::from_millis(200));
    }
    // A leader that stops in order hands over at once; one that is killed, when its Lease ends.
    let status = first.daemon.stop(Duration::from_secs(10))?;
    ensure!(status.success(), "stopped with {status}");
    second.wait_leader()?;
    let third = Operator::launch(&site, "operator-2", 8082)?;
    drop(second);
    let mut third = third;
    third.wait_leader()?;
    site.apply(&lun("db", |_| ()))?;
    site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    a_leader_that_was_frozen_stops(&site, third)
}

/// A leader that was frozen for longer than its Lease wakes up to find another: it writes nothing and ends.
fn a_leader_that_was_frozen_stops(site: &Site, mut frozen: Operator<'_>) -> Result<()> {
    let mut fourth = Operator::launch(site, "operator-3", 8083)?;
    frozen.daemon.signal(Signal::SIGSTOP)?;
    fourth.wait_leader()?;
    frozen.daemon.signal(Signal::SIGCONT)?;
    patiently(|| {
        let ended = frozen.daemon.ended()?.context("the frozen leader goes on")?;
        ensure!(!ended.success(), "it ended as if all were well");
        Ok(())
    })?;
    let said = std::fs::read_to_string(frozen.daemon.log())?;
    ensure!(said.contains("no longer leading: stopping, so that nothing is written twice"), "{said}");
    Ok(())
}

pub fn an_operator_without_an_api_server_stops_and_comes_back(context: &Context) -> Result<()> {
    let mut site = Site::up(context)?;
    site.apply(&pool("fast", |_| ()))?;
    let mut alone = Operator::start(&site)?.daemon;
    site.plane.stop_apiserver();
    patiently(|| {
        let ended = alone.ended()?.context("it goes on although its Lease has ended")?;
        ensure!(!ended.success(), "it ended as if all were well");
        Ok(())
    })?;
    let said = std::fs::read_to_string(alone.log())?;
    ensure!(said.contains("the leader's Lease could not be renewed for"), "{said}");
    site.plane.start_apiserver()?;
    let _agent = Agent::ready(&site.plane, "a")?;
    let _operator = Operator::start(&site)?;
    // A server that has just started refuses what a policy is about until it has found the policy's parameters (paramKind).
    patiently(|| site.apply(&lun("db", |_| ())))?;
    site.wait_lun("db", |lun| lun["status"]["node"] == "a")?;
    Ok(())
}
