//! A bed: one run's ground, with a name, a network of its own, a folder and a kernel for its VMs.
//!
//! Every process that a bed starts runs in the bed's network namespace, so the namespace is also the list of what
//! must be gone at the end. A bed is removed when its last handle is dropped, on a panic too; by the signal
//! handler on SIGINT and SIGTERM; and by its reaper, or the next bed, if its process was killed. Its logs outlive it:
//! the last of them stay under `target/bed/logs/`.

mod daemon;
pub mod interrupt;
mod net;
pub mod reaper;
mod remains;

use crate::Result;
use crate::setup::{Ground, Kernel};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

pub use daemon::Daemon;
pub use net::{Guest, HOST_IPV4, HOST_IPV6, Net};
pub(crate) use remains::clear_all;
pub use remains::{recent_logs, sweep};

/// A handle on a bed; clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Bed {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ground: Ground,
    kernel: Kernel,
    net: Net,
    remains: remains::Remains,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.remains.clear();
    }
}

impl Bed {
    /// Makes a bed whose VMs boot `kernel` unless told otherwise, after sweeping what killed runs left.
    ///
    /// # Errors
    /// When the network namespace or the folder cannot be made.
    pub fn up(ground: &Ground, kernel: Kernel) -> Result<Bed> {
        sweep(ground.layout());
        reaper::watch(ground.layout())?;
        let remains = remains::Remains::of_this_process(ground.layout());
        std::fs::create_dir_all(remains.logs()).context("making the bed's folder")?;
        let net = Net::up(remains.name()).inspect_err(|_| remains.clear())?;
        let bed = Bed { inner: Arc::new(Inner { ground: ground.clone(), kernel, net, remains }) };
        bed.keep_this_program()?;
        Ok(bed)
    }

    /// Its name, which is also that of its network namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.remains.name()
    }

    /// Its folder, gone when the bed is.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.inner.remains.folder()
    }

    /// Where consoles and daemons write; kept for a while when the bed is gone.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.inner.remains.logs()
    }

    /// Its network.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.inner.net
    }

    /// What set-up made.
    #[must_use]
    pub fn ground(&self) -> &Ground {
        &self.inner.ground
    }

    /// The kernel that its VMs boot unless told otherwise.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.inner.kernel
    }

    /// A host program that will run in the bed's network.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.net().command(program.as_ref())
    }

    /// The copy of this program that guests run as their agent. A copy, because a build during the run must not
    /// change the file under a guest.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.folder().join("lunette-bed")
    }

    fn keep_this_program(&self) -> Result<()> {
        std::fs::copy("/proc/self/exe", self.agent()).context("copying this program for the guests")?;
        Ok(())
    }
}
