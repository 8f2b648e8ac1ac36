//! The UIO device of one LUN: a file descriptor that says "look at the ring" and can be told the same.
//!
//! Opening is exclusive in the kernel, so a [`Claim`] is the proof that no other process serves this
//! LUN. It is made before the ring is attached, because a ring left by a dead agent must be reset in
//! between: with the device already ours, nobody else's late I/O can follow. The events carry no data;
//! what there is to do stands in the ring. (drivers/uio/uio.c; `tcmu_open`, `tcmu_irqcontrol` in TCU)
//!
//! Every batch sleeps and kicks, so these two calls go to the kernel directly: the C library's are points where a thread can be
//! cancelled, and preparing for that costs as much as taking a command.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno as Failed;

mod interrupt;

pub use interrupt::Interrupter;

use crate::journal::{self, Doubt, History, Interrupted, Journal};
use crate::map::Map;
use crate::{AttachError, Ring};

/// The UIO device cannot be used, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Another process serves this LUN.
    #[error("{path} is held by another process: stop the other agent, or wait until the last one's I/O has ended")]
    Busy {
        /// The device.
        path: PathBuf,
    },
    /// Opening failed otherwise.
    #[error("cannot open {path}: check that the backstore is enabled and that /dev is the host's")]
    Open {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// sysfs does not tell what the device is or how large its memory is.
    #[error("cannot read {path}: check that /sys is the host's")]
    Sysfs {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A UIO device of another driver.
    #[error("{path} is {name:?}, not a TCMU backstore: check which UIO device belongs to the LUN")]
    Foreign {
        /// The device.
        path: PathBuf,
        /// What sysfs calls it.
        name: String,
    },
    /// The memory cannot be mapped.
    #[error("cannot map {len} bytes of {path}: check the process's memory limits")]
    Map {
        /// The device.
        path: PathBuf,
        /// How many bytes.
        len: usize,
        /// Why.
        source: io::Error,
    },
    /// The backstore was removed. The mapping stays, but no one is behind it.
    #[error("the backstore behind this UIO device was removed: stop serving it")]
    Removed,
    /// Reading, writing or waiting failed otherwise.
    #[error("the UIO device failed: stop serving it and open it anew")]
    Io(#[from] io::Error),
}

/// A UIO device that is ours and mapped, its ring not yet looked at.
///
/// With a journal, [`Claim::resume`] where an earlier agent left off. Else, reset the ring if one may have left
/// commands in it, then [`Claim::attach`].
#[derive(Debug)]
pub struct Claim {
    file: File,
    memory: MmapRaw,
    name: String,
    /// The inode of the device's directory in sysfs, which is never used again (`__kernfs_new_node`).
    incarnation: u64,
}

/// A ring that goes on where a dead agent left off.
pub struct Resumed {
    /// The device.
    pub device: Device,
    /// The ring.
    pub ring: Ring,
    /// The commands that were in flight. All of them are to be answered.
    pub interrupted: Vec<Interrupted>,
    /// What was answered before.
    pub history: History,
}

/// A journal that does not say where to go on.
pub struct Refused {
    /// The device, as it was.
    pub claim: Claim,
    /// The journal, void.
    pub journal: Journal,
    /// Why.
    pub doubt: Doubt,
}

impl Claim {
    /// A device that is no UIO file: `memory` is mapped for reading and writing from its first byte.
    #[cfg(any(test, feature = "test-utils"))]
    pub(crate) fn new(fd: std::os::fd::OwnedFd, memory: MmapRaw, name: String, incarnation: u64) -> Self {
        Self { file: fd.into(), memory, name, incarnation }
    }

    /// The device's name: `tcm-user/<hba>/<backstore>/<dev_config>`. UIO numbers are reused, so compare it with what
    /// you meant to open.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts serving at the mailbox's tail. After `reset_ring`, or after an agent that answered all it
    /// had read, that is where the next whole entry is; after a crash it is not, so reset first.
    ///
    /// # Errors
    /// The memory does not hold a ring that we know.
    pub fn attach(self) -> Result<(Device, Ring), AttachError> {
        Ok((Device { file: self.file }, Ring::attach(self.memory)?))
    }

    /// The same, keeping a journal from here on.
    ///
    /// # Errors
    /// See [`Claim::attach`].
    pub fn attach_with(self, journal: Journal) -> Result<(Device, Ring), AttachError> {
        let incarnation = self.incarnation;
        let (device, mut ring) = self.attach()?;
        ring.keep_journal(journal, incarnation);
        Ok((device, ring))
    }

    /// Goes on where the keeper of `journal` stopped, however it did, without a reset. Kick the device once: what was
    /// answered last may not have been noticed.
    ///
    /// # Errors
    /// Journal and ring do not agree in every point: reset the ring and attach.
    pub fn resume(self, journal: Journal) -> Result<Resumed, Box<Refused>> {
        let Self { file, memory, name, incarnation } = self;
        let refused = |file, memory, mut journal: Journal, doubt| {
            journal.invalidate();
            Err(Box::new(Refused { claim: Self { file, memory, name, incarnation }, journal, doubt }))
        };
        let map = match Map::new(memory) {
            Ok(map) => map,
            Err((_, memory)) => return refused(file, memory, journal, Doubt::Foreign),
        };
        let owner = map.owner_of(&journal, incarnation);
        match journal::plan(&map, &journal, owner) {
            Err(doubt) => refused(file, map.into_raw(), journal, doubt),
            Ok(plan) => {
                let (ring, interrupted, history) = Ring::resume(map, journal, plan);
                Ok(Resumed { device: Device { file }, ring, interrupted, history })
            }
        }
    }
}

/// The event side of a LUN that is being served.
#[derive(Debug)]
pub struct Device {
    file: File,
}

impl Device {
    /// Opens `path` (`/dev/uioN`) for ourselves alone and maps its memory. `sysfs` is where sysfs is
    /// mounted, `/sys` but in tests. The descriptor is close-on-exec and does not block.
    ///
    /// # Errors
    /// See [`DeviceError`]; [`DeviceError::Busy`] if another process has it.
    pub fn open(path: &Path, sysfs: &Path) -> Result<Claim, DeviceError> {
        let about = sysfs.join("class/uio").join(path.file_name().unwrap_or_default());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)
            .map_err(|source| open_error(path, source))?;
        let name = attribute(&about.join("name"))?;
        if !name.starts_with("tcm-user/") {
            return Err(DeviceError::Foreign { path: path.into(), name });
        }
        let len = map_size(&about.join("maps/map0/size"))?;
        let incarnation = incarnation(&about)?;
        let memory = MmapOptions::new().len(len).map_raw(&file);
        let memory = memory.map_err(|source| DeviceError::Map { path: path.into(), len, source })?;
        Ok(Claim { file, memory, name, incarnation })
    }

    /// Sets whether [`Device::consume`] blocks until there is an event. Set it before the descriptor is
    /// registered with an io_uring, which samples it only then; io_uring needs it non-blocking.
    ///
    /// # Errors
    /// The system call failed.
    pub fn set_blocking(&self, blocking: bool) -> Result<(), DeviceError> {
        set_blocking(&self.file, blocking)
    }

    /// Takes the pending events, all in one: the kernel's event count, or `None` if there was none (or,
    /// when blocking, if a signal came first). To sleep without losing a wakeup, consume before the
    /// last look at the ring, not after.
    ///
    /// # Errors
    /// [`DeviceError::Removed`] once the backstore is gone.
    pub fn consume(&self) -> Result<Option<u32>, DeviceError> {
        let mut count = [0; 4];
        match rustix::io::read(&self.file, &mut count) {
            Ok(4) => Ok(Some(u32::from_ne_bytes(count))),
            Ok(_) => Err(DeviceError::Removed),
            Err(Failed::WOULDBLOCK | Failed::INTR) => Ok(None),
            Err(e) => Err(ended(e, Failed::IO)),
        }
    }

    /// Has the kernel look at what was published. It copies Data-In out in this call, so batch, but not
    /// without bound: submitters wait meanwhile.
    ///
    /// # Errors
    /// [`DeviceError::Removed`] once the backstore is gone.
    pub fn kick(&self) -> Result<(), DeviceError> {
        loop {
            match rustix::io::write(&self.file, &1u32.to_ne_bytes()) {
                // What would block is never from UIO: a kick that could not be taken is a kick that is pending already.
                Ok(_) | Err(Failed::WOULDBLOCK) => return Ok(()),
                Err(Failed::INTR) => {}
                Err(e) => return Err(ended(e, Failed::INVAL)),
            }
        }
    }

    /// Waits up to `timeout` (for ever if `None`) for an event; whether there is one, or the device is
    /// gone, which [`Device::consume`] tells. `false` also if a signal came first.
    ///
    /// # Errors
    /// The system call failed.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, DeviceError> {
        let timeout = timeout.map_or(PollTimeout::NONE, |t| PollTimeout::try_from(t).unwrap_or(PollTimeout::MAX));
        match poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(e) => Err(DeviceError::Io(e.into())),
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn set_blocking(file: &File, blocking: bool) -> Result<(), DeviceError> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL).map_err(io::Error::from)?);
    let mut wanted = flags;
    wanted.set(OFlag::O_NONBLOCK, !blocking);
    if wanted != flags {
        fcntl(file, FcntlArg::F_SETFL(wanted)).map_err(io::Error::from)?;
    }
    Ok(())
}

fn open_error(path: &Path, source: io::Error) -> DeviceError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY) => DeviceError::Busy { path: path.into() },
        _ => DeviceError::Open { path: path.into(), source },
    }
}

/// UIO fails with `removed` when its device is gone (EPIPE is the mock's way).
fn ended(failed: Failed, removed: Failed) -> DeviceError {
    if failed == removed || failed == Failed::PIPE { DeviceError::Removed } else { DeviceError::Io(failed.into()) }
}

fn attribute(path: &Path) -> Result<String, DeviceError> {
    let text = fs::read_to_string(path).map_err(|source| DeviceError::Sysfs { path: path.into(), source })?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn incarnation(about: &Path) -> Result<u64, DeviceError> {
    let found = fs::metadata(about).map_err(|source| DeviceError::Sysfs { path: about.into(), source })?;
    Ok(found.ino())
}

/// sysfs writes it as `0x2100000`.
fn map_size(path: &Path) -> Result<usize, DeviceError> {
    let text = attribute(path)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    usize::from_str_radix(digits, 16)
        .map_err(|e| DeviceError::Sysfs { path: path.into(), source: io::Error::new(ErrorKind::InvalidData, e) })
}

#[cfg(test)]
mod tests;
