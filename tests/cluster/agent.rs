//! An agent played by the test: it has the agents' ServiceAccount and a token that names its node, as the
//! real one has, and writes what the real one writes. Nothing is exported.

use std::path::PathBuf;

use anyhow::Context as _;
use lunette_bed::{ControlPlane, Result};
use serde_json::{Value, json};

use super::site::SYSTEM;

const GI: u64 = 1 << 30;

/// One node's agent.
pub struct Agent<'a> {
    plane: &'a ControlPlane,
    kubeconfig: PathBuf,
    pub node: String,
}

impl<'a> Agent<'a> {
    /// The agent of that node, which has written nothing yet.
    pub fn new(plane: &'a ControlPlane, node: &str) -> Result<Agent<'a>> {
        let token = plane.token_for_node_sa(SYSTEM, "lunette-node", node)?;
        let kubeconfig = plane.kubeconfig_for_token(&format!("agent-{node}"), &token)?;
        Ok(Agent { plane, kubeconfig, node: node.to_owned() })
    }

    /// One that is ready, and can serve the pool `fast` with 100 GiB.
    pub fn ready(plane: &'a ControlPlane, node: &str) -> Result<Agent<'a>> {
        let agent = Agent::new(plane, node)?;
        agent.beat(3600)?;
        agent.report(&json!({"fast": pool(100)}), true)?;
        Ok(agent)
    }

    /// Renews the Lease, for so many seconds.
    pub fn beat(&self, seconds: u32) -> Result<()> {
        self.apply(&[], &lease(&self.node, seconds)?)
    }

    /// Writes the LunNode.
    pub fn report(&self, pools: &Value, ready: bool) -> Result<()> {
        let mut object = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode",
            "metadata": {"name": self.node}, "spec": {}});
        self.apply(&[], &object)?;
        let (status, message) = if ready { ("True", "") } else { ("False", "target_core_user is missing") };
        object["status"] = json!({"agentVersion": "0", "kernel": "6.1", "pools": pools, "conditions":
            [condition("Ready", status, "NodeReady", message, None)]});
        self.apply(&["--subresource=status"], &object)
    }

    /// Says that the Lun is served.
    pub fn serve(&self, lun: &Value) -> Result<()> {
        let generation = &lun["metadata"]["generation"];
        self.say(
            lun,
            &json!({
                "capacity": GI, "allocated": 0, "sessionCount": 0, "target": {"portals": ["192.0.2.1:3260"]},
                "conditions": [condition("Exported", "True", "Exported", "", Some(generation)),
                    condition("Ready", "True", "Serving", "", Some(generation))],
            }),
        )
    }

    /// Says that the Lun's export is gone.
    pub fn unexport(&self, lun: &Value) -> Result<()> {
        let generation = &lun["metadata"]["generation"];
        self.say(
            lun,
            &json!({"conditions": [condition("Exported", "False", "Unexported", "", Some(generation)),
            condition("Ready", "False", "Unexported", "", Some(generation))]}),
        )
    }

    /// Writes its part of the status of a Lun or a snapshot.
    pub fn say(&self, object: &Value, status: &Value) -> Result<()> {
        self.apply(&["--subresource=status"], &status_of(object, status)?)
    }

    /// Runs kubectl as this agent.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<lunette_bed::Output> {
        self.plane.kubectl_as(&self.kubeconfig, arguments.iter().copied(), input)
    }

    /// Applies an object as this agent.
    pub fn apply(&self, more: &[&str], object: &Value) -> Result<()> {
        self.try_apply(more, object)?.ok().map(drop)
    }

    /// Tries to.
    pub fn try_apply(&self, more: &[&str], object: &Value) -> Result<lunette_bed::Output> {
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=lunette-node", "-f", "-"];
        self.kubectl(&[apply.as_slice(), more].concat(), &object.to_string())
    }
}

/// An object of ours of which only the status is written.
pub fn status_of(object: &Value, status: &Value) -> Result<Value> {
    let metadata = object.get("metadata").context("no metadata")?;
    Ok(json!({
        "apiVersion": "lunette.io/v1alpha1", "kind": object["kind"], "status": status,
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
    }))
}

/// A pool of a node that is ready, with so many GiB.
pub fn pool(gi: u64) -> Value {
    json!({"ready": true, "capacity": gi * GI, "available": gi * GI, "maxVolume": gi * GI, "snapshots": true})
}

/// A condition as an agent writes it.
pub fn condition(type_: &str, status: &str, reason: &str, message: &str, generation: Option<&Value>) -> Value {
    let mut condition = json!({"type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    if let Some(generation) = generation {
        condition["observedGeneration"] = generation.clone();
    }
    condition
}

/// The Lease of a node's agent, renewed now.
pub fn lease(node: &str, seconds: u32) -> Result<Value> {
    Ok(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": format!("lunette-node-{node}"), "namespace": SYSTEM},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": seconds, "renewTime": now()?},
    }))
}

/// The time in the API's format: `date` has it, and no crate is needed.
fn now() -> Result<String> {
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%6NZ"]).output()?;
    Ok(String::from_utf8(date.stdout)?.trim().to_owned())
}
