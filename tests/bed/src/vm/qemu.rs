//! QEMU's command line for a VM.
//!
//! No disk image, no firmware set-up, no devices but those named here: the kernel is entered directly, the host's
//! root comes over 9p. The kernel's command line tells the initramfs who the guest is (`bed.*`).

use super::{Vm, initramfs};
use crate::bed::{Bed, Guest, HOST_IPV4};
use crate::setup::{COUNTED_PROCESSOR, KernelFiles};
use crate::vm::VmSpec;
use crate::{Result, host};
use anyhow::Context;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where QEMU itself writes.
pub fn log(bed: &Bed, name: &str) -> PathBuf {
    bed.logs().join(format!("{name}.qemu.log"))
}

/// Starts a VM and returns at once.
pub fn start(bed: &Bed, spec: &VmSpec, guest: &Guest, vm: &Vm) -> Result<Child> {
    let kernel = bed.ground().kernel(spec.chosen_kernel().unwrap_or(bed.kernel()))?;
    let ground = bed.ground();
    let emulator = if spec.is_counting_instructions() { ground.counting_emulator() } else { ground.emulator() };
    let mut qemu = bed.command(emulator);
    machine(&mut qemu, bed, spec);
    qemu.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initramfs::ensure(&kernel)?);
    qemu.args(["-append", &kernel_arguments(&kernel, bed, spec, guest)]);
    qemu.arg("-chardev").arg(format!("file,id=console,path={},append=on", vm.console().display()));
    qemu.args(["-serial", "chardev:console"]);
    shares(&mut qemu, vm);
    network(&mut qemu, guest);
    for disk in spec.disks() {
        qemu.args(disk.qemu_arguments(&vm.folder()));
    }
    let output = File::create(log(bed, spec.name())).context("making qemu's log")?;
    let errors = output.try_clone().context("sharing qemu's log")?;
    let started = qemu.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
    started.with_context(|| format!("starting {}", host::shown(&qemu)))
}

fn machine(qemu: &mut Command, bed: &Bed, spec: &VmSpec) {
    let accelerator = bed.ground().accelerator();
    qemu.args(["-M", "q35"]);
    if spec.is_counting_instructions() {
        // While the guest idles its clock goes on with the host's, so that it does not outrun the network.
        qemu.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"]);
        qemu.args(["-cpu", COUNTED_PROCESSOR]);
    } else {
        qemu.args(["-accel", accelerator.qemu(), "-cpu", accelerator.processor()]);
    }
    qemu.args(["-smp", &spec.processor_count().to_string(), "-m", &spec.memory().to_string()]);
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    // Entropy from the start: without it, programs of the guest could wait for randomness.
    qemu.args(["-device", "virtio-rng-pci"]);
}

/// The host's root, read-only, and the VM's own folder for what passes between both.
fn shares(qemu: &mut Command, vm: &Vm) {
    let root = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap";
    let share = format!("local,path={},mount_tag=bed,security_model=none,multidevs=remap", vm.share().display());
    qemu.args(["-virtfs", root, "-virtfs", &share]);
}

fn network(qemu: &mut Command, guest: &Guest) {
    qemu.args(["-netdev", &format!("tap,id=net,ifname={},script=no,downscript=no", guest.tap())]);
    // No option ROM: nothing boots from the network.
    qemu.args(["-device", &format!("virtio-net-pci,netdev=net,mac={},romfile=", guest.mac())]);
}

/// Warnings and worse go to the console too (`loglevel=5`), so that they are known after a power cut.
fn kernel_arguments(kernel: &KernelFiles, bed: &Bed, spec: &VmSpec, guest: &Guest) -> String {
    let mut arguments = vec![
        "console=ttyS0 loglevel=5 panic=-1 mitigations=off tsc=reliable cryptomgr.notests".to_owned(),
        // A virtual processor that the host starves, or a test freezes, is no lockup.
        "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120".to_owned(),
        format!("bed.name={} bed.ipv4={} bed.ipv6={}", spec.name(), guest.ipv4(), guest.ipv6()),
        format!("bed.host={HOST_IPV4} bed.initiator={}", spec.initiator_name()),
        format!("bed.modules={} bed.agent={}", kernel.modules().display(), bed.agent().display()),
    ];
    arguments.extend(spec.kernel_arguments().iter().cloned());
    arguments.join(" ")
}
