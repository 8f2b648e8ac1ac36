//! A real node: a VM that runs the real agent with the agent's ServiceAccount.

use std::time::Duration;

use lunette_bed::exec::Output;
use lunette_bed::{DiskSpec, GuestCommand, Process, Result, Vm, VmSpec};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::site::{SYSTEM, Site, patiently};

/// Where the node's pool is: on XFS, which can take snapshots.
const POOL: &str = "/var/lib/lunette/pool";
/// Where a kubelet of the node would be.
pub const KUBELET: &str = "/var/lib/kubelet";
/// How long the agent may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A node VM, and the agent on it while one runs.
pub struct Node<'a> {
    site: &'a Site,
    pub name: &'static str,
    agent: Option<Process>,
    pub vm: Vm,
}

impl<'a> Node<'a> {
    /// Boots it, makes the pool `fast` for it, and starts the agent.
    pub fn up(site: &'a Site) -> Result<Node<'a>> {
        Node::named(site, "real-node")
    }

    /// The same under another name.
    pub fn named(site: &'a Site, name: &'static str) -> Result<Node<'a>> {
        let vm = Vm::boot(&site.bed, VmSpec::new(name).disk(DiskSpec::empty("pool", 8 << 30)))?;
        vm.must(format!("mkdir -p {POOL} && mkfs.xfs -q /dev/vda && mount /dev/vda {POOL}"))?;
        site.apply(&super::site::pool("fast", |_| {}))?;
        let mut node = Node { site, name, agent: None, vm };
        node.start_agent()?;
        let lunnode = format!("lunnode/{name}");
        node.site.plane.kubectl_must(["wait", "--for=create", &lunnode, "--timeout=40s"])?;
        node.site.plane.kubectl_must(["wait", "--for=condition=Ready", &lunnode, "--timeout=40s"])?;
        Ok(node)
    }

    /// Starts the agent.
    pub fn start_agent(&mut self) -> Result<()> {
        let token = self.site.plane.token_for_node_sa(SYSTEM, "lunette-node", self.name)?;
        let kubeconfig = self.site.plane.kubeconfig_for_token(self.name, &token)?;
        self.launch(&kubeconfig.display().to_string())
    }

    /// Starts the agent with an address of the API server at which nobody answers.
    pub fn start_agent_without_api_server(&mut self) -> Result<()> {
        let nobody = "/tmp/nobody.kubeconfig";
        let kubeconfig = self.site.plane.kubeconfig_for_token("nobody", "none")?;
        let rewrite = format!(
            "sed 's|server: .*|server: https://127.0.0.1:1|; s|\"server\": *\"[^\"]*\"|\"server\": \"https://127.0.0.1:1\"|' {} > {nobody}",
            kubeconfig.display()
        );
        self.vm.must(rewrite)?;
        self.launch(nobody)
    }

    fn launch(&mut self, kubeconfig: &str) -> Result<()> {
        let binary = self.site.binary("lunette-node");
        let portal = format!("{}:3260", self.vm.ipv4());
        let line =
            format!("exec {} serve --node {} --portal {portal} --kubelet-dir {KUBELET}", binary.display(), self.name);
        let command = GuestCommand::shell(&line).env("KUBECONFIG", kubeconfig);
        self.agent = Some(self.vm.spawn("agent", command)?);
        Ok(())
    }

    /// Ends the agent by a signal, and waits until it is gone.
    pub fn end_agent(&mut self, signal: Signal) -> Result<()> {
        if let Some(agent) = self.agent.take() {
            agent.signal(signal)?;
            agent.wait_at_most(STOP_WITHIN)?;
        }
        Ok(())
    }

    /// `lunette-node attach` or `detach` on the node, of a Lun of the namespace `prod`.
    pub fn order(&self, word: &str, name: &str) -> Result<Output> {
        self.vm.run(format!("{} {word} prod/{name} --timeout 60", self.site.binary("lunette-node").display()))
    }

    /// `lunette-node status` on the node.
    pub fn status(&self) -> Result<Output> {
        self.vm.run(format!("{} status -o json", self.site.binary("lunette-node").display()))
    }

    /// Waits until the agent says itself that a Lun is Ready.
    pub fn wait_served(&self, name: &str) -> Result<()> {
        patiently(|| {
            let list: Value = serde_json::from_str(&self.status()?.ok()?)?;
            let luns = list["items"].as_array().cloned().unwrap_or_default();
            let lun = luns.iter().find(|lun| lun["metadata"]["name"] == name).cloned().unwrap_or_default();
            anyhow::ensure!(super::site::says(&lun, "Ready", "True", "Serving"), "{}", lun["status"]);
            Ok(())
        })
    }
}
