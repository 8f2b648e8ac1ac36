//! The control plane's programs, built from the Go modules under `tests/tools`.
//!
//! A module's go.mod and go.sum pin all that goes into its programs, so they and the flags are the key of the
//! cache: an unchanged tree builds nothing, a changed pin builds beside the old one. Adding a program is one more
//! line in [`MODULES`] and in the module's tools.go.

use crate::layout::Layout;
use crate::progress::stage;
use crate::{Result, host};
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::Command;

struct GoModule {
    folder: &'static str,
    /// What the linker is told: no symbol tables, and the version that the program reports.
    linker_flags: &'static str,
    programs: &'static [Program],
}

struct Program {
    name: &'static str,
    package: &'static str,
}

/// Kubernetes' programs ask each other for this version; an unstamped build says v0.0.0 and is refused.
const KUBERNETES_VERSION: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
    -X k8s.io/component-base/version.gitTreeState=clean";

/// What the compiler is told: nobody debugs these programs, and what debuggers need takes a part of the build's time.
const COMPILER_FLAGS: &str = "all=-dwarf=false";

const MODULES: &[GoModule] = &[
    GoModule {
        folder: "etcd",
        linker_flags: "-s -w",
        programs: &[Program { name: "etcd", package: "go.etcd.io/etcd/server/v3" }],
    },
    GoModule {
        folder: "csi",
        linker_flags: "-s -w",
        programs: &[Program { name: "csi-sanity", package: "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity" }],
    },
    GoModule {
        folder: "kubernetes",
        linker_flags: KUBERNETES_VERSION,
        programs: &[
            Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
            Program { name: "kube-controller-manager", package: "k8s.io/kubernetes/cmd/kube-controller-manager" },
            Program { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler" },
            Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
            Program { name: "kubelet", package: "k8s.io/kubernetes/cmd/kubelet" },
        ],
    },
    GoModule {
        folder: "sidecars",
        linker_flags: "-s -w",
        programs: &[
            Program {
                name: "csi-provisioner",
                package: "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
            },
            Program {
                name: "csi-attacher",
                package: "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher",
            },
            Program { name: "csi-resizer", package: "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer" },
            Program {
                name: "csi-snapshotter",
                package: "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter",
            },
            Program {
                name: "snapshot-controller",
                package: "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller",
            },
        ],
    },
    GoModule {
        folder: "helm",
        linker_flags: "-s -w",
        programs: &[Program { name: "helm", package: "helm.sh/helm/v4/cmd/helm" }],
    },
];

/// Which programs a run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those of a bare control plane: minutes less to build than all.
    ControlPlane,
    /// All.
    Everything,
}

impl Extent {
    fn takes_in(self, program: &Program) -> bool {
        self == Extent::Everything || ["etcd", "kube-apiserver", "kubectl"].contains(&program.name)
    }
}

/// Builds the programs that are missing.
pub fn ensure(layout: &Layout, extent: Extent) -> Result<()> {
    for module in MODULES {
        for program in module.programs.iter().filter(|program| extent.takes_in(program)) {
            let built = place(layout, module, program)?;
            if !built.exists() {
                stage(format!("building {} (pinned in tests/tools/{})", program.name, module.folder), || {
                    build(layout, module, program, &built)
                })?;
            }
        }
    }
    Ok(())
}

/// Where the built program `name` is.
pub fn path(layout: &Layout, name: &str) -> Result<PathBuf> {
    for module in MODULES {
        if let Some(program) = module.programs.iter().find(|program| program.name == name) {
            let built = place(layout, module, program)?;
            if !built.exists() {
                bail!("{name} is not built: run `lunette-bed setup`");
            }
            return Ok(built);
        }
    }
    bail!("no Go module under tests/tools builds a program named {name:?}")
}

/// The folder of a Go module, as `tests/tools/FOLDER` pins it; fetched where it is not there yet.
pub fn module(layout: &Layout, folder: &str, path: &str) -> Result<PathBuf> {
    let mut go = Command::new("go");
    go.current_dir(layout.tools().join(folder)).args(["mod", "download", "-json", path]);
    let answer: serde_json::Value = serde_json::from_str(&host::run(&mut go)?).context("reading go's answer")?;
    let found = answer["Dir"].as_str().with_context(|| format!("go says no folder of {path}: {answer}"))?;
    Ok(PathBuf::from(found))
}

fn place(layout: &Layout, module: &GoModule, program: &Program) -> Result<PathBuf> {
    let folder = layout.tools().join(module.folder);
    let mut key = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let path = folder.join(file);
        key.update(std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    key.update(module.linker_flags);
    key.update(COMPILER_FLAGS);
    let key: String = key.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(layout.cache().join("programs").join(format!("{}-{key}", module.folder)).join(program.name))
}

fn build(layout: &Layout, module: &GoModule, program: &Program, built: &PathBuf) -> Result<()> {
    let unfinished = built.with_extension("building");
    let mut go = Command::new("go");
    go.current_dir(layout.tools().join(module.folder))
        .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"])
        .args(["-gcflags", COMPILER_FLAGS, "-ldflags", module.linker_flags, "-o"])
        .arg(&unfinished)
        .arg(program.package)
        .env("CGO_ENABLED", "0");
    host::run(&mut go)?;
    std::fs::rename(&unfinished, built).with_context(|| format!("naming the finished {}", program.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_imported_by_its_modules_tools_file() {
        let layout = Layout::find().expect("tests run inside the checkout");
        for module in MODULES {
            let tools =
                std::fs::read_to_string(layout.tools().join(module.folder).join("tools.go")).expect("it is there");
            for program in module.programs {
                assert!(tools.contains(&format!("_ \"{}\"", program.package)), "{} is not pinned", program.name);
            }
        }
    }

    #[test]
    fn the_version_that_kubernetes_reports_is_the_pinned_one() {
        let layout = Layout::find().expect("tests run inside the checkout");
        let pins = std::fs::read_to_string(layout.tools().join("kubernetes/go.mod")).expect("it is there");
        let pinned =
            pins.lines().find_map(|line| line.strip_prefix("require k8s.io/kubernetes ")).expect("it is required");
        assert!(KUBERNETES_VERSION.contains(&format!("gitVersion={pinned} ")), "{pinned}");
    }
}
