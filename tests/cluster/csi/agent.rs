//! Agents that serve the Luns of volumes as they are told, as long as a test wants them to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use lunette_bed::{ControlPlane, Result};
use serde_json::{Value, json};

use super::super::agent::{Agent, condition, pool};
use super::super::site::SYSTEM;
use super::NOBODYS;

/// How often they look.
const PACE: Duration = Duration::from_millis(100);

/// What the test says to the agents.
#[derive(Default)]
pub struct Agents {
    stop: AtomicBool,
    silent: Mutex<bool>,
}

impl Agents {
    /// From now on they do nothing, or work again. What they were at is done when this returns.
    pub fn be_silent(&self, silent: bool) {
        *self.word() = silent;
    }

    /// Held by the agents while they work.
    fn word(&self) -> MutexGuard<'_, bool> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the test while the agents of these nodes work.
pub fn while_serving(plane: &ControlPlane, nodes: &[&str], test: impl FnOnce(&Agents) -> Result<()>) -> Result<()> {
    let agents: Vec<Agent> = nodes.iter().map(|node| joined(plane, node)).collect::<Result<_>>()?;
    let told = Agents::default();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| serve(plane, &agents, &told));
        let outcome = test(&told);
        told.stop.store(true, Ordering::SeqCst);
        let worked = work.join().unwrap_or_else(|_| Err(anyhow!("the played agents panicked")));
        outcome.and(worked)
    })
}

/// An agent that is ready, and whose node has an initiator's name.
fn joined<'a>(plane: &'a ControlPlane, node: &str) -> Result<Agent<'a>> {
    let agent = Agent::ready(plane, node)?;
    let status = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": node},
        "status": {"agentVersion": "0", "kernel": "6.1", "pools": {"fast": pool(100)},
            "initiatorName": format!("iqn.2026-01.io.example:{node}"),
            "conditions": [condition("Ready", "True", "NodeReady", "", None)]}});
    agent.apply(&["--subresource=status"], &status)?;
    Ok(agent)
}

fn serve(plane: &ControlPlane, agents: &[Agent], told: &Agents) -> Result<()> {
    while !told.stop.load(Ordering::SeqCst) {
        let silent = told.word();
        if !*silent {
            let luns = plane.get_json(["luns", "-n", SYSTEM])?;
            for lun in luns["items"].as_array().into_iter().flatten() {
                attend(agents, lun)?;
            }
            let snapshots = plane.get_json(["lunsnapshots", "-n", SYSTEM])?;
            for snapshot in snapshots["items"].as_array().into_iter().flatten() {
                attend_snapshot(agents, snapshot, &luns)?;
            }
        }
        drop(silent);
        std::thread::sleep(PACE);
    }
    Ok(())
}

/// Serves or removes one Lun, unless that is said of this generation already.
fn attend(agents: &[Agent], lun: &Value) -> Result<()> {
    let Some(agent) = agents.iter().find(|agent| lun["status"]["node"] == agent.node.as_str()) else { return Ok(()) };
    let conditions = lun["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let generation = &lun["metadata"]["generation"];
    if conditions.iter().any(|c| c["type"] == "Exported" && c["observedGeneration"] == *generation) {
        return Ok(());
    }
    let said = if lun["metadata"]["deletionTimestamp"].is_null() {
        agent.say(lun, &served(lun)?)
    } else {
        agent.unexport(lun)
    };
    // It may be gone by now, or have changed: the next look tells.
    drop(said);
    Ok(())
}

/// Takes or removes one snapshot, unless that is said already.
fn attend_snapshot(agents: &[Agent], snapshot: &Value, luns: &Value) -> Result<()> {
    let node = &snapshot["status"]["node"];
    let Some(agent) = agents.iter().find(|agent| *node == agent.node.as_str()) else { return Ok(()) };
    let generation = Some(&snapshot["metadata"]["generation"]);
    let status = if !snapshot["metadata"]["deletionTimestamp"].is_null() {
        json!({"readyToUse": false, "conditions": [condition("Ready", "False", "Removed", "", generation)]})
    } else if snapshot["status"]["readyToUse"] == true {
        return Ok(());
    } else {
        let mut luns = luns["items"].as_array().into_iter().flatten();
        let of = luns.find(|lun| lun["metadata"]["name"] == snapshot["spec"]["lun"]);
        let Some(size) = of.and_then(|lun| lun["status"]["capacity"].as_u64()) else { return Ok(()) };
        json!({"readyToUse": true, "size": size, "creationTime": "2026-01-02T03:04:05Z",
            "conditions": [condition("Ready", "True", "Taken", "", generation)]})
    };
    // As with Luns.
    drop(agent.say(snapshot, &status));
    Ok(())
}

fn served(lun: &Value) -> Result<Value> {
    let generation = Some(&lun["metadata"]["generation"]);
    let size = lun["spec"]["size"].as_str().context("a volume's Lun has its size in bytes")?;
    Ok(json!({
        "capacity": size.parse::<u64>()?, "allocated": 0, "sessionCount": 0, "target": {"portals": [format!("{NOBODYS}:3260")]},
        "conditions": [condition("Exported", "True", "Exported", "", generation),
            condition("Ready", "True", "Serving", "", generation)],
    }))
}
