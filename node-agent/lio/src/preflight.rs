//! What the kernel and the node lack for serving LUNs, each with the command that mends it.
//!
//! Looks at files below a root only (`/` in life, a directory of its own in tests), changes nothing, loads nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it is.
    pub state: State,
    /// The command that mends it, if it has to be mended.
    pub mend: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// As needed.
    Good,
    /// Missing, but it can be had here by the command in `mend`.
    Mendable,
    /// Missing, and not to be had from what is installed.
    Missing,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Preflight {
    root: PathBuf,
    release: String,
}

impl Preflight {
    /// This machine.
    pub fn here() -> Preflight {
        let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        Preflight { root: PathBuf::from("/"), release: release.unwrap_or_default() }
    }

    /// Another root, and the kernel release that `uname -r` would print.
    pub fn at(root: impl Into<PathBuf>, release: impl Into<String>) -> Preflight {
        Preflight { root: root.into(), release: release.into() }
    }

    /// Looks at everything the target side needs, in the order in which to mend it.
    pub fn check(&self) -> Vec<Finding> {
        let modules = ["configfs", "target_core_mod", "target_core_user", "iscsi_target_mod", "uio"];
        let mut findings: Vec<Finding> = modules.into_iter().map(|name| self.module(name)).collect();
        findings.push(self.mounted());
        findings.push(self.target_tree());
        findings
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Loaded or built in, or at least installed for this kernel.
    pub fn module(&self, name: &str) -> Finding {
        let what = format!("kernel module {name}");
        if self.path("sys/module").join(name).is_dir() || self.lists("modules.builtin", name) {
            return Finding { what, state: State::Good, mend: None };
        }
        if self.lists("modules.dep", name) {
            return Finding { what, state: State::Mendable, mend: Some(format!("modprobe {name}")) };
        }
        Finding { what, state: State::Missing, mend: Some(self.install()) }
    }

    /// Whether that list of this kernel's modules names it; file names have `-` or `_`, modules `_`.
    fn lists(&self, list: &str, name: &str) -> bool {
        let path = self.path("lib/modules").join(&self.release).join(list);
        let Ok(text) = fs::read_to_string(path) else { return false };
        text.lines().filter_map(|line| line.split(':').next()).any(|file| module_name(file).as_deref() == Some(name))
    }

    fn install(&self) -> String {
        match fs::read_to_string(self.path("etc/os-release")) {
            Ok(text) if text.contains("ID=ubuntu") => format!("apt-get install linux-modules-extra-{}", self.release),
            Ok(text) if text.contains("debian") => {
                format!("apt-get install linux-image-{}", debian_flavour(&self.release))
            }
            Ok(text) if text.contains("fedora") || text.contains("rhel") => {
                "dnf install kernel-modules-extra".to_owned()
            }
            _ => format!("install the package with all modules of kernel {}", self.release),
        }
    }

    fn mounted(&self) -> Finding {
        let what = "configfs mounted on /sys/kernel/config".to_owned();
        let mounts = fs::read_to_string(self.path("proc/mounts")).unwrap_or_default();
        let there = mounts.lines().any(|line| {
            let mut fields = line.split(' ').skip(1);
            (fields.next(), fields.next()) == (Some("/sys/kernel/config"), Some("configfs"))
        });
        let mend = (!there).then(|| "mount -t configfs configfs /sys/kernel/config".to_owned());
        Finding { what, state: if there { State::Good } else { State::Mendable }, mend }
    }

    fn target_tree(&self) -> Finding {
        let there = self.path("sys/kernel/config/target/core").is_dir();
        let mend = (!there).then(|| "modprobe target_core_mod".to_owned());
        let what = "the target's tree /sys/kernel/config/target".to_owned();
        Finding { what, state: if there { State::Good } else { State::Mendable }, mend }
    }
}

/// `kernel/drivers/target/target_core_user.ko.xz` → `target_core_user`.
fn module_name(file: &str) -> Option<String> {
    let name = Path::new(file).file_name()?.to_str()?;
    Some(name.split_once(".ko")?.0.replace('-', "_"))
}

/// Debian's cloud kernels have TCMU too; the metapackage is named after the last part of the release.
fn debian_flavour(release: &str) -> &str {
    match release.rsplit('-').next() {
        Some(last) if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_alphanumeric()) => last,
        _ => "amd64",
    }
}

#[cfg(test)]
mod tests;
