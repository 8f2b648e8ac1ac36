//! A host program that keeps running in a bed's network: etcd, the API server, a program under test.
//!
//! Its output goes to `NAME.log` among the bed's logs, one file for all its starts. It ends with the bed at the
//! latest. It is not for programs in a guest (see `vm::Process`).

use super::Bed;
use crate::{Result, host};
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running host program; dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts `command`, which should come from [`Bed::command`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(bed: &Bed, name: &str, mut command: Command) -> Result<Daemon> {
        let log = bed.logs().join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("opening {}", log.display()))?;
        let both = file.try_clone().context("sharing the log of a daemon")?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
        let child = child.with_context(|| format!("starting {}", host::shown(&command)))?;
        Ok(Daemon { name: name.to_owned(), log, child })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it writes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its status, if it has ended.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking after {}", self.name))
    }

    /// Asks `ready` over and over until it says yes.
    ///
    /// # Errors
    /// When the daemon ends first or `patience` runs out; the message has the end of its log.
    pub fn wait_until(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.ended()? {
                bail!("{} ended with {status} before it was ready:\n{}", self.name, self.log_tail());
            }
            if started.elapsed() > patience {
                bail!("{} is not ready after {patience:?}:\n{}", self.name, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("process ids fit in an i32")?);
        kill(pid, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Asks it to end with SIGTERM and waits.
    ///
    /// # Errors
    /// When it has not ended after `patience`; it is killed then.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                bail!("{} did not end {patience:?} after SIGTERM:\n{}", self.name, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it with SIGKILL.
    pub fn kill(self) {
        drop(self);
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        host::tail(&std::fs::read_to_string(&self.log).unwrap_or_default(), 30)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; the bed's end would find it otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
