//! A virtual machine: a stock Debian kernel, the host's programs, a network card, disks that outlive it.
//!
//! The guest's root is the host's, read-only, under an overlay in the guest's memory: every program built or
//! installed on the host is there under the same path, and nothing the guest writes reaches the host but what it
//! puts into `/bed`. What must survive a power cut goes on a [`DiskSpec`]. There is no init system: a shell is
//! process 1, and the agent that runs commands is its only child (see `exec`).

mod disk;
mod files;
pub mod initramfs;
mod kernel_log;
mod power;
mod qemu;
mod scsi;
mod services;
mod spec;
mod write_log;

use crate::Result;
use crate::bed::{Bed, Guest};
use crate::exec::{self, GuestCommand, Output, Process};
use anyhow::{Context, bail};
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

pub use disk::{DiskCache, DiskSpec};
pub use spec::VmSpec;
pub use write_log::{Replay, WriteLog};

/// A virtual machine, on or off. Dropping it ends it like a power cut and removes its disks.
#[derive(Debug)]
pub struct Vm {
    bed: Bed,
    spec: VmSpec,
    guest: Guest,
    power: Mutex<power::Power>,
    connections: Mutex<Vec<Weak<TcpStream>>>,
    transfers: AtomicU32,
}

impl Vm {
    /// Makes a VM in `bed` and waits until it runs commands.
    ///
    /// # Errors
    /// When it cannot be made or does not come up; the message has the end of its console.
    pub fn boot(bed: &Bed, spec: VmSpec) -> Result<Vm> {
        let vm = Vm::make(bed, spec)?;
        vm.power_on()?;
        Ok(vm)
    }

    /// Boots several VMs at once: on two cores two take little longer than one.
    ///
    /// # Errors
    /// As [`Vm::boot`].
    pub fn boot_all<const N: usize>(bed: &Bed, specs: [VmSpec; N]) -> Result<[Vm; N]> {
        let booted: Result<Vec<Vm>> = std::thread::scope(|scope| {
            let booting: Vec<_> = specs.into_iter().map(|spec| scope.spawn(|| Vm::boot(bed, spec))).collect();
            booting.into_iter().map(|vm| vm.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        Ok(booted?.try_into().unwrap_or_else(|_| unreachable!("as many VMs as specs")))
    }

    fn make(bed: &Bed, spec: VmSpec) -> Result<Vm> {
        let guest = bed.net().add_guest()?;
        let vm = Vm {
            bed: bed.clone(),
            spec,
            guest,
            power: Mutex::default(),
            connections: Mutex::default(),
            transfers: AtomicU32::new(0),
        };
        std::fs::create_dir_all(vm.share()).with_context(|| format!("making the folder of VM {}", vm.name()))?;
        for disk in vm.spec.disks() {
            disk.create(&vm.folder())?;
        }
        Ok(vm)
    }

    /// Its name, which is also its host name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.spec.name()
    }

    /// Its address in the bed's network.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.guest.ipv4()
    }

    /// Its address in the bed's network.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.guest.ipv6()
    }

    /// Its place in the network, for [`crate::bed::Net::unplug`].
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// The initiator name that its `/etc/iscsi/initiatorname.iscsi` has.
    #[must_use]
    pub fn initiator_name(&self) -> String {
        self.spec.initiator_name()
    }

    /// The device of a disk of its spec: `/dev/vda`, ...
    ///
    /// # Errors
    /// When the spec names no such disk.
    pub fn disk(&self, name: &str) -> Result<PathBuf> {
        let Some(number) = self.spec.disks().iter().position(|disk| disk.name() == name) else {
            bail!("VM {} has no disk named {name:?}", self.name());
        };
        let letter = char::from(b"abcdefghijklmnopqrstuvwxyz"[number]);
        Ok(PathBuf::from(format!("/dev/vd{letter}")))
    }

    /// What was written to a [logged](DiskSpec::logged) disk. The guest must be off, and have flushed what is to count.
    ///
    /// # Errors
    /// When the spec names no such disk, or the log makes no sense.
    pub fn write_log(&self, name: &str) -> Result<WriteLog> {
        let disk = self.spec.disks().iter().find(|disk| disk.name() == name);
        let disk = disk.with_context(|| format!("VM {} has no disk named {name:?}", self.name()))?;
        WriteLog::read(&disk.log(&self.folder()), disk.bytes())
    }

    /// The host's side of the guest's `/bed`, through which files pass.
    #[must_use]
    pub fn share(&self) -> PathBuf {
        self.folder().join("share")
    }

    /// Where its console is written.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.bed.logs().join(format!("{}.console.log", self.name()))
    }

    /// Runs a command and waits for its end.
    ///
    /// # Errors
    /// When the guest cannot run it, or it takes longer than its patience. A status other than 0 is no error here:
    /// see [`Output::ok`].
    pub fn run(&self, command: impl Into<GuestCommand>) -> Result<Output> {
        self.start(&command.into(), None)?.wait()
    }

    /// Runs a command that has to succeed; returns its trimmed standard output.
    ///
    /// # Errors
    /// As [`Vm::run`], and when its status is not 0.
    pub fn must(&self, command: impl Into<GuestCommand>) -> Result<String> {
        self.run(command)?.ok().with_context(|| format!("on {}", self.name()))
    }

    /// Starts a command that keeps running; its output also goes to `VM.LABEL.log` among the bed's logs.
    ///
    /// # Errors
    /// When the guest cannot run it.
    pub fn spawn(&self, label: &str, command: impl Into<GuestCommand>) -> Result<Process> {
        let path = self.bed.logs().join(format!("{}.{label}.log", self.name()));
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("opening {}", path.display()))?;
        self.start(&command.into(), Some(log))
    }

    fn start(&self, command: &GuestCommand, log: Option<std::fs::File>) -> Result<Process> {
        let asked = || format!("running `{}` on {}", command.shown(), self.name());
        let connection = self.bed.net().connect(self.ipv4().into(), exec::PORT, Duration::from_secs(60));
        let connection = Arc::new(connection.with_context(asked)?);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
        drop(connections);
        Process::start(connection, command, log).with_context(asked)
    }

    /// Runs a command again and again until it succeeds; returns its trimmed standard output.
    ///
    /// # Errors
    /// When it still fails after `patience`; the message has its last failure.
    pub fn wait_for(&self, command: impl Into<GuestCommand>, patience: Duration) -> Result<String> {
        let command = command.into();
        let deadline = Instant::now() + patience;
        loop {
            let output = self.run(command.clone())?;
            if output.success() {
                return output.ok();
            }
            if Instant::now() > deadline {
                return output.ok().with_context(|| format!("on {}, still after {patience:?}", self.name()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The lines of the kernel's log that no test should cause: warnings with a stack, oopses, hung tasks, lockups;
    /// of this boot, and of the earlier ones as far as they reached the console. Empty is good.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn dmesg_warnings(&self) -> Result<Vec<String>> {
        let console = std::fs::read(self.console()).context("reading the console's log")?;
        let mut log = String::from_utf8_lossy(&console).replace('\r', "");
        log.push_str(&self.must("dmesg")?);
        let mut troubles = kernel_log::troubles(&log);
        troubles.sort();
        troubles.dedup();
        Ok(troubles)
    }

    /// As [`Vm::dmesg_warnings`], but any trouble is an error that shows it.
    ///
    /// # Errors
    /// When there is trouble, or the guest does not answer.
    pub fn dmesg_must_be_clean(&self) -> Result<()> {
        let troubles = self.dmesg_warnings()?;
        if !troubles.is_empty() {
            bail!("the kernel of {} warned:\n{}", self.name(), troubles.join("\n"));
        }
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.bed.folder().join(self.name())
    }
}
