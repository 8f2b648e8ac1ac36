//! How a LUN's thread sleeps: until the kernel has queued a command, someone rings, or storage has finished something.
//!
//! With nothing in flight it sleeps in a plain read(2) of the device, the cheapest way there is, which takes the
//! device's events at once; whoever rings then interrupts it. While commands run it sleeps in poll(2), on the bell
//! and on what storage says it by, which may be another descriptor from one sleep to the next; its cost is shared by
//! a batch. Invariant: an event that came before the sleep began ends it at once. So whoever looks at all sources
//! and then sleeps loses none.

use std::os::fd::{AsFd, BorrowedFd};

use lunette_tcmu::{Device, DeviceError, Interrupter};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use thiserror::Error;

use super::alarm::Alarm;
use super::sync::{consume, poll};

/// A thread could not sleep.
#[derive(Debug, Error)]
pub enum SleepError {
    /// The device is gone or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The system call failed.
    #[error("waiting for the kernel failed: {0}")]
    Poll(#[from] Errno),
}

/// The sleep of one LUN's thread, which alone uses it.
pub struct Sleep<'a> {
    device: &'a Device,
    alarm: &'a Alarm,
}

/// What else than an order or a waker may end a sleep.
#[derive(Clone, Copy)]
pub enum Until<'a> {
    /// A command: none is in flight, and any would be taken.
    Command,
    /// What storage has finished, if it says so by a descriptor, and commands. With a limit it is no longer than
    /// that, and the kernel is not listened to meanwhile but for the end of its device: more commands could not be
    /// taken.
    Progress(Option<BorrowedFd<'a>>, Option<PollTimeout>),
}

impl<'a> Sleep<'a> {
    /// Sleep of the calling thread that this device and this alarm end.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new(device: &'a Device, alarm: &'a Alarm) -> Result<Self, DeviceError> {
        alarm.set_interrupter(Some(Interrupter::new(device)?));
        let sleep = Self { device, alarm };
        device.set_blocking(true)?;
        Ok(sleep)
    }

    /// Sleeps until there may be something to do.
    ///
    /// # Errors
    /// The device is gone, or the system call failed.
    pub fn until(&self, until: Until<'_>) -> Result<(), SleepError> {
        match until {
            Until::Command => self.until_command(),
            Until::Progress(storage, limit) => self.until_readable(storage, limit),
        }
    }

    fn until_command(&self) -> Result<(), SleepError> {
        if !self.alarm.arm_for_device() || self.consume()? {
            return Ok(());
        }
        // Someone rang, and left the device non-blocking.
        Ok(self.device.set_blocking(true)?)
    }

    fn until_readable(&self, storage: Option<BorrowedFd<'_>>, limit: Option<PollTimeout>) -> Result<(), SleepError> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let kernel = if limit.is_some() { PollFlags::empty() } else { PollFlags::POLLIN };
        let alarm = || readable(self.alarm.as_fd());
        let mut fds = [PollFd::new(self.device.as_fd(), kernel), alarm(), storage.map_or_else(alarm, readable)];
        let watched = if storage.is_some() { 3 } else { 2 };
        match poll(&mut fds[..watched], limit.unwrap_or(PollTimeout::NONE)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        if fds[1].any().unwrap_or(false) {
            self.alarm.take_event();
        }
        // There is an event, or the device is gone: neither makes the read wait.
        if fds[0].any().unwrap_or(true) { self.consume().map(drop) } else { Ok(()) }
    }

    /// Takes the device's events, which tells too whether it is gone; whether there were any.
    fn consume(&self) -> Result<bool, SleepError> {
        Ok(consume(self.device)?.is_some())
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.alarm.set_interrupter(None);
        // A device that cannot be set is gone, or fails its next user as well.
        let _ = self.device.set_blocking(false);
    }
}
