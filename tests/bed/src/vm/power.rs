//! Switching a VM on and off, rudely.
//!
//! Switching off is SIGKILL for QEMU: the guest learns nothing of it, as in a power cut. What is on its disks stays,
//! what was in its memory (the overlay on its root too) is gone, so the next boot is that of a fresh machine with
//! used disks.

use super::{Vm, kernel_log, qemu};
use crate::{Result, exec, host};
use anyhow::{Context, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::Shutdown;
use std::process::Child;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A boot under emulation takes 4 to 6 seconds, several times that on a busy machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(180);

/// How often a guest is booted at most until its clock is sane.
const BOOTS: u32 = 3;

#[derive(Debug, Default)]
pub enum Power {
    #[default]
    Off,
    On(Child),
}

impl Vm {
    /// Switches it on and waits until it runs commands.
    ///
    /// # Errors
    /// When it is on already, or does not come up; the message has the end of its console.
    pub fn power_on(&self) -> Result<()> {
        let mut power = self.power();
        if matches!(*power, Power::On(_)) {
            bail!("VM {} is on already", self.name());
        }
        for _ in 1..BOOTS {
            let began = Instant::now();
            self.boot_into(&mut power)?;
            if self.is_clock_sane(began)? {
                return Ok(());
            }
            eprintln!(
                "bed: the clock of VM {} runs too fast, so the host stood still while it booted: again",
                self.name()
            );
            stop(&mut power)?;
        }
        self.boot_into(&mut power)
    }

    fn boot_into(&self, power: &mut Power) -> Result<()> {
        let mut child = qemu::start(&self.bed, &self.spec, &self.guest, self)?;
        let up = self.await_agent(&mut child);
        *power = Power::On(child);
        up
    }

    /// Whether the guest has lived no longer than the host has since `began`. It learns how fast its clock runs within some
    /// milliseconds of its boot: where the host stood still in these, it runs many times too fast for ever.
    fn is_clock_sane(&self, began: Instant) -> Result<bool> {
        if self.spec.is_counting_instructions() {
            return Ok(true);
        }
        let up = self.must("cut -d' ' -f1 /proc/uptime")?;
        let up: f64 = up.parse().with_context(|| format!("{up:?} is no time"))?;
        Ok(up < began.elapsed().as_secs_f64() * 2.0 + 1.0)
    }

    /// Cuts the power: the guest is gone at once.
    ///
    /// # Errors
    /// When QEMU cannot be killed.
    pub fn power_cut(&self) -> Result<()> {
        stop(&mut self.power())?;
        self.hang_up();
        Ok(())
    }

    /// Cuts the power and switches it on again.
    ///
    /// # Errors
    /// As both.
    pub fn power_cycle(&self) -> Result<()> {
        self.power_cut()?;
        self.power_on()
    }

    /// Stops the guest's processors; nothing in it runs, and packets to it wait, until [`Vm::thaw`].
    ///
    /// # Errors
    /// When it is off.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen guest go on.
    ///
    /// # Errors
    /// When it is off.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Power::On(child) = &*self.power() else { bail!("VM {} is off", self.name()) };
        let pid = Pid::from_raw(i32::try_from(child.id()).context("process ids fit in an i32")?);
        kill(pid, signal).with_context(|| format!("sending {signal} to the qemu of {}", self.name()))
    }

    fn await_agent(&self, child: &mut Child) -> Result<()> {
        let deadline = Instant::now() + BOOT_PATIENCE;
        loop {
            let attempt = self.bed.net().connect(self.ipv4().into(), exec::PORT, Duration::from_millis(200));
            if attempt.is_ok() {
                return Ok(());
            }
            if let Some(status) = child.try_wait().context("waiting for qemu")? {
                return Err(self.boot_failed(&format!("qemu ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.boot_failed(&format!("no answer after {BOOT_PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn boot_failed(&self, what: &str) -> anyhow::Error {
        let log = |path| std::fs::read(path).unwrap_or_default();
        let console = String::from_utf8_lossy(&log(self.console())).into_owned();
        let printed = String::from_utf8_lossy(&log(qemu::log(&self.bed, self.name()))).into_owned();
        let mut shown = kernel_log::troubles(&console);
        shown.push(host::tail(&console, 30));
        shown.push(host::tail(&printed, 10));
        anyhow!("VM {} did not come up: {what}\n{}", self.name(), shown.join("\n"))
    }

    /// Ends the connections to a guest that is gone; TCP would take minutes to notice.
    fn hang_up(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..).filter_map(|connection| connection.upgrade()) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        // A panic while booting leaves either state, and both are true.
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stop(power: &mut Power) -> Result<()> {
    if let Power::On(mut child) = std::mem::take(power) {
        child.kill().context("killing qemu")?;
        child.wait().context("waiting for qemu's end")?;
    }
    Ok(())
}

impl Drop for Vm {
    fn drop(&mut self) {
        // What cannot be killed here is found by the bed's end.
        let _ = self.power_cut();
        let _ = std::fs::remove_dir_all(self.folder());
    }
}
