//! Archives of images, imported by the host's containerd into a folder, and that folder as an ext4 image.
//!
//! containerd runs in a mount namespace of its own, and in the bed's network: it ends with the bed at the latest. It is
//! the same program as in the guests, so they find its folder as they would have left it.

use crate::bed::{Bed, Daemon};
use crate::{Result, host};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// The disk takes room as it is written. What pods write in their own file systems goes there too.
const BYTES: &str = "8G";

/// Makes `disk`.
pub fn make(bed: &Bed, folder: &Path, archives: &[PathBuf], disk: &Path) -> Result<()> {
    let home = folder.join("containerd");
    if home.exists() {
        std::fs::remove_dir_all(&home).context("removing what an earlier import left")?;
    }
    std::fs::create_dir_all(&home).context("making containerd's folder")?;
    import(bed, &home, archives)?;
    let unfinished = disk.with_extension("unfinished");
    let mut format = Command::new("mke2fs");
    format.args(["-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d"]);
    host::run(format.arg(home.join("root")).arg(&unfinished).arg(BYTES))?;
    std::fs::remove_dir_all(&home).context("removing containerd's folder")?;
    std::fs::remove_dir_all(folder.join("work")).context("removing the archives of images")?;
    std::fs::rename(&unfinished, disk).context("naming the finished disk")
}

fn import(bed: &Bed, home: &Path, archives: &[PathBuf]) -> Result<()> {
    let (config, socket) = (home.join("config.toml"), home.join("socket"));
    let text = format!(
        "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{1}\"\n",
        home.display(),
        socket.display()
    );
    std::fs::write(&config, text).context("configuring containerd")?;
    let mut command = bed.command("unshare");
    command.args(["--mount", "--propagation", "private", "containerd", "--config"]).arg(&config);
    let mut containerd = Daemon::start(bed, "containerd", command)?;
    containerd.wait_until(PATIENCE, || host::run(ctr(&socket).arg("version")).is_ok())?;
    for archive in archives {
        host::run(ctr(&socket).args(["--namespace", "k8s.io", "images", "import"]).arg(archive))?;
    }
    containerd.stop(PATIENCE).map(drop)
}

fn ctr(socket: &Path) -> Command {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address").arg(socket);
    ctr
}
