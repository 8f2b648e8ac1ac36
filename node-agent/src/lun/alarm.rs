//! What wakes a LUN's thread from outside: a future's waker called on another thread, or an order.
//!
//! The thread sleeps on the TCMU device, on its backend's completion queue and on this eventfd
//! ([`super::sleep`]). Invariant: whoever leaves something for the thread stores it first and rings after,
//! and the thread says that it will sleep before it looks for the last time; so nothing is slept over, and
//! a thread that is awake costs its callers no system call.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A bell for one sleeping thread.
#[derive(Debug)]
pub struct Alarm {
    event: EventFd,
    asleep: AtomicBool,
}

impl Alarm {
    /// A bell that nobody sleeps by yet.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> nix::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { event, asleep: AtomicBool::new(false) })
    }

    /// Wakes the thread if it sleeps or is about to.
    pub fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It can fail only when the counter is full, and then the event is pending already.
            let _ = self.event.write(1);
        }
    }

    /// Says that the thread will sleep. It must look for work once more afterwards.
    pub fn arm(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// Whether the thread sleeps or is about to.
    #[cfg(test)]
    pub fn is_armed(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    /// Says that the thread is awake.
    pub fn disarm(&self) {
        if !self.asleep.swap(false, Ordering::SeqCst) {
            // Someone rang: take the event, so that the next sleep is not cut short.
            let _ = self.event.read();
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
