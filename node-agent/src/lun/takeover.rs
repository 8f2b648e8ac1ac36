//! Making a LUN's ring ours, whoever had it before: a new device, or one that a dead agent left behind.
//!
//! The volume's writer lock is taken before all this, so no write of the dead agent can land after one of ours. Then
//! the UIO device is opened, which the kernel allows to one process only; and then there are two ways.
//!
//! *Going on*: the dead agent kept a journal, and it agrees with the ring. What was in flight is carried out again
//! before anything newer, where that is safe ([`lunette_scsi::Effect`]), and answered BUSY where it is not. The ring
//! is not reset; initiators notice a pause.
//!
//! *Anew*: new commands are held off (`block_dev`: initiators get BUSY and ask again) and the ring is reset, which
//! answers BUSY to everything that the dead agent had not. No initiator sees an error either way.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lunette_iobuf::DataBuf;
use lunette_lio::{ActionError, Configfs, Found, ResetAnswer, Uid};
use lunette_scsi::{Effect, LbaRange, Status};
use lunette_tcmu::journal::{self, Doubt, Sorted, Touches};
use lunette_tcmu::{AttachError, Claim, Command, Device, DeviceError, Journal, Reply, Resumed, Ring};
use nix::errno::Errno;
use thiserror::Error;

/// How long the process before us may take to die.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The kernel's side of all LUNs: opens the UIO device of each.
#[derive(Clone)]
pub struct Kernel {
    open: Arc<Open>,
    /// Tells this boot from others; journals are of one boot.
    boot: Option<u128>,
}

type Open = dyn Fn(&Path) -> Result<Claim, DeviceError> + Send + Sync;

impl Kernel {
    /// This machine's, with sysfs where it always is.
    pub fn here() -> Self {
        Self { open: Arc::new(|device| Device::open(device, Path::new("/sys"))), boot: boot_id() }
    }

    /// One that a test plays.
    #[cfg(test)]
    pub fn played(open: impl Fn(&Path) -> Result<Claim, DeviceError> + Send + Sync + 'static) -> Self {
        Self { open: Arc::new(open), boot: Some(1) }
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

/// A ring that is ours.
pub struct Taken {
    /// Its events.
    pub device: Device,
    /// The ring.
    pub ring: Ring,
    /// What a dead agent had in flight and is to be carried out once more, before anything newer.
    pub again: Vec<Command>,
    /// Gives the kernel back what a command that was given up has kept, by its id.
    pub free: Box<dyn Fn(u16)>,
}

impl From<(Device, Ring)> for Taken {
    fn from((device, ring): (Device, Ring)) -> Self {
        Self { device, ring, again: Vec::new(), free: Box::new(|_| ()) }
    }
}

/// Takes the ring over: afterwards commands flow into it, and nobody else reads it. What is in flight is
/// written down at `journal` from then on.
///
/// # Errors
/// See [`TakeoverError`]; commands are held off no longer then, so initiators wait and get no error.
pub fn take_over(
    fs: &Arc<dyn Configfs>,
    kernel: &Kernel,
    found: &Found,
    journal: &Path,
) -> Result<Taken, TakeoverError> {
    let free = free_kept(Arc::clone(fs), found.clone());
    let fs = fs.as_ref();
    let taken = claim(fs, kernel, found).and_then(|claim| match open_journal(journal, kernel) {
        None => Ok(anew(fs, found, || claim.attach())?),
        Some(journal) => match claim.resume(journal) {
            Ok(resumed) => go_on(resumed),
            Err(refused) => {
                tell_why_anew(refused.doubt);
                anew(fs, found, || refused.claim.attach_with(refused.journal))
            }
        },
    });
    // Also after an agent that died while it held commands off.
    lunette_lio::block_dev(fs, found, false)?;
    taken.map(|taken| Taken { free, ..taken })
}

fn free_kept(fs: Arc<dyn Configfs>, found: Found) -> Box<dyn Fn(u16)> {
    Box::new(move |cmd_id| {
        if let Err(error) = lunette_lio::free_kept_buf(fs.as_ref(), &found, cmd_id) {
            tracing::warn!("a part of the data area stays in use until the LUN is served anew: {error}");
        }
    })
}

fn anew(
    fs: &dyn Configfs,
    found: &Found,
    attach: impl FnOnce() -> Result<(Device, Ring), AttachError>,
) -> Result<Taken, TakeoverError> {
    lunette_lio::block_dev(fs, found, true)?;
    lunette_lio::reset_ring(fs, found, ResetAnswer::Busy)?;
    Ok(attach()?.into())
}

fn tell_why_anew(doubt: Doubt) {
    match doubt {
        // A new device, as a rule.
        Doubt::Foreign => tracing::debug!("{doubt}"),
        doubt => tracing::warn!("{doubt}: what was in flight is answered BUSY, and initiators send it again"),
    }
}

/// Goes on with a ring where a dead agent left off.
pub(super) fn go_on(resumed: Resumed) -> Result<Taken, TakeoverError> {
    let Resumed { device, mut ring, interrupted, history } = resumed;
    let Sorted { again, busy } = journal::sort(interrupted, &history, effect);
    if !again.is_empty() || !busy.is_empty() {
        let (repeated, refused) = (again.len(), busy.len());
        tracing::info!(
            repeated,
            refused,
            "going on with what was in flight; what may not be repeated is answered BUSY"
        );
    }
    for ticket in busy {
        ring.complete(ticket, &Reply { status: Status::Busy as u8, ..Reply::GOOD });
    }
    // Kicked in any case: the dead agent may have published and not come to that.
    let _ = ring.publish();
    device.kick()?;
    Ok(Taken { again, ..Taken::from((device, ring)) })
}

/// What the SCSI room says of a command, in the words of the ring's room. The unit is a logical block.
fn effect(cdb: &[u8], data: Option<&DataBuf>) -> journal::Effect {
    let ranges = |blocks: &[LbaRange]| {
        let range = |run: &LbaRange| run.lba.0..run.lba.0.saturating_add(u64::from(run.blocks));
        Touches::Ranges(blocks.iter().map(range).collect())
    };
    match Effect::of(cdb, data) {
        Effect::Nothing => journal::Effect::NONE,
        Effect::Repeatable(blocks) => journal::Effect { repeatable: true, touches: ranges(&blocks) },
        Effect::Once(blocks) => journal::Effect { repeatable: false, touches: ranges(&blocks) },
        Effect::Unknown => journal::Effect::UNKNOWN,
    }
}

/// The journal, in a directory of root's own. Without one the LUN is served all the same.
fn open_journal(path: &Path, kernel: &Kernel) -> Option<Journal> {
    let made = path.parent().map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o700).create(folder));
    let opened = made.map_err(|error| error.to_string()).and_then(|()| {
        let boot = kernel.boot.ok_or("the boot has no id: check that /proc is mounted")?;
        Journal::open(path, boot).map_err(|error| format!("{error} ({})", error.source))
    });
    opened.inspect_err(|why| tracing::warn!("no journal: after a crash, what is in flight is sent again: {why}")).ok()
}

fn boot_id() -> Option<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
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
