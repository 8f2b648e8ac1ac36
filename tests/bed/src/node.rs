//! A node of a real Kubernetes cluster: a VM with containerd and a kubelet, on which pods run.
//!
//! Its images are on a copy-on-write disk over the one that [`crate::images::disk`] made, so nothing is pulled or
//! imported. There is no kube-proxy: the one Service that matters, the API server's, is translated by a rule of the
//! packet filter. Pods have addresses of their own (10.88.N.0/24 on the node 10.77.0.N), reachable from everywhere in
//! the bed. What the kubelet keeps lies in the guest's memory, so a power cut makes it a fresh machine under an old name.

use crate::control_plane::{API_SERVICE, ControlPlane, PORT};
use crate::exec::{GuestCommand, Process};
use crate::images::SANDBOX;
use crate::{Bed, DiskCache, DiskSpec, HOST_IPV4, Result, Vm, VmSpec};
use anyhow::Context;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where nodes have what the Kubernetes distributions also put there.
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
const KUBELET_CONFIG: &str = "/etc/kubernetes/kubelet.json";
/// A kubelet is up in 15 seconds, several times that on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The disk with the images.
const DISK: &str = "images";

/// What makes a guest fit for pods, before anything is started.
const PREPARE: &str = "\
set -e
modprobe -a overlay bridge veth br_netfilter iptable_nat xt_comment
mkdir -p /var/lib/kubelet /var/lib/containerd
mount -t tmpfs kubelet /var/lib/kubelet
mount -t tmpfs logs /var/log
mount \"$IMAGES\" /var/lib/containerd
mount --make-rshared /
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$controller; done > /sys/fs/cgroup/cgroup.subtree_control
echo 1 > /proc/sys/net/ipv4/ip_forward
ip route replace default via $HOST
iptables-legacy -t nat -A OUTPUT -d $SERVICE -p tcp --dport 443 -j DNAT --to-destination $HOST:$PORT
iptables-legacy -t nat -A PREROUTING -d $SERVICE -p tcp --dport 443 -j DNAT --to-destination $HOST:$PORT
";

/// A VM that is a node. Dropping it ends it like a power cut; its Node object stays.
#[derive(Debug)]
pub struct ClusterNode {
    vm: Vm,
    kubeconfig: PathBuf,
    ca: PathBuf,
    programs: Mutex<Vec<(&'static str, Process)>>,
}

impl ClusterNode {
    /// Boots a node on `disk` and waits until it is Ready. The spec's own disks come first.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn boot(bed: &Bed, plane: &ControlPlane, spec: VmSpec, disk: &Path) -> Result<ClusterNode> {
        let images = DiskSpec::over(DISK, disk).cache(DiskCache::Unsafe);
        let vm = Vm::boot(bed, spec.memory_mib(3072).disk(images))?;
        let kubeconfig = plane.kubeconfig_for_user(&format!("system:node:{}", vm.name()), &["system:nodes"])?;
        let node = ClusterNode { vm, kubeconfig, ca: plane.ca(), programs: Mutex::default() };
        bed.net().route(&node.pod_network(), node.vm.guest())?;
        node.start(bed)?;
        node.wait_ready(plane)?;
        Ok(node)
    }

    /// Boots nodes with these names at once.
    ///
    /// # Errors
    /// As [`ClusterNode::boot`].
    pub fn boot_all<const N: usize>(
        bed: &Bed,
        plane: &ControlPlane,
        specs: [VmSpec; N],
        disk: &Path,
    ) -> Result<[ClusterNode; N]> {
        let booted: Result<Vec<ClusterNode>> = std::thread::scope(|scope| {
            let boot = |spec| scope.spawn(move || ClusterNode::boot(bed, plane, spec, disk));
            let booting: Vec<_> = specs.into_iter().map(boot).collect();
            booting
                .into_iter()
                .map(|node| node.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        Ok(booted?.try_into().unwrap_or_else(|_| unreachable!("as many nodes as specs")))
    }

    /// The machine.
    #[must_use]
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Its name, as a Node too.
    #[must_use]
    pub fn name(&self) -> &str {
        self.vm.name()
    }

    /// Ends the kubelet with SIGKILL and starts it again; pods run on.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn restart_kubelet(&self, bed: &Bed) -> Result<()> {
        self.end("kubelet")?;
        self.start_kubelet(bed)
    }

    /// Ends containerd with SIGKILL and starts it again; containers run on.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn restart_containerd(&self) -> Result<()> {
        self.end("containerd")?;
        self.start_containerd()
    }

    /// Cuts its power and switches it on again; `boot` is what its own boot scripts would do before the kubelet starts.
    ///
    /// # Errors
    /// When it does not come up, or `boot` fails.
    pub fn power_cycle(&self, bed: &Bed, plane: &ControlPlane, boot: &str) -> Result<()> {
        self.vm.power_cut()?;
        // Their connections went with the guest.
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.vm.power_on()?;
        self.vm.must(boot)?;
        self.vm.start_iscsid()?;
        self.start(bed)?;
        self.wait_ready(plane)
    }

    /// Waits until the API server has it as Ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_ready(&self, plane: &ControlPlane) -> Result<()> {
        let ready = |node: &serde_json::Value| {
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        plane.wait_for_json(["node", self.name()], PATIENCE, ready).map(drop)
    }

    fn start(&self, bed: &Bed) -> Result<()> {
        let device = self.vm.disk(DISK)?.display().to_string();
        let prepare = GuestCommand::shell(PREPARE).env("IMAGES", &device).env("HOST", &HOST_IPV4.to_string());
        self.vm.must(prepare.env("PORT", &PORT.to_string()).env("SERVICE", API_SERVICE))?;
        self.vm.write("/etc/containerd/bed.toml", &containerd_config())?;
        self.vm.write("/etc/cni/net.d/10-bed.conflist", &self.pod_network_config().to_string())?;
        self.vm.write(KUBELET_CONFIG, &self.kubelet_config().to_string())?;
        self.start_containerd()?;
        self.start_kubelet(bed)
    }

    fn start_containerd(&self) -> Result<()> {
        self.run("containerd", GuestCommand::new("containerd").args(["--config", "/etc/containerd/bed.toml"]))?;
        let answers = format!("ctr --address {CONTAINERD_SOCKET} version >/dev/null");
        self.vm.wait_for(answers, PATIENCE).map(drop)
    }

    fn start_kubelet(&self, bed: &Bed) -> Result<()> {
        let kubelet = GuestCommand::new(bed.ground().program("kubelet")?)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--config={KUBELET_CONFIG}"))
            .arg(format!("--hostname-override={}", self.name()))
            .arg(format!("--node-ip={}", self.vm.ipv4()));
        self.run("kubelet", kubelet)
    }

    fn run(&self, name: &'static str, command: GuestCommand) -> Result<()> {
        let process = self.vm.spawn(name, command)?;
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push((name, process));
        Ok(())
    }

    /// Ends one of the programs and waits for its end.
    fn end(&self, name: &str) -> Result<()> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let at = programs.iter().position(|(found, _)| *found == name);
        let (_, process) = programs.remove(at.with_context(|| format!("{name} does not run on {}", self.name()))?);
        drop(programs);
        process.signal(Signal::SIGKILL)?;
        process.wait().map(drop)
    }

    /// The addresses of its pods.
    fn pod_network(&self) -> String {
        format!("10.88.{}.0/24", self.vm.ipv4().octets()[3])
    }

    fn pod_network_config(&self) -> serde_json::Value {
        serde_json::json!({
            "cniVersion": "1.0.0", "name": "bed",
            "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
                "ipam": { "type": "host-local", "ranges": [[{ "subnet": self.pod_network() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }] },
            }],
        })
    }

    fn kubelet_config(&self) -> serde_json::Value {
        serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
            "authentication": { "x509": { "clientCAFile": self.ca }, "anonymous": { "enabled": false } },
            "cgroupDriver": "cgroupfs", "failSwapOn": false, "localStorageCapacityIsolation": false,
            "evictionHard": { "memory.available": "50Mi" },
            // Nothing is ever pulled or cleaned away here.
            "imageGCHighThresholdPercent": 100, "imageMinimumGCAge": "24h",
            "nodeStatusUpdateFrequency": "5s", "syncFrequency": "10s",
            // An emulated node may stop for a moment without being lost.
            "runtimeRequestTimeout": "5m",
        })
    }
}

fn containerd_config() -> String {
    format!(
        "version = 2
[grpc]
address = \"{CONTAINERD_SOCKET}\"
[plugins.\"io.containerd.grpc.v1.cri\"]
sandbox_image = \"docker.io/{SANDBOX}\"
[plugins.\"io.containerd.grpc.v1.cri\".cni]
bin_dir = \"/usr/lib/cni\"
conf_dir = \"/etc/cni/net.d\"
"
    )
}
