//! Making a LUN's ring ours, whoever had it before: a new device, or one that a dead agent left behind.
//!
//! New commands are held off (`block_dev`: initiators get BUSY and ask again), the UIO device is opened,
//! which the kernel allows to one process only, and the ring is reset, which answers BUSY to everything
//! that the dead agent had not. Only then is it read. The volume's writer lock is taken before all this,
//! so no write of the dead agent can land after a retried newer one. No initiator sees an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lunette_lio::{ActionError, Configfs, Found, ResetAnswer, Uid};
use lunette_tcmu::{AttachError, Claim, Device, DeviceError, Ring};
use nix::errno::Errno;
use thiserror::Error;

/// How long the process before us may take to die.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The kernel's side of all LUNs: opens the UIO device of each.
#[derive(Clone)]
pub struct Kernel {
    open: Arc<Open>,
}

type Open = dyn Fn(&Path) -> Result<Claim, DeviceError> + Send + Sync;

impl Kernel {
    /// This machine's, with sysfs where it always is.
    pub fn here() -> Self {
        Self { open: Arc::new(|device| Device::open(device, Path::new("/sys"))) }
    }

    /// One that a test plays.
    #[cfg(test)]
    pub fn played(open: impl Fn(&Path) -> Result<Claim, DeviceError> + Send + Sync + 'static) -> Self {
        Self { open: Arc::new(open) }
    }
}

/// A ring could not be made ours.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// An action file of the backstore failed.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// sysfs does not say which UIO device it is.
    #[error("cannot look the UIO device up in sysfs ({0}): check that /sys is the host's")]
    Sysfs(#[from] Errno),
    /// The UIO device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// What is mapped is no ring that we know.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The backstore is enabled but has no UIO device.
    #[error("the backstore of {uid} has no UIO device: check that it is enabled and that the uio module is loaded")]
    NoDevice {
        /// Whose.
        uid: Uid,
    },
    /// The UIO number now belongs to another backstore.
    #[error(
        "{path} is {name:?} and not the backstore of {uid}: it was re-made meanwhile; trying again finds the new one"
    )]
    OtherDevice {
        /// Whose device was meant.
        uid: Uid,
        /// What was opened.
        path: PathBuf,
        /// What it says it is.
        name: String,
    },
}

/// Takes the ring over: afterwards commands flow into it, and nobody else reads it.
///
/// # Errors
/// See [`TakeoverError`]; commands are held off no longer then, so initiators wait and get no error.
pub fn take_over(fs: &dyn Configfs, kernel: &Kernel, found: &Found) -> Result<(Device, Ring), TakeoverError> {
    lunette_lio::block_dev(fs, found, true)?;
    let taken = claim_and_reset(fs, kernel, found);
    lunette_lio::block_dev(fs, found, false)?;
    taken
}

fn claim_and_reset(fs: &dyn Configfs, kernel: &Kernel, found: &Found) -> Result<(Device, Ring), TakeoverError> {
    let claim = claim(fs, kernel, found)?;
    lunette_lio::reset_ring(fs, found, ResetAnswer::Busy)?;
    Ok(claim.attach()?)
}

fn claim(fs: &dyn Configfs, kernel: &Kernel, found: &Found) -> Result<Claim, TakeoverError> {
    let uid = &found.uid;
    let device = lunette_lio::uio_device(fs, found)?.ok_or_else(|| TakeoverError::NoDevice { uid: uid.clone() })?;
    let claim = open_when_free(kernel, &device)?;
    if claim.name().ends_with(&format!("/lunette/{uid}")) {
        return Ok(claim);
    }
    Err(TakeoverError::OtherDevice { uid: uid.clone(), path: device, name: claim.name().to_owned() })
}

/// A process that was killed still holds its device until its last system call has ended.
fn open_when_free(kernel: &Kernel, device: &Path) -> Result<Claim, DeviceError> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match (kernel.open)(device) {
            Err(DeviceError::Busy { .. }) if Instant::now() < give_up => thread::sleep(LOOK_AGAIN),
            other => return other,
        }
    }
}
