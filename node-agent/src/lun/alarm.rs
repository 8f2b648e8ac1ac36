//! What wakes a LUN's thread from outside: a future's waker called on another thread, or an order.
//!
//! The thread sleeps in poll(2), on its backend's completion queue, the TCMU device and this eventfd, or with nothing
//! in flight in read(2) of the device ([`super::sleep`]). Invariant: whoever leaves something for the thread stores
//! it first and rings after, and the thread says that it will sleep before it looks for the last time; so nothing is
//! slept over, and a thread that is awake costs its callers no system call.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use lunette_tcmu::Interrupter;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::sync::{AtomicU8, Mutex};

/// The thread is at work.
const AWAKE: u8 = 0;
/// It sleeps by the eventfd, or is about to sleep.
const BY_EVENT: u8 = 1;
/// It sleeps by the device.
const BY_DEVICE: u8 = 2;

/// A bell for one sleeping thread.
#[derive(Debug)]
pub struct Alarm {
    event: EventFd,
    sleeps: AtomicU8,
    /// Ends a sleep by the device; there while the thread may sleep so.
    interrupter: Mutex<Option<Interrupter>>,
}

impl Alarm {
    /// A bell that nobody sleeps by yet.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> nix::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { event, sleeps: AtomicU8::new(AWAKE), interrupter: Mutex::default() })
    }

    /// Wakes the thread if it sleeps or is about to.
    pub fn ring(&self) {
        match self.sleeps.swap(AWAKE, Ordering::SeqCst) {
            // It can fail only when the counter is full, and then the event is pending already.
            BY_EVENT => drop(self.event.write(1)),
            BY_DEVICE => self.interrupt(),
            _ => {}
        }
    }

    /// Says that the thread will sleep. It must look for work once more afterwards.
    pub fn arm(&self) {
        self.sleeps.store(BY_EVENT, Ordering::SeqCst);
    }

    /// Says that the armed thread sleeps by its device; `false` if it must not sleep, because someone rang.
    pub fn arm_for_device(&self) -> bool {
        self.sleeps.compare_exchange(BY_EVENT, BY_DEVICE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// What ends a sleep by the device from now on.
    pub fn set_interrupter(&self, interrupter: Option<Interrupter>) {
        *self.interrupter.lock().unwrap_or_else(PoisonError::into_inner) = interrupter;
    }

    /// Whether the thread sleeps or is about to.
    #[cfg(test)]
    pub fn is_armed(&self) -> bool {
        self.sleeps.load(Ordering::SeqCst) != AWAKE
    }

    /// Says that the thread is awake.
    pub fn disarm(&self) {
        if self.sleeps.swap(AWAKE, Ordering::SeqCst) == AWAKE {
            // Someone rang: take the event, so that the next sleep is not cut short.
            let _ = self.event.read();
        }
    }

    /// Takes an event that has ended a sleep. It may be one that came late: whoever rang had seen the thread asleep, and
    /// wrote when it had been awake and gone to sleep again. Nobody else would take it, and it would end every sleep.
    pub fn take_event(&self) {
        let _ = self.event.read();
    }

    #[cold]
    fn interrupt(&self) {
        let interrupter = self.interrupter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = interrupter.as_ref().map(Interrupter::interrupt) {
            tracing::error!(%error, "a LUN's thread cannot be woken but by its next command");
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
