//! The Debian packages that the bed uses, installed where missing.
//!
//! Installing starts no service: Debian's own switch for that, `/usr/sbin/policy-rc.d`, is put there for the time
//! of the installation where the machine has none, and taken away after it. Nothing is upgraded or removed.

use super::apt::Apt;
use crate::layout::Layout;
use crate::progress::stage;
use crate::{Result, host};
use anyhow::Context;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// What the harness itself, the guests (which see the host's programs) and the tests' initiators use.
const PACKAGES: &[&str] = &[
    "btrfs-progs",
    "buildah",
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "ddpt",
    "dmsetup",
    "e2fsprogs",
    "fio",
    "iproute2",
    "iptables",
    "kmod",
    "libiscsi-bin",
    "lsscsi",
    "mmdebstrap",
    "open-iscsi",
    "openssl",
    "procps",
    "qemu-block-extra",
    "qemu-system-x86",
    "qemu-utils",
    "runc",
    "sg3-utils",
    "udev",
    "util-linux",
    "xfsprogs",
    "xz-utils",
    "zstd",
];

/// Installs those of the bed's own packages that are missing.
pub fn ensure(layout: &Layout) -> Result<()> {
    ensure_these(layout, PACKAGES)
}

/// Installs those of `packages` that are missing.
pub fn ensure_these(layout: &Layout, packages: &[&'static str]) -> Result<()> {
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    stage(format!("installing Debian packages: {}", missing.join(" ")), || install(layout, &missing))
}

fn missing(packages: &[&'static str]) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for package in packages {
        let mut query = Command::new("dpkg-query");
        query.args(["-W", "-f", "${db:Status-Status}", package]);
        let answer = host::capture(&mut query, b"")?;
        if answer.stdout != b"installed" {
            missing.push(*package);
        }
    }
    Ok(missing)
}

/// Held while packages are installed, which is no time to end at: see [`finish`].
static INSTALLING: Mutex<()> = Mutex::new(());

/// Waits for an installation that is under way.
pub fn finish() {
    drop(INSTALLING.lock());
}

fn install(layout: &Layout, missing: &[&str]) -> Result<()> {
    let _under_way = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let _no_services = NoServices::decree()?;
    let apt = Apt::of_the_machine(layout)?;
    apt.update()?;
    let mut get = apt.get();
    get.args(["install", "--yes", "--no-install-recommends", "--no-upgrade"]).args(missing);
    host::run(get.env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

/// While it lives, packages may not start services.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    fn decree() -> Result<NoServices> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
        match created {
            Ok(mut file) => {
                // From here on the file goes when this value does.
                let decree = NoServices { ours: Some(path) };
                // 101: "action forbidden by policy", /usr/share/doc/init-system-helpers/README.policy-rc.d.gz
                std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n").context("writing policy-rc.d")?;
                Ok(decree)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(NoServices { ours: None }),
            Err(error) => Err(error).with_context(|| format!("making {}", path.display())),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.ours {
            // Failing leaves a machine that starts no services on installation: say so, there is no one to tell.
            if let Err(error) = std::fs::remove_file(path) {
                eprintln!("bed: could not remove {}: {error}; remove it by hand", path.display());
            }
        }
    }
}
