//! Two VMs: a node that serves manifests, and a client outside with open-iscsi.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lunette_bed::{Bed, Context, GuestCommand, Process, Result, Vm, VmSpec};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Where the node keeps its manifests, and its pool.
pub const MANIFESTS: &str = "/etc/lunette/manifests";
pub const POOL: &str = "/srv/pool";
/// How long something that takes a moment may take under emulation.
pub const SOON: Duration = Duration::from_secs(30);
/// The CHAP secret of the client, where it has one.
pub const PASSWORD: &str = "sixteen-bytes-ok";

/// A node and a client.
pub struct Site {
    pub node: Vm,
    pub client: Vm,
    pub bed: Bed,
}

impl Site {
    /// Boots both. The node has a pool, and no agent yet.
    pub fn up(context: &Context) -> Result<Site> {
        Site::of(context, VmSpec::new("node"), VmSpec::new("client"))
    }

    /// The same, of VMs like these.
    pub fn of(context: &Context, node: VmSpec, client: VmSpec) -> Result<Site> {
        let bed = context.bed()?;
        let [node, client] = Vm::boot_all(&bed, [node, client])?;
        node.must(format!("mkdir -p {MANIFESTS} {POOL}"))?;
        client.start_iscsid()?;
        Ok(Site { node, client, bed })
    }

    /// Starts the agent on the node, on its IPv4 address; it runs until it is signalled or dropped.
    pub fn start_agent(&self) -> Result<Process> {
        self.start_agent_on(&[format!("{}:3260", self.node.ipv4())])
    }

    /// Starts the agent on these portals.
    pub fn start_agent_on(&self, portals: &[String]) -> Result<Process> {
        let portals = portals.iter().map(|portal| format!("--portal {portal}")).collect::<Vec<_>>().join(" ");
        let binary = agent_binary(&self.bed);
        let line = format!("exec {} serve --manifests {MANIFESTS} --node node {portals}", binary.display());
        self.node.spawn("agent", GuestCommand::shell(&line).env("RUST_LOG", "info,lunette_node=debug"))
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

    /// `lunette-node status -o json`.
    pub fn status(&self) -> Result<Value> {
        let text = self.node.must(format!("{} status -o json", agent_binary(&self.bed).display()))?;
        serde_json::from_str(&text).context("status is no JSON")
    }

    /// One Lun of the status.
    pub fn lun(&self, name: &str) -> Result<Value> {
        let status = self.status()?;
        let luns = status["items"].as_array().context("status is no List")?;
        let found = luns.iter().find(|lun| lun["metadata"]["name"] == name);
        found.cloned().with_context(|| format!("no Lun {name} in {status}"))
    }

    /// Waits until a Lun's Ready condition is as said; the Lun.
    pub fn wait_ready(&self, name: &str, ready: bool) -> Result<Value> {
        let wanted = if ready { "True" } else { "False" };
        patiently(SOON, || {
            let lun = self.lun(name)?;
            let condition = condition(&lun, "Ready");
            ensure!(condition["status"] == wanted, "Ready is {condition}");
            Ok(lun)
        })
    }

    /// Logs the client in; the path of the disk that appears.
    pub fn login(&self, lun: &Value, chap: Option<&str>) -> Result<String> {
        let portal = lun["status"]["target"]["portals"][0].as_str().context("no portal")?.to_owned();
        self.login_at(lun, &portal, chap)
    }

    /// Logs the client in at a portal.
    pub fn login_at(&self, lun: &Value, portal: &str, chap: Option<&str>) -> Result<String> {
        let target = target(lun)?;
        let record = format!("iscsiadm -m node -T {target} -p {portal}");
        let mut script = format!("set -e; {record} -o new");
        if let Some(password) = chap {
            for (name, value) in [("authmethod", "CHAP"), ("username", "client"), ("password", password)] {
                script += &format!("; {record} -o update -n node.session.auth.{name} -v {value}");
            }
        }
        self.client.must(format!("({script}) >/dev/null && {record} --login >/dev/null"))?;
        self.disk(lun)
    }

    /// The client's disk of that Lun, found by its identity.
    pub fn disk(&self, lun: &Value) -> Result<String> {
        let wwid = lun["status"]["wwid"].as_str().context("no WWID")?;
        let find = format!(
            "for d in /sys/block/sd*; do [ \"$(cat $d/device/wwid)\" = {wwid} ] && echo /dev/${{d##*/}}; done | grep /dev/"
        );
        self.client.wait_for(find, SOON)
    }

    /// Logs the client out.
    pub fn logout(&self, lun: &Value) -> Result<()> {
        self.client.must(format!("iscsiadm -m node -T {} --logout >/dev/null", target(lun)?)).map(drop)
    }

    /// Kills the agent as a crash would, and waits until it is gone.
    pub fn kill_agent(&self, agent: Process) -> Result<()> {
        agent.signal(Signal::SIGKILL)?;
        agent.wait().map(drop)
    }

    /// That configfs, and the pool if `pool_too`, hold nothing of ours.
    pub fn nothing_is_left(&self, pool_too: bool) -> Result<()> {
        let left =
            "find /sys/kernel/config/target/core /sys/kernel/config/target/iscsi -maxdepth 2 | grep -e lunette || true";
        let left = self.node.must(left)?;
        ensure!(left.is_empty(), "configfs still holds\n{left}");
        let files = self.node.must(format!("ls -A {POOL}"))?;
        ensure!(!pool_too || files.is_empty(), "the pool still holds\n{files}");
        Ok(())
    }

    /// That neither kernel warned.
    pub fn kernels_are_clean(&self) -> Result<()> {
        self.node.dmesg_must_be_clean()?;
        self.client.dmesg_must_be_clean()
    }
}

/// The agent's binary, as host and guests name it: the release build, or what `LUNETTE_BINARIES` names.
pub fn agent_binary(bed: &Bed) -> PathBuf {
    let folder = std::env::var_os("LUNETTE_BINARIES").map(PathBuf::from);
    folder.unwrap_or_else(|| bed.ground().layout().checkout().join("target/release")).join("lunette-node")
}

/// Asks again until there is an answer; the last failure if there is none in time.
pub fn patiently<T>(patience: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match ask() {
            Err(error) if Instant::now() > deadline => return Err(error.context(format!("still after {patience:?}"))),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
            answer => return answer,
        }
    }
}

/// The target's name.
pub fn target(lun: &Value) -> Result<&str> {
    lun["status"]["target"]["iqn"].as_str().context("no target IQN")
}

/// One condition.
pub fn condition(lun: &Value, type_: &str) -> Value {
    let conditions = lun["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default()
}

/// A manifest of the pool that [`Site::up`] makes.
pub fn pool() -> String {
    format!(
        "apiVersion: lunette.io/v1alpha1\nkind: LunPool\nmetadata: {{name: files}}\nspec: {{directory: {{path: {POOL}}}}}\n"
    )
}

/// A manifest of a Lun for the client, with `more` fields of its spec.
pub fn lun(name: &str, size: &str, initiator: &str, more: &str) -> String {
    format!(
        "apiVersion: lunette.io/v1alpha1\nkind: Lun\nmetadata: {{name: {name}}}\nspec: {{pool: files, size: {size}, initiators: [{{iqn: '{initiator}'}}]{more}}}\n"
    )
}
