//! Ending a wait for a device from another thread, so that whoever sleeps in read(2) can be told something else.
//!
//! A signal alone may come a moment before its thread is in the system call, and be slept over. So the device is made
//! non-blocking first: a read that begins later does not sleep, and one that sleeps is woken by the signal and looks
//! at the flag again (`uio_read` in drivers/uio/uio.c does so each time round). The signal is SIGURG, which does
//! nothing where its handler is not in place.

// UNSAFETY: a signal handler that does nothing, and a signal to a thread of this process.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Pid, gettid};

use super::{Device, DeviceError, set_blocking};

/// Ends waits of one thread for one device.
#[derive(Debug)]
pub struct Interrupter {
    file: File,
    thread: Pid,
}

impl Interrupter {
    /// Of the calling thread's waits for `device`.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new(device: &Device) -> Result<Self, DeviceError> {
        handle_signal()?;
        Ok(Self { file: device.file.try_clone()?, thread: gettid() })
    }

    /// Has a running [`Device::consume`], or else the next, return `None`. The device is non-blocking from then on,
    /// until the waiting thread calls [`Device::set_blocking`] again.
    ///
    /// # Errors
    /// The device's file cannot be set.
    pub fn interrupt(&self) -> Result<(), DeviceError> {
        set_blocking(&self.file, false)?;
        // SAFETY: no memory is passed. If the thread is gone, its number is nobody's (ESRCH) or another thread's of
        // this process, whom the handler does not disturb.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.thread.as_raw(), libc::SIGURG) };
        Ok(())
    }
}

extern "C" fn nothing(_: libc::c_int) {}

/// Puts the handler in place, once in this process: a signal that is ignored wakes nobody.
fn handle_signal() -> io::Result<()> {
    static DONE: OnceLock<Result<(), Errno>> = OnceLock::new();
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler touches nothing, so it may run at any moment on any thread.
    DONE.get_or_init(|| unsafe { sigaction(Signal::SIGURG, &action) }.map(drop)).map_err(io::Error::from)
}
