//! The cluster that these tests share: control plane, two nodes, a client, and Lunette installed by Helm.

use std::time::Duration;

use anyhow::Context as _;
use lunette_bed::{
    Bed, ClusterNode, Context, ControlPlane, ControlPlaneSpec, Daemon, DiskSpec, GuestCommand, Image, Result, Vm,
    VmSpec, images,
};
use serde_json::{Value, json};

use super::super::charts::helm::Helm;
use super::super::site::{SYSTEM, pool};
use super::snapshot_controller;

/// How long what needs pods may take on an emulated machine that others use too.
pub const PATIENCE: Duration = Duration::from_secs(420);
/// The same, as kubectl and Helm want it.
pub const WITHIN: &str = "--timeout=420s";
/// Where the nodes' data disk is mounted.
const DATA: &str = "/var/lib/lunette";

/// What an administrator does to a node before it serves: file systems, of which the pool's shares blocks and the other's
/// does not. The kubelet holds raw block volumes by loop devices, whose module udev would load.
const PREPARE: &str = "\
modprobe loop && mkfs.xfs -q -f /dev/vda && mkfs.ext4 -q /dev/vdb && mkdir -p $DATA && mount /dev/vda $DATA &&
mkdir -p $DATA/pool $DATA/plain && mount /dev/vdb $DATA/plain && mkdir $DATA/plain/pool";

/// What its boot scripts do each time.
pub const REMOUNT: &str = "\
modprobe loop && mkdir -p /var/lib/lunette && mount /dev/vda /var/lib/lunette && mount /dev/vdb /var/lib/lunette/plain";

/// What the administrator says to the chart: its classes, and one of each sidecar, which costs an emulated node less than
/// two.
const VALUES: &str = "\
csi: { replicas: 1, snapshotter: { enabled: true } }
volumeSnapshotClasses: [{ name: lunette }]
volumeGroupSnapshotClasses: [{ name: lunette }]
storageClasses:
  - { name: lunette, default: true, parameters: { pool: fast } }
  - { name: lunette-now, parameters: { pool: fast }, volumeBindingMode: Immediate }
  - { name: lunette-xfs, parameters: { pool: fast, csi.storage.k8s.io/fstype: xfs } }
  - { name: lunette-plain, parameters: { pool: plain }, volumeBindingMode: Immediate }
";

/// The sidecars of the chart's own choice, and the modules that they are built from.
pub const SIDECARS: [(&str, &str); 4] = [
    ("csi-provisioner", "github.com/kubernetes-csi/external-provisioner/v6"),
    ("csi-attacher", "github.com/kubernetes-csi/external-attacher/v4"),
    ("csi-resizer", "github.com/kubernetes-csi/external-resizer/v2"),
    ("csi-snapshotter", "github.com/kubernetes-csi/external-snapshotter/v8"),
];

/// A cluster with Lunette on it.
#[derive(Debug)]
pub struct Installed {
    pub nodes: [ClusterNode; 2],
    pub client: Vm,
    _snapshot_controller: Daemon,
    pub plane: ControlPlane,
    pub bed: Bed,
}

impl Installed {
    /// Makes it.
    pub fn up(context: &Context) -> Result<Installed> {
        Installed::up_on(context, ControlPlaneSpec::new())
    }

    /// The same, on a control plane like this.
    pub fn up_on(context: &Context, plane: ControlPlaneSpec) -> Result<Installed> {
        let site = Installed::bare_on(context, VmSpec::new("client"), plane)?;
        site.install()?;
        Ok(site)
    }

    /// The cluster as it is before Lunette comes, with a client like this.
    pub fn bare(context: &Context, client: VmSpec) -> Result<Installed> {
        Installed::bare_on(context, client, ControlPlaneSpec::new())
    }

    fn bare_on(context: &Context, client: VmSpec, plane: ControlPlaneSpec) -> Result<Installed> {
        let bed = context.bed()?;
        let disk = images::disk(&bed, &[our_images(&bed)?.as_slice(), &sidecar_images(&bed)?].concat())?;
        let plane = ControlPlane::start(&bed, plane.with_controllers())?;
        let node =
            |name| VmSpec::new(name).disk(DiskSpec::empty("data", 4 << 30)).disk(DiskSpec::empty("plain", 1 << 30));
        let specs = [node("node-a"), node("node-b")];
        let (nodes, client) = std::thread::scope(|scope| {
            let client = scope.spawn(|| Vm::boot(&bed, client));
            let nodes = ClusterNode::boot_all(&bed, &plane, specs, &disk);
            (nodes, client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let snapshot_controller = snapshot_controller::start(&bed, &plane)?;
        let site = Installed { nodes: nodes?, client: client?, _snapshot_controller: snapshot_controller, plane, bed };
        site.client.start_iscsid()?;
        for node in &site.nodes {
            node.vm().start_iscsid()?;
            node.vm().must(GuestCommand::shell(PREPARE).env("DATA", DATA))?;
        }
        Ok(site)
    }

    fn install(&self) -> Result<()> {
        let helm = self.helm();
        let chart = helm.chart("lunette");
        let values = self.bed.folder().join("values.yaml");
        std::fs::write(&values, VALUES).context("writing the values")?;
        let values = values.display().to_string();
        helm.run(["install", "lunette", &chart, "--create-namespace", "--values", &values])?.ok()?;
        self.plane.ensure_namespace("prod")?;
        self.plane.kubectl_must(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
        // Before the provisioner looks for the first time what pools hold: it looks again after a minute.
        self.apply(&pool("fast", |_| ()))?;
        self.apply(&pool("plain", |spec| spec["directory"]["path"] = json!(format!("{DATA}/plain/pool"))))?;
        self.has_started()?;
        for node in &self.nodes {
            let ready = |lun_node: &Value| {
                ["fast", "plain"].iter().all(|pool| lun_node["status"]["pools"][pool]["ready"] == true)
            };
            self.plane.wait_for_json(["lunnode", node.name()], PATIENCE, ready)?;
        }
        Ok(())
    }

    /// Helm as the cluster's administrator.
    pub fn helm(&self) -> Helm<'_> {
        Helm::of(&self.bed, &self.plane)
    }

    /// Applies an object as an administrator.
    pub fn apply(&self, object: &Value) -> Result<()> {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.plane.kubectl_with_input(apply, &object.to_string())?.ok().map(drop)
    }

    /// A Lun for the client, pinned to a node where that is said, once it is served.
    pub fn lun(&self, name: &str, node: Option<&str>) -> Result<Value> {
        self.apply(&super::super::site::lun(name, |spec| {
            spec["size"] = json!("256Mi");
            spec["reclaimPolicy"] = json!("Delete");
            spec["initiators"] = json!([{ "iqn": self.client.initiator_name() }]);
            if let Some(node) = node {
                spec["nodeName"] = json!(node);
            }
        }))?;
        self.plane.wait_for_json(["lun", name, "-n", "prod"], PATIENCE, |lun| lun["status"]["state"] == "Ready")
    }

    /// The name of the agent's pod on a node.
    pub fn agent_pod(&self, node: &str) -> Result<String> {
        let field = format!("spec.nodeName={node}");
        let ours = ["pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=lunette-node", "--field-selector", &field];
        let pods = self.plane.get_json(ours)?;
        let alive =
            pods["items"].as_array().into_iter().flatten().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let name = alive.and_then(|pod| pod["metadata"]["name"].as_str());
        Ok(name.with_context(|| format!("no agent on {node}"))?.to_owned())
    }

    /// Waits until all that Helm has installed runs.
    pub fn has_started(&self) -> Result<()> {
        self.agents_are_ready()?;
        self.controllers_are_ready()
    }

    /// Waits until operator and CSI's controllers are there.
    pub fn controllers_are_ready(&self) -> Result<()> {
        ["deployment/lunette-operator", "deployment/lunette-csi"].into_iter().try_for_each(|name| self.rolled_out(name))
    }

    /// Waits until every agent is there and as the DaemonSet wants it.
    pub fn agents_are_ready(&self) -> Result<()> {
        self.rolled_out("daemonset/lunette-node")
    }

    fn rolled_out(&self, workload: &str) -> Result<()> {
        let done = self.plane.kubectl_must(["rollout", "status", workload, "-n", SYSTEM, WITHIN]);
        done.with_context(|| self.pods()).map(drop)
    }

    /// How nodes and pods are, and what was said of them last, for the error of a test that waited in vain.
    pub fn pods(&self) -> String {
        let pods = told(self.plane.kubectl_must(["get", "nodes,pods", "-A", "-o", "wide", "--no-headers"]));
        let events = told(self.plane.kubectl_must(["get", "events", "-A", "--sort-by=.lastTimestamp"]));
        let last: Vec<&str> = events.lines().rev().take(12).collect();
        format!("{pods}\n{}", last.join("\n"))
    }
}

/// What a program said, or why it could not: for the error of something else.
pub fn told(said: Result<String>) -> String {
    said.unwrap_or_else(|error| format!("{error:#}"))
}

/// The images of the checkout's Dockerfiles, with the programs as they are built now.
fn our_images(bed: &Bed) -> Result<[Image; 2]> {
    let image = |name: &str| {
        let program = bed.ground().layout().program(&format!("lunette-{name}"));
        let dockerfile = bed.ground().layout().checkout().join("images").join(format!("{name}.Dockerfile"));
        let text = std::fs::read_to_string(&dockerfile);
        let text = text.with_context(|| format!("reading {}", dockerfile.display()))?;
        let tag = env!("CARGO_PKG_VERSION");
        Ok::<Image, lunette_bed::Error>(Image::new(&format!("lunette-{name}:{tag}"), &text, &[program]))
    };
    Ok([image("operator")?, image("node")?])
}

/// The sidecars that the chart names, from the modules that tests pin: their images hold a program and nothing else.
fn sidecar_images(bed: &Bed) -> Result<Vec<Image>> {
    SIDECARS.into_iter().map(|(program, module)| sidecar_image(bed, program, module)).collect()
}

fn sidecar_image(bed: &Bed, program: &str, module: &str) -> Result<Image> {
    let name = format!("registry.k8s.io/sig-storage/{program}:{}", pinned(bed, module)?);
    let dockerfile = format!("FROM scratch\nCOPY {program} /{program}\nENTRYPOINT [\"/{program}\"]\n");
    Ok(Image::new(&name, &dockerfile, &[bed.ground().program(program)?]))
}

/// The version of a module of the sidecars.
pub fn pinned(bed: &Bed, module: &str) -> Result<String> {
    let file = bed.ground().layout().tools().join("go.mod");
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '));
    Ok(version.with_context(|| format!("{} does not pin {module}", file.display()))?.to_owned())
}
