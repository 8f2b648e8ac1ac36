//! Waiting for one future on the calling thread: parks the thread, or sleeps on the driver's event.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Driver;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` until it is done, running `driver` in between.
pub fn block_on<F: Future>(driver: Option<&dyn Driver>, future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        match driver {
            Some(driver) if driver.in_flight() > 0 => wait_for(driver),
            _ => thread::park(),
        }
    }
}

fn wait_for(driver: &dyn Driver) {
    driver.submit();
    if driver.reap() > 0 {
        return;
    }
    let mut fds = [PollFd::new(driver.event_fd(), PollFlags::POLLIN)];
    // An interrupted or failed poll only means another look at the future.
    let _ = poll(&mut fds, PollTimeout::from(100u8));
    driver.reap();
}
