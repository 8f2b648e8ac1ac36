//! How a LUN's thread sleeps: until the kernel has queued a command, someone rings, or storage has finished something.
//!
//! While storage has nothing in flight it waits for an edge, in one epoll_wait(2). An edge is noted whether or not the
//! device's event counter is read, so it is read rarely; poll(2) would need that read after each wakeup, and would
//! join and leave every wait queue each time. With storage at work its descriptor is watched too, which may be
//! another from one sleep to the next; that is poll(2)'s business, and its cost is shared by a batch.
//! Invariant: an event that came before the sleep began ends it at once. So whoever looks at all sources and then
//! sleeps loses none.

use std::os::fd::{AsFd, BorrowedFd};

use lunette_tcmu::Device;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::alarm::Alarm;
use super::serve::ServeError;

/// Sleeps between two reads of the device's event counter. It has 32 bits, and wakes nobody when it comes round to
/// the value last read (`uio_poll`); in so many sleeps, of at most a ring of commands each, it cannot.
const UNREAD: u32 = 1024;

const DEVICE: u64 = 0;
const ALARM: u64 = 1;

/// The sleep of one LUN's thread.
pub struct Sleep<'a> {
    device: &'a Device,
    alarm: &'a Alarm,
    edges: Epoll,
    unread: u32,
}

impl<'a> Sleep<'a> {
    /// Sleep that this device and this alarm end.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new(device: &'a Device, alarm: &'a Alarm) -> Result<Self, Errno> {
        let edges = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        edges.add(device.as_fd(), EpollEvent::new(edge, DEVICE))?;
        edges.add(alarm.as_fd(), EpollEvent::new(edge, ALARM))?;
        Ok(Self { device, alarm, edges, unread: 0 })
    }

    /// Sleeps until there may be something to do. `storage` is what is readable when storage has finished something.
    /// With `limit` it sleeps no longer than that, and does not listen to the kernel meanwhile but for the end of
    /// its device: more commands could not be taken.
    ///
    /// # Errors
    /// The device is gone, or the system call failed.
    pub fn until_woken(
        &mut self,
        storage: Option<BorrowedFd<'_>>,
        limit: Option<PollTimeout>,
    ) -> Result<(), ServeError> {
        match (storage, limit) {
            (None, None) => self.until_an_edge(),
            (storage, limit) => self.until_readable(storage, limit),
        }
    }

    fn until_an_edge(&mut self) -> Result<(), ServeError> {
        let mut events = [EpollEvent::empty(); 2];
        let count = match self.edges.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let ended = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        let is_gone = |event: &EpollEvent| event.data() == DEVICE && event.events().intersects(ended);
        self.unread += 1;
        if self.unread >= UNREAD || events[..count].iter().any(is_gone) { self.read() } else { Ok(()) }
    }

    fn until_readable(
        &mut self,
        storage: Option<BorrowedFd<'_>>,
        limit: Option<PollTimeout>,
    ) -> Result<(), ServeError> {
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
        if fds[0].any().unwrap_or(true) { self.read() } else { Ok(()) }
    }

    /// Reads the event counter, which tells too whether the device is gone.
    fn read(&mut self) -> Result<(), ServeError> {
        self.unread = 0;
        self.device.consume().map(drop).map_err(ServeError::Device)
    }
}
