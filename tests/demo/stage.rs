//! What stands before the story begins: a cluster of two nodes, a client outside it; and how its people type commands.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use lunette_bed::exec::Output;
use lunette_bed::{Context, Result, Step, Vm, VmSpec, host};

use crate::cluster::installed::site::Installed;

/// How long something that takes a moment may take under emulation.
pub const SOON: Duration = Duration::from_secs(60);
/// Who the client is, as `manifests/examples/lun.yaml` says.
const CLIENT: &str = "iqn.2026-01.io.example:client";
/// What the administrator says to the chart.
const VALUES: &str = include_str!("values.yaml");

/// Everything that takes part.
pub struct Stage {
    pub cluster: Installed,
}

impl Stage {
    /// Starts the control plane, and boots the nodes and the client.
    pub fn set(step: &Step, context: &Context) -> Result<Stage> {
        let cluster = Installed::bare(context, VmSpec::new("client").initiator(CLIENT))?;
        step.say("a Kubernetes 1.37; kubelets and containerd in VMs with a stock Debian kernel:");
        let stage = Stage { cluster };
        stage.kubectl(step, "get nodes")?;
        stage.on_node(step, "node-a", "uname -sr")?;
        Ok(stage)
    }

    /// Installs Lunette from its chart. The pool is there before the provisioner first asks what pools hold, which it does
    /// every minute.
    pub fn install(&self, step: &Step) -> Result<()> {
        step.say("admin$ cat values.yaml");
        VALUES.lines().filter(|line| !line.starts_with('#')).for_each(|line| step.say(&format!("| {line}")));
        self.helm(step, "install lunette charts/lunette --create-namespace --values tests/demo/values.yaml")?;
        self.kubectl(step, "apply -f manifests/examples/pool-directory.yaml")?;
        self.cluster.has_started()?;
        self.kubectl(step, "get pods -n lunette-system")?;
        self.quietly("wait lunnodes --all --for=jsonpath={.status.pools.local.ready}=true --timeout=120s")?;
        self.kubectl(step, "get lunpools,lunnodes,storageclasses").map(drop)
    }

    /// The client outside the cluster.
    pub fn client(&self) -> &Vm {
        &self.cluster.client
    }

    /// A node's machine.
    pub fn node(&self, name: &str) -> Result<&Vm> {
        let node = self.cluster.nodes.iter().find(|node| node.name() == name);
        Ok(node.with_context(|| format!("no node {name}"))?.vm())
    }

    /// Types a `helm` command that has to succeed.
    pub fn helm(&self, step: &Step, arguments: &str) -> Result<String> {
        let shown = format!("helm -n lunette-system {arguments}");
        step.does("admin$", &shown, || self.cluster.helm().run(shell_words(arguments).iter().map(String::as_str)))
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
        let mut command = self.cluster.plane.kubectl_command()?;
        command.current_dir(self.checkout());
        command.args(shell_words(arguments));
        Ok(command)
    }

    fn checkout(&self) -> &Path {
        self.cluster.bed.ground().layout().checkout()
    }

    /// Types a command in the application's pod that has to succeed.
    pub fn in_app(&self, step: &Step, script: &str) -> Result<String> {
        self.kubectl(step, &format!("exec deploy/app -- sh -c '{script}'"))
    }

    /// Types a command on the client that has to succeed.
    pub fn on_client(&self, step: &Step, line: &str) -> Result<String> {
        step.does("client#", line, || self.client().run(line))
    }

    /// Types a command on the client that has to fail; what it said.
    pub fn refused_on_client(&self, step: &Step, line: &str) -> Result<String> {
        step.types("client#", line, || self.client().run(line))?.refused()
    }

    /// Types a command on a node that has to succeed.
    pub fn on_node(&self, step: &Step, name: &str, line: &str) -> Result<String> {
        step.does(&format!("{name}#"), line, || self.node(name)?.run(line))
    }

    /// Looks into all kernels' logs.
    pub fn kernels_are_clean(&self, step: &Step) -> Result<()> {
        for node in &self.cluster.nodes {
            node.vm().dmesg_must_be_clean().with_context(|| node.name().to_owned())?;
        }
        self.client().dmesg_must_be_clean().context("client")?;
        step.say("no warning, oops or hung task in the logs of node-a, node-b and client");
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
