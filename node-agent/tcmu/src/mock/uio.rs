//! A socket pair in place of the UIO file: four bytes each way, events coalesced as UIO counts them.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

/// The kernel's end.
#[derive(Default)]
pub struct Uio {
    /// Our end, and another handle on the agent's, to take events back that it has not read yet.
    ends: Option<(UnixStream, OwnedFd)>,
    events: u32,
    kicks: usize,
}

impl Uio {
    pub fn new() -> Self {
        Self::default()
    }

    /// A fresh descriptor for the agent, in the place of any earlier one.
    pub fn open(&mut self) -> OwnedFd {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("fcntl");
        theirs.set_nonblocking(true).expect("fcntl");
        let theirs: OwnedFd = theirs.into();
        self.ends = Some((ours, theirs.try_clone().expect("a descriptor")));
        theirs
    }

    /// From now on reading fails, whether or not events were pending (`uio_read`).
    pub fn close(&mut self) {
        if let Some((_, theirs)) = self.ends.take() {
            take_back(&theirs);
        }
    }

    /// `uio_event_notify`: one more event, pending once however many came since the last read.
    pub fn notify(&mut self) {
        self.events = self.events.wrapping_add(1);
        if let Some((ours, theirs)) = &mut self.ends {
            take_back(theirs);
            ours.write_all(&self.events.to_ne_bytes()).expect("room for one event");
        }
    }

    /// Waits for kicks and takes them; whether there were any.
    pub fn wait_kick(&mut self, timeout: Duration) -> bool {
        let Some((ours, _)) = &mut self.ends else { return false };
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], timeout);
        let before = self.kicks;
        let mut kicks = [0; 4096];
        while let Ok(n @ 1..) = ours.read(&mut kicks) {
            self.kicks += n / 4;
        }
        self.kicks > before
    }

    pub fn kicks(&self) -> usize {
        self.kicks
    }
}

/// Takes back the events that the agent has not read.
fn take_back(theirs: &OwnedFd) {
    let mut pending = [0; 64];
    while recv(theirs.as_raw_fd(), &mut pending, MsgFlags::MSG_DONTWAIT).is_ok_and(|n| n > 0) {}
}
