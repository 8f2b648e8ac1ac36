//! Two VMs: a node that serves manifests, and a client outside with open-iscsi.
//!
//! Booting is slow, so tests share one site: each begins with no manifest, no agent and an empty pool, and has to leave
//! it so ([`Site::end`]). The pools are ext4 on disks, which outlive a power cut; manifests and the rest do not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
pub use lunette_bed::patiently;
use lunette_bed::{Bed, Context, DiskSpec, GuestCommand, Process, Result, Vm, VmSpec};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Where the node keeps its manifests.
pub const MANIFESTS: &str = "/etc/lunette/manifests";
/// The node's pool, on its first disk.
pub const POOL: &str = "/srv/pool";
/// Where its second disk is mounted.
pub const SPARE: &str = "/mnt/spare";
/// Where the agent keeps what must outlive it.
const STATE: &str = "/srv/state";
/// What an agent says, if it says everything, of a LUN from whose ring it takes commands now.
pub const SERVED: &str = "its ring is served";
/// How long something that takes a moment may take under emulation.
pub const SOON: Duration = Duration::from_secs(120);

/// A node and a client.
pub struct Site {
    pub node: Vm,
    pub client: Vm,
    pub bed: Bed,
}

impl Site {
    /// The site that tests share.
    pub fn shared(context: &Context) -> Result<Arc<Site>> {
        context.shared(Site::up)
    }

    fn up(context: &Context) -> Result<Site> {
        Self::with_node(context, VmSpec::new("node"))
    }

    /// A site of a test's own, whose node is like that and has the usual disks.
    pub fn with_node(context: &Context, node: VmSpec) -> Result<Site> {
        let bed = context.bed()?;
        let disks = [DiskSpec::empty("pool", 4 << 30), DiskSpec::empty("spare", 2 << 30)];
        let node = disks.into_iter().fold(node, VmSpec::disk);
        let [node, client] = Vm::boot_all(&bed, [node, VmSpec::new("client")])?;
        let site = Site { node, client, bed };
        site.node.must("mkfs.ext4 -q /dev/vda && mkfs.ext4 -q /dev/vdb")?;
        site.mount()?;
        site.client.start_iscsid()?;
        Ok(site)
    }

    /// What an administrator's boot scripts would do on the node.
    pub fn mount(&self) -> Result<()> {
        let script = format!(
            "mkdir -p {MANIFESTS} {SPARE} && mount /dev/vda /srv && mount /dev/vdb {SPARE} && mkdir -p {POOL} {SPARE}/pool"
        );
        self.node.must(script).map(drop)
    }

    /// Starts the agent on the node, on its IPv4 address; it runs until it is signalled or dropped.
    pub fn start_agent(&self) -> Result<Process> {
        self.start_agent_on(&[self.portal()])
    }

    /// The node's portal.
    pub fn portal(&self) -> String {
        format!("{}:3260", self.node.ipv4())
    }

    /// Starts the agent on these portals.
    pub fn start_agent_on(&self, portals: &[String]) -> Result<Process> {
        self.spawn_agent(&format!("exec {}", self.serve(portals)))
    }

    /// Starts the agent under a supervisor that starts it again until it ends well.
    pub fn start_agent_again_and_again(&self) -> Result<Process> {
        let serve = self.serve(&[self.portal()]);
        self.spawn_agent(&format!("trap : TERM; until {serve}; do sleep 0.05; done"))
    }

    /// Starts the agent under a supervisor that lives as long as it or a successor of it.
    pub fn start_agent_for_upgrades(&self) -> Result<Process> {
        let serve = self.serve(&[self.portal()]);
        let lives = "kill -0 $! 2>/dev/null || kill -0 $(cat /run/lunette/agent.lock) 2>/dev/null";
        // For a moment an upgrade leaves no name in the lock. The signal that ends it all may meet the last sleep.
        let lives = format!("{{ {lives} || {{ sleep 1; {lives}; }}; }}");
        self.spawn_agent(&format!("trap : TERM; {serve} & while {lives}; do sleep 0.1; done; exit 0"))
    }

    /// Starts an agent that stands by to take the running one's place.
    pub fn start_heir(&self) -> Result<Process> {
        let serve = self.serve(&[self.portal()]);
        let command = GuestCommand::shell(&format!("exec {serve} --stand-by")).env("RUST_LOG", "info");
        let heir = self.node.spawn("heir", command)?;
        let log = self.bed.logs().join(format!("{}.heir.log", self.node.name()));
        patiently(SOON, || {
            let said = std::fs::read_to_string(&log)?;
            ensure!(said.lines().next_back().is_some_and(|line| line.contains("standing by")), "it says:\n{said}");
            Ok(())
        })?;
        Ok(heir)
    }

    fn serve(&self, portals: &[String]) -> String {
        let portals = portals.iter().map(|portal| format!("--portal {portal}")).collect::<Vec<_>>().join(" ");
        let agent = agent_binary(&self.bed);
        format!(
            "{} serve --manifests {MANIFESTS} --state-dir {STATE} --node node --listen 127.0.0.1 {portals}",
            agent.display()
        )
    }

    fn spawn_agent(&self, line: &str) -> Result<Process> {
        self.node.spawn("agent", GuestCommand::shell(line).env("RUST_LOG", "info,lunette_node=debug"))
    }

    /// Puts a manifest into the directory, whole or not at all.
    pub fn apply(&self, name: &str, yaml: &str) -> Result<()> {
        self.node.write(&format!("{MANIFESTS}/.{name}"), yaml)?;
        self.node.must(format!("mv {MANIFESTS}/.{name} {MANIFESTS}/{name}")).map(drop)
    }

    /// Takes a manifest away.
    pub fn withdraw(&self, name: &str) -> Result<()> {
        self.node.must(format!("rm {MANIFESTS}/{name}")).map(drop)
    }

    /// `lunette-node status -o json`, and the notices that come with it.
    pub fn status_and_notices(&self) -> Result<(Value, String)> {
        let output = self.node.run(format!("{} status -o json", agent_binary(&self.bed).display()))?;
        let text = output.ok()?;
        Ok((serde_json::from_str(&text).context("status is no JSON")?, output.stderr))
    }

    /// The Luns of the status.
    pub fn luns(&self) -> Result<Vec<Value>> {
        let (status, _) = self.status_and_notices()?;
        status["items"].as_array().cloned().context("status is no List")
    }

    /// One Lun of the status.
    pub fn lun(&self, name: &str) -> Result<Value> {
        let found = self.luns()?.into_iter().find(|lun| lun["metadata"]["name"] == name);
        found.with_context(|| format!("status shows no Lun {name}"))
    }

    /// Waits until a Lun's Ready condition is as said; the Lun.
    pub fn wait_ready(&self, name: &str, ready: bool) -> Result<Value> {
        let wanted = if ready { "True" } else { "False" };
        patiently(SOON, || {
            let lun = self.lun(name)?;
            let condition = condition(&lun, "Ready");
            ensure!(condition["status"] == wanted, "Ready of {name} is {condition}");
            Ok(lun)
        })
    }

    /// What agents of the node have said so far.
    pub fn agent_log(&self) -> Result<String> {
        let path = self.bed.logs().join(format!("{}.agent.log", self.node.name()));
        Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
    }

    /// Kills the agent as a crash would, and waits until it is gone.
    pub fn kill_agent(&self, agent: Process) -> Result<()> {
        agent.signal(Signal::SIGKILL)?;
        agent.wait().map(drop)
    }

    /// Stops the agent as a supervisor does; it must end well.
    pub fn stop_agent(&self, agent: Process) -> Result<()> {
        agent.signal(Signal::SIGTERM)?;
        let output = agent.wait()?;
        ensure!(output.success(), "told to stop, the agent ended with status {}:\n{}", output.status, output.stderr);
        Ok(())
    }

    /// What configfs holds of ours, a path a line.
    pub fn exports(&self) -> Result<String> {
        self.node.must("find /sys/kernel/config/target -maxdepth 3 | grep -e lunette -e loopback/naa.310e7 || true")
    }

    /// Waits until configfs holds nothing of ours.
    pub fn wait_unexported(&self, patience: Duration) -> Result<()> {
        patiently(patience, || {
            let left = self.exports()?;
            ensure!(left.is_empty(), "configfs still holds\n{left}");
            Ok(())
        })
    }

    /// What is in a pool's directory.
    pub fn volumes(&self, pool: &str) -> Result<String> {
        self.node.must(format!("ls -A {pool}"))
    }

    /// Waits until a pool's directory is empty.
    pub fn wait_emptied(&self, pool: &str, patience: Duration) -> Result<()> {
        patiently(patience, || {
            let left = self.volumes(pool)?;
            ensure!(left.is_empty(), "{pool} still holds {} entries:\n{left}", left.lines().count());
            Ok(())
        })
    }

    /// Ends a test: the client logs out, the manifests go, and then nothing may be left but data that are to stay.
    pub fn end(&self, agent: Process) -> Result<()> {
        self.client.must("iscsiadm -m node -U all; iscsiadm -m node -o delete; ! iscsiadm -m session")?;
        self.node.must(format!("rm -f {MANIFESTS}/*"))?;
        self.wait_unexported(SOON)?;
        self.stop_agent(agent)?;
        self.node.must(format!("rm -rf {POOL}/* {SPARE}/pool/*"))?;
        self.kernels_are_clean()
    }

    /// That neither kernel warned.
    pub fn kernels_are_clean(&self) -> Result<()> {
        self.node.dmesg_must_be_clean()?;
        self.client.dmesg_must_be_clean()
    }
}

/// The agent's binary, as host and guests name it.
pub fn agent_binary(bed: &Bed) -> PathBuf {
    bed.ground().layout().program("lunette-node")
}

/// Prints a figure below the test's name.
pub fn say(figure: &str) {
    print!("\n     {figure} ");
}

/// One condition.
pub fn condition(lun: &Value, type_: &str) -> Value {
    let conditions = lun["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default()
}
