//! The control plane: who may ask, what a node's token says, restarts, older APIs.

use crate::control_plane::{ControlPlane, ControlPlaneSpec};
use crate::runner::Context;
use crate::{GuestCommand, Result, Vm, VmSpec};
use anyhow::ensure;

pub fn the_api_server_knows_who_asks(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let plane = ControlPlane::start(&bed, ControlPlaneSpec::new())?;
    ensure!(plane.kubectl_must(["version"])?.contains("Server Version: v1.37.2"));

    let stranger = plane.kubeconfig_for_user("stranger", &["visitors"])?;
    let refusal = plane.kubectl_as(&stranger, ["get", "namespaces"], "")?.refused()?;
    ensure!(refusal.contains(r#"User "stranger" cannot list resource "namespaces""#), "{refusal}");

    let token = plane.token_for_node_sa("storage", "agent", "node-a")?;
    let agent = plane.kubeconfig_for_token("agent", &token)?;
    let who = plane.kubectl_as(&agent, ["auth", "whoami", "-o", "json"], "")?.ok()?;
    ensure!(who.contains("system:serviceaccount:storage:agent") && who.contains("node-a"), "{who}");

    let vm = Vm::boot(&bed, VmSpec::new("alpha"))?;
    let kubectl = bed.ground().program("kubectl")?;
    let asked = GuestCommand::new(kubectl).arg("--kubeconfig").arg(agent.display().to_string());
    let answer = vm.must(asked.args(["auth", "whoami", "--cache-dir=/tmp/kubectl"]))?;
    ensure!(answer.contains("system:serviceaccount:storage:agent"), "from a guest: {answer}");
    Ok(())
}

pub fn the_api_server_survives_a_restart(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let mut plane = ControlPlane::start(&bed, ControlPlaneSpec::new())?;
    plane.ensure_namespace("kept")?;
    plane.stop_apiserver();
    ensure!(!plane.kubectl(["get", "namespace", "kept"])?.success(), "it answers although it is stopped");
    plane.start_apiserver()?;
    plane.kubectl_must(["get", "namespace", "kept"])?;
    plane.restart()?;
    plane.kubectl_must(["get", "namespace", "kept"]).map(drop)
}

pub fn an_older_api_is_served(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let plane = ControlPlane::start(&bed, ControlPlaneSpec::new().emulated_version("1.35"))?;
    let version = plane.kubectl_must(["get", "--raw", "/version"])?;
    ensure!(version.contains(r#""emulationMinor": "35""#), "{version}");
    Ok(())
}
