//! What a cluster brings for snapshots, and no driver installs: the kinds, and the controller that binds them.

use anyhow::Context as _;
use lunette_bed::{Bed, ControlPlane, Daemon, Result};

/// The published module of the kinds.
const KINDS: &str = "github.com/kubernetes-csi/external-snapshotter/client/v8";

/// Makes the kinds and starts the controller, beside the cluster's other controllers.
pub fn start(bed: &Bed, plane: &ControlPlane) -> Result<Daemon> {
    let folder = bed.ground().go_module(KINDS)?.join("config/crd");
    let files = std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
    for file in files {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.contains("snapshot.storage.k8s.io_") {
            plane.kubectl_must(["apply", "--server-side", "-f", &path.display().to_string()])?;
        }
    }
    plane.kubectl_must(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])?;
    let mut controller = bed.command(bed.ground().program("snapshot-controller")?);
    controller.arg("--kubeconfig").arg(plane.admin_kubeconfig()).arg("--retry-interval-max=10s");
    Daemon::start(bed, "snapshot-controller", controller)
}
