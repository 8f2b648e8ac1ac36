//! What stands before the story begins: a control plane, two VMs, the network between them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use lunette_bed::exec::Output;
use lunette_bed::{
    Bed, Context, ControlPlane, ControlPlaneSpec, Daemon, GuestCommand, Process, Result, Step, Vm, VmSpec, host,
};

/// How long something that takes a moment may take under emulation.
pub const SOON: Duration = Duration::from_secs(40);
/// Who the client is, as `manifests/examples/lun.yaml` says.
pub const CLIENT: &str = "iqn.2026-01.io.example:client";
/// Where the pool is, as `manifests/examples/pool-directory.yaml` says.
pub const POOL: &str = "/var/lib/lunette/pool";

/// Everything that takes part.
pub struct Stage {
    // Dropped in this order: what runs before what it runs on.
    pub agent: Option<Process>,
    operator: Option<Daemon>,
    pub node: Vm,
    pub client: Vm,
    plane: ControlPlane,
    bed: Bed,
}

impl Stage {
    /// Starts the control plane and boots both VMs.
    pub fn set(step: &Step, context: &Context) -> Result<Stage> {
        let bed = context.bed()?;
        let plane = ControlPlane::start(&bed, ControlPlaneSpec::new())?;
        let [node, client] = Vm::boot_all(&bed, [VmSpec::new("node-1"), VmSpec::new("client").initiator(CLIENT)])?;
        client.start_iscsid()?;
        step.say("a Kubernetes API server (1.37), and two VMs with a stock Debian kernel:");
        let stage = Stage { agent: None, operator: None, node, client, plane, bed };
        stage.on_node(step, "uname -sr")?;
        Ok(stage)
    }

    /// Installs Lunette and starts its two programs.
    pub fn install(&mut self, step: &Step) -> Result<()> {
        self.kubectl(step, "apply --server-side -f manifests/crds -f manifests/install.yaml")?;
        self.quietly("wait --for=condition=Established crd --all --timeout=30s")?;
        step.say(
            "no container engine here: operator and agent run as processes, each with the token of its ServiceAccount",
        );
        self.start_operator()?;
        self.on_node(step, &format!("mkdir -p {POOL}"))?;
        self.start_agent()?;
        self.kubectl(step, "wait --for=create lunnode/node-1 --timeout=30s")?;
        self.kubectl(step, "wait --for=condition=Ready lunnode/node-1 --timeout=30s")?;
        self.kubectl(step, "get lunnodes").map(drop)
    }

    fn start_operator(&mut self) -> Result<()> {
        let token = self.plane.kubectl_must(["create", "token", "lunette-operator", "-n", "lunette-system"])?;
        let kubeconfig = self.plane.kubeconfig_for_token("operator", &token)?;
        let mut command = self.bed.command(self.binary("lunette-operator"));
        command.args(["controller", "--identity", "operator-0", "--listen", "127.0.0.1:8080"]);
        command.env("KUBECONFIG", kubeconfig);
        self.operator = Some(Daemon::start(&self.bed, "operator", command)?);
        Ok(())
    }

    /// Starts the agent on the node.
    pub fn start_agent(&mut self) -> Result<()> {
        let token = self.plane.token_for_node_sa("lunette-system", "lunette-node", "node-1")?;
        let kubeconfig = self.plane.kubeconfig_for_token("agent", &token)?;
        let portal = format!("{}:3260", self.node.ipv4());
        let line = format!("exec {} serve --node node-1 --portal {portal}", self.binary("lunette-node").display());
        let command = GuestCommand::shell(&line).env("KUBECONFIG", &kubeconfig.display().to_string());
        self.agent = Some(self.node.spawn("agent", command)?);
        Ok(())
    }

    fn binary(&self, name: &str) -> PathBuf {
        let folder = std::env::var_os("LUNETTE_BINARIES").map(PathBuf::from);
        folder.unwrap_or_else(|| self.checkout().join("target/release")).join(name)
    }

    fn checkout(&self) -> &Path {
        self.bed.ground().layout().checkout()
    }

    /// Types a `kubectl` command that has to succeed.
    pub fn kubectl(&self, step: &Step, arguments: &str) -> Result<String> {
        let shown = format!("kubectl {arguments}");
        step.does("admin$", &shown, || self.run_kubectl(&shown, arguments))
    }

    /// The same without showing it.
    pub fn quietly(&self, arguments: &str) -> Result<String> {
        self.run_kubectl(&format!("kubectl {arguments}"), arguments)?.ok()
    }

    fn run_kubectl(&self, shown: &str, arguments: &str) -> Result<Output> {
        let output = host::capture(&mut self.kubectl_command(arguments)?, &[])?;
        Ok(Output::of(shown, &output))
    }

    /// A `kubectl` in the checkout, so that paths are those of the repository.
    pub fn kubectl_command(&self, arguments: &str) -> Result<Command> {
        let mut command = self.plane.kubectl_command()?;
        command.current_dir(self.checkout());
        let words = shell_words(arguments);
        command.args(words);
        Ok(command)
    }

    /// Types a command on the client that has to succeed.
    pub fn on_client(&self, step: &Step, line: &str) -> Result<String> {
        step.does("client#", line, || self.client.run(line))
    }

    /// Types a command on the client that has to fail; what it said.
    pub fn refused_on_client(&self, step: &Step, line: &str) -> Result<String> {
        step.types("client#", line, || self.client.run(line))?.refused()
    }

    /// Types a command on the node that has to succeed.
    pub fn on_node(&self, step: &Step, line: &str) -> Result<String> {
        step.does("node-1#", line, || self.node.run(line))
    }

    /// Looks into both kernels' logs.
    pub fn kernels_are_clean(&self, step: &Step) -> Result<()> {
        self.node.dmesg_must_be_clean().context("node-1")?;
        self.client.dmesg_must_be_clean().context("client")?;
        step.say("no warning, oops or hung task in either log");
        Ok(())
    }
}

/// Splits a command line at blanks; single quotes keep them.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
