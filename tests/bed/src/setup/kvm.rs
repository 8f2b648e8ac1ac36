//! Whether KVM works here, found out by a bounded trial.
//!
//! A device node proves nothing: on some machines a stock kernel hangs under it. So a guest that does nothing but
//! say a word is started under KVM, and KVM is used only if the word comes within a few seconds. The answer holds
//! until the machine boots again, and is kept in the cache under its boot id.

use super::kernels::{self, Kernel};
use crate::Result;
use crate::layout::Layout;
use crate::progress::stage;
use crate::vm::initramfs;
use anyhow::Context;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How QEMU runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// On the processor itself.
    Kvm,
    /// Translated, all virtual processors of a guest in turn on one thread. With a thread for each, a processor can
    /// still run the breakpoint by which the kernel patches its own code (`text_poke_bp`) when that is over
    /// already: one boot in sixty ended in a panic, "Oops: int3". Two guests on two processors are also faster so.
    Tcg,
}

impl Accelerator {
    /// The value of QEMU's `-accel`.
    #[must_use]
    pub fn qemu(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg,thread=single",
        }
    }

    /// The value of QEMU's `-cpu`. Emulated, five-level page tables cost time and serve nothing here; without ERMS and
    /// FSRM the guest copies eight bytes at a time instead of one; and without XSAVE, and all that needs it, it has less
    /// to put away at each switch from task to task, by which whole tests take a twentieth less.
    #[must_use]
    pub fn processor(self) -> &'static str {
        match self {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max,la57=off,erms=off,fsrm=off,xsave=off,avx=off,avx2=off,fma=off,f16c=off",
        }
    }
}

/// What is emulated where instructions are counted: all that the guest's programs make use of on real machines, but for
/// what copies single bytes, each of which would count.
pub const COUNTED_PROCESSOR: &str = "max,la57=off,erms=off,fsrm=off";

/// How long a guest that works under KVM may take to say so; it takes about one second.
const PATIENCE: Duration = Duration::from_secs(8);

/// The remembered answer of this boot, or that of a trial now.
pub fn ensure(layout: &Layout, emulator: &Path) -> Result<Accelerator> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Tcg);
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot id")?;
    let remembered = layout.cache().join("kvm-trial");
    let works = format!("works {}", boot.trim());
    match std::fs::read_to_string(&remembered) {
        Ok(answer) if answer.trim() == works => return Ok(Accelerator::Kvm),
        Ok(answer) if answer.trim().ends_with(boot.trim()) => return Ok(Accelerator::Tcg),
        _ => {}
    }
    let found = stage("trying whether KVM works", || trial(layout, emulator))?;
    let answer = if found { works } else { format!("fails {}", boot.trim()) };
    std::fs::write(&remembered, answer).context("remembering the trial of KVM")?;
    Ok(if found { Accelerator::Kvm } else { Accelerator::Tcg })
}

fn trial(layout: &Layout, emulator: &Path) -> Result<bool> {
    let kernel = kernels::files(layout, Kernel::V6_1)?;
    let console = layout.cache().join("kvm-trial.console");
    let mut guest = Command::new(emulator)
        .args(["-accel", Accelerator::Kvm.qemu(), "-cpu", Accelerator::Kvm.processor(), "-m", "256"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(initramfs::ensure(&kernel)?)
        .args(["-append", "console=ttyS0 quiet panic=-1 bed.trial=1"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting qemu for the trial of KVM")?;
    let started = Instant::now();
    let mut said_it = false;
    while !said_it && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
        let ended = guest.try_wait().context("waiting for the trial of KVM")?.is_some();
        said_it = std::fs::read_to_string(&console).is_ok_and(|text| text.contains(initramfs::TRIAL_WORD));
        if ended {
            break;
        }
    }
    // It may have ended by itself; either way it is gone after this.
    let _ = guest.kill();
    guest.wait().context("waiting for the trial of KVM")?;
    Ok(said_it)
}
