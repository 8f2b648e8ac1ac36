//! The control plane's programs, built from the Go module `tests/tools`.
//!
//! Its go.mod and go.sum pin all that goes into the programs, so they and the flags are the key of the cache: an unchanged
//! tree builds nothing, a changed pin builds beside the old one. It is one module, so that what the programs share is
//! compiled once, which is most of them. Adding a program is one more line in [`PROGRAMS`] and in tools.go.

use crate::layout::Layout;
use crate::progress::stage;
use crate::{Result, host};
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::Command;

/// A program's name, and its package.
type Program = (&'static str, &'static str);

/// What the linker is told: no symbol tables, and the version that Kubernetes' programs report. They ask each other for
/// it; an unstamped build says v0.0.0 and is refused.
const LINKER_FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
    -X k8s.io/component-base/version.gitTreeState=clean";

/// What the compiler is told: nobody debugs these programs, and what debuggers need takes a part of the build's time.
const COMPILER_FLAGS: &str = "all=-dwarf=false";

/// How the compiler is run: each of its processes lives for a moment, and collects garbage only where it would take more
/// memory than this. A third of the build's instructions are saved so.
const COMPILER: &[(&str, &str)] = &[("CGO_ENABLED", "0"), ("GOGC", "off"), ("GOMEMLIMIT", "4GiB")];

/// What a bare control plane needs: minutes less to build than all.
const CONTROL_PLANE: &[Program] = &[
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// What a cluster needs besides, on which volumes are provisioned, with Helm to install them.
const CLUSTER: &[Program] = &[
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ("csi-provisioner", "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner"),
    ("csi-attacher", "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher"),
    ("csi-resizer", "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer"),
    ("csi-snapshotter", "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter"),
    ("snapshot-controller", "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller"),
    ("helm", "helm.sh/helm/v4/cmd/helm"),
];

/// What only tests run.
const TESTS: &[Program] = &[("csi-sanity", "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity")];

/// Which programs a run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those of a bare control plane.
    ControlPlane,
    /// Those of a cluster with nodes.
    Cluster,
    /// All.
    Everything,
}

impl Extent {
    fn programs(self) -> &'static [&'static [Program]] {
        match self {
            Extent::ControlPlane => &[CONTROL_PLANE],
            Extent::Cluster => &[CONTROL_PLANE, CLUSTER],
            Extent::Everything => &[CONTROL_PLANE, CLUSTER, TESTS],
        }
    }
}

/// Builds the programs that are missing.
pub fn ensure(layout: &Layout, extent: Extent) -> Result<()> {
    let folder = folder(layout)?;
    // One command for each set: the compiler is kept busy while a program is linked.
    for programs in extent.programs() {
        let missing: Vec<Program> = programs.iter().filter(|(name, _)| !folder.join(name).exists()).copied().collect();
        if !missing.is_empty() {
            let names = missing.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            stage(format!("building {names} (pinned in tests/tools)"), || build(layout, &missing, &folder))?;
        }
    }
    Ok(())
}

/// Where the built program `name` is.
pub fn path(layout: &Layout, name: &str) -> Result<PathBuf> {
    if !Extent::Everything.programs().concat().iter().any(|(known, _)| *known == name) {
        bail!("tests/tools builds no program named {name:?}");
    }
    let built = folder(layout)?.join(name);
    if !built.exists() {
        bail!("{name} is not built: run `lunette-bed setup`");
    }
    Ok(built)
}

/// The folder of a Go module, as `tests/tools` pins it; fetched where it is not there yet.
pub fn module(layout: &Layout, path: &str) -> Result<PathBuf> {
    let mut go = Command::new("go");
    go.current_dir(layout.tools()).args(["mod", "download", "-json", path]);
    let answer: serde_json::Value = serde_json::from_str(&host::run(&mut go)?).context("reading go's answer")?;
    let found = answer["Dir"].as_str().with_context(|| format!("go says no folder of {path}: {answer}"))?;
    Ok(PathBuf::from(found))
}

/// Where built programs are.
fn folder(layout: &Layout) -> Result<PathBuf> {
    let mut key = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let path = layout.tools().join(file);
        key.update(std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    key.update(LINKER_FLAGS);
    key.update(COMPILER_FLAGS);
    let key: String = key.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(layout.cache().join("programs").join(key))
}

fn build(layout: &Layout, programs: &[Program], folder: &PathBuf) -> Result<()> {
    let unfinished = folder.with_extension("building");
    std::fs::create_dir_all(&unfinished).and_then(|()| std::fs::create_dir_all(folder)).context("making a folder")?;
    let mut go = Command::new("go");
    go.current_dir(layout.tools())
        .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"])
        .args(["-gcflags", COMPILER_FLAGS, "-ldflags", LINKER_FLAGS, "-o"])
        .arg(unfinished.join(""))
        .args(programs.iter().map(|(_, package)| package))
        .envs(COMPILER.iter().copied());
    host::run(&mut go)?;
    for (name, package) in programs {
        let built = unfinished.join(called_by_go(package));
        std::fs::rename(built, folder.join(name)).with_context(|| format!("naming the finished {name}"))?;
    }
    Ok(())
}

/// What go calls a package's program: the last part of its path that is no major version.
fn called_by_go(package: &str) -> &str {
    let is_version = |part: &&str| part.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_imported_by_tools_go() {
        let layout = Layout::find().expect("tests run inside the checkout");
        let tools = std::fs::read_to_string(layout.tools().join("tools.go")).expect("it is there");
        for (name, package) in Extent::Everything.programs().concat() {
            assert!(tools.contains(&format!("_ \"{package}\"")), "{name} is not pinned");
        }
    }

    #[test]
    fn go_names_a_program_after_its_package() {
        assert_eq!(called_by_go("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(called_by_go("helm.sh/helm/v4/cmd/helm"), "helm");
    }

    #[test]
    fn the_version_that_kubernetes_reports_is_the_pinned_one() {
        let layout = Layout::find().expect("tests run inside the checkout");
        let pins = std::fs::read_to_string(layout.tools().join("go.mod")).expect("it is there");
        let pinned =
            pins.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v")).expect("it is required");
        assert!(LINKER_FLAGS.contains(&format!("gitVersion=v{pinned} ")), "{pinned}");
    }
}
