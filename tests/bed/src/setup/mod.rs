//! Set-up: from a fresh Debian 12 machine to a ground that beds can stand on.
//!
//! Six steps, each of which looks first and does only what is missing: Debian packages, two kernels and a QEMU (unpacked,
//! not installed), a base for container images, the control plane's programs (built from pinned Go modules) and a trial
//! of KVM. Running it again costs milliseconds and needs no network. Two set-ups at once wait for each other. The host is
//! changed by the packages alone, and no service is started by them.

mod apt;
mod base_image;
mod emulator;
mod kernels;
mod kvm;
pub(crate) mod mirror;
mod packages;
mod programs;

use crate::Result;
use crate::layout::Layout;
use crate::progress::stage;
use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::path::{Path, PathBuf};

pub(crate) use packages::finish as finish_installing;

pub use base_image::NAME as BASE_IMAGE;
pub use kernels::{Kernel, KernelFiles};
pub use kvm::{Accelerator, COUNTED_PROCESSOR};
pub use programs::Extent;

/// What set-up made: all that a bed needs.
#[derive(Debug, Clone)]
pub struct Ground {
    layout: Layout,
    emulator: PathBuf,
    accelerator: Accelerator,
}

impl Ground {
    /// Makes whatever is missing.
    ///
    /// # Errors
    /// When not root, or a step fails; the message says which and what it printed.
    pub fn prepare(layout: &Layout, extent: Extent) -> Result<Ground> {
        if !nix::unistd::geteuid().is_root() {
            bail!("set-up installs packages and makes network namespaces: run it as root");
        }
        let _alone = lock(&layout.cache().join("setup.lock"))?;
        let emulator = std::thread::scope(|scope| {
            // The Go builds are long and need nothing of the rest.
            let programs = scope.spawn(|| programs::ensure(layout, extent));
            let rest = Ground::without_programs(layout, extent);
            programs.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(rest)
        })?;
        let accelerator = kvm::ensure(layout, &emulator)?;
        Ok(Ground { layout: layout.clone(), emulator, accelerator })
    }

    /// The QEMU to run guests with.
    fn without_programs(layout: &Layout, extent: Extent) -> Result<PathBuf> {
        packages::ensure(layout)?;
        kernels::ensure(layout)?;
        let emulator = emulator::ensure(layout)?;
        if extent != Extent::ControlPlane {
            base_image::ensure(layout)?;
        }
        Ok(emulator)
    }

    /// Installs Debian packages that only some runs need.
    ///
    /// # Errors
    /// When apt cannot.
    pub fn install(&self, packages: &[&'static str]) -> Result<()> {
        let _alone = lock(&self.layout.cache().join("setup.lock"))?;
        packages::ensure_these(&self.layout, packages)
    }

    /// The directories of this checkout.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The QEMU that VMs run in.
    #[must_use]
    pub fn emulator(&self) -> &Path {
        &self.emulator
    }

    /// The QEMU in which instructions are counted.
    #[must_use]
    pub fn counting_emulator(&self) -> &'static Path {
        Path::new(emulator::PROGRAM)
    }

    /// How VMs run here.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// The files of a kernel.
    ///
    /// # Errors
    /// When set-up's folder for it was damaged or removed meanwhile.
    pub fn kernel(&self, kernel: Kernel) -> Result<KernelFiles> {
        kernels::files(&self.layout, kernel)
    }

    /// The path of a built program: `kube-apiserver`, `kubelet`, `helm`, ...
    ///
    /// # Errors
    /// When there is no such program in `tests/tools`, or it was removed meanwhile.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        programs::path(&self.layout, name)
    }

    /// The folder of a Go module, `path`, as `tests/tools` pins it; fetched where it is not there yet.
    ///
    /// # Errors
    /// When `go` cannot fetch it.
    pub fn go_module(&self, path: &str) -> Result<PathBuf> {
        programs::module(&self.layout, path)
    }
}

/// Held while set-up runs, or what else two processes must not do at once; the kernel drops it with the process,
/// however that ends.
pub(crate) fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("opening {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => stage("waiting for another set-up to finish", || {
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
        }),
        Err((_, errno)) => Err(errno).with_context(|| format!("locking {}", path.display())),
    }
}
