//! What `src/lun/sync.rs` names, as a scheduler has it: whoever waits gives others their turn, and a time limit may
//! pass at any moment or never.

use std::fmt;
use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lunette_tcmu::{Device, DeviceError};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use shuttle::rand::{Rng, thread_rng};
pub use shuttle::sync::Mutex;
pub use shuttle::sync::atomic::{AtomicU8, AtomicU64};
use shuttle::thread::yield_now;

/// As poll(2): it returns when there is something, or perhaps when a limit has passed.
pub fn poll(fds: &mut [PollFd<'_>], limit: PollTimeout) -> nix::Result<libc::c_int> {
    loop {
        let ready = nix::poll::poll(fds, PollTimeout::ZERO)?;
        if ready > 0 || (limit.is_some() && thread_rng().gen_bool(0.3)) {
            return Ok(ready);
        }
        yield_now();
    }
}

/// As read(2) of a device in `uio_read`: a sleeper that is woken looks at the flag again.
pub fn consume(device: &Device) -> Result<Option<u32>, DeviceError> {
    loop {
        let mut fds = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        let ready = nix::poll::poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        if ready || !blocks(device) {
            return device.consume();
        }
        yield_now();
    }
}

fn blocks(device: &Device) -> bool {
    let flags = fcntl(device.as_fd(), FcntlArg::F_GETFL).expect("it is open");
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// The limit has passed.
#[derive(Debug)]
pub struct Elapsed;

/// Whether the limit passes is chance, as is how much happens before.
pub async fn timeout<F: Future>(_: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut turns = thread_rng().gen_bool(0.3).then(|| thread_rng().gen_range(0..20_u32));
    poll_fn(move |context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        match &mut turns {
            Some(0) => return Poll::Ready(Err(Elapsed)),
            Some(left) => {
                *left -= 1;
                context.waker().wake_by_ref();
            }
            None => {}
        }
        Poll::Pending
    })
    .await
}

/// As `tokio::sync::watch`, as far as it is used.
pub mod watch {
    use std::task::Waker;

    use shuttle::sync::MutexGuard;

    use super::{Arc, Mutex, Poll, fmt, poll_fn};

    struct Shared<T> {
        value: Mutex<(T, Vec<Waker>)>,
    }

    /// Changes the value.
    pub struct Sender<T>(Arc<Shared<T>>);

    /// Sees the value.
    pub struct Receiver<T>(Arc<Shared<T>>);

    /// A look at the value.
    pub struct Seen<'a, T>(MutexGuard<'a, (T, Vec<Waker>)>);

    /// Both ends.
    pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let shared = Arc::new(Shared { value: Mutex::new((value, Vec::new())) });
        (Sender(Arc::clone(&shared)), Receiver(shared))
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl<T: Default> Default for Sender<T> {
        fn default() -> Self {
            channel(T::default()).0
        }
    }

    impl<T> Sender<T> {
        /// Another that sees it.
        pub fn subscribe(&self) -> Receiver<T> {
            Receiver(Arc::clone(&self.0))
        }

        /// Changes it, and tells if that says that it did.
        pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
            let mut value = self.0.value.lock().expect("nobody panics in it");
            let changed = change(&mut value.0);
            let waiting = if changed { std::mem::take(&mut value.1) } else { Vec::new() };
            drop(value);
            waiting.into_iter().for_each(Waker::wake);
            changed
        }

        /// Puts another in its place.
        pub fn send_replace(&self, new: T) {
            self.send_if_modified(|value| {
                *value = new;
                true
            });
        }
    }

    impl<T> Receiver<T> {
        /// As it is.
        pub fn borrow(&self) -> Seen<'_, T> {
            Seen(self.0.value.lock().expect("nobody panics in it"))
        }

        /// Waits until it is such.
        pub async fn wait_for(&mut self, mut such: impl FnMut(&T) -> bool) -> Result<(), ()> {
            poll_fn(|context| {
                let mut value = self.0.value.lock().expect("nobody panics in it");
                if such(&value.0) {
                    return Poll::Ready(Ok(()));
                }
                value.1.push(context.waker().clone());
                Poll::Pending
            })
            .await
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> std::ops::Deref for Seen<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0.0
        }
    }

    impl<T> fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Sender")
        }
    }

    impl<T> fmt::Debug for Receiver<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Receiver")
        }
    }
}
