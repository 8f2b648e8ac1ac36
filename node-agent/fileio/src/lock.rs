//! The writer's lock of a volume, and why no write of a dead process can land after its successor began.
//!
//! The lock is flock(2), which belongs to the *open file description*, not to a process. It must be taken
//! on the very file that the I/O engine uses, and nobody ever unlocks it: it ends when the last reference
//! to the description does. Those references are
//! - the descriptor, which a dying process closes;
//! - every system call that a thread of it is still inside of: an uninterruptible write of a killed
//!   process goes on, and its thread keeps the descriptor table open until it is over;
//! - every io_uring request in flight: it holds the file until its completion, also when a kernel worker
//!   runs it long after the process is gone (io_uring's own exit work waits for it).
//!
//! So as long as anything of the dead process may still reach the storage through this file, the lock is
//! held, and whoever takes it afterwards comes after the last of those writes. This is the hazard of late
//! writes (a retried newer write overtaken by the older one), closed by waiting here.
//!
//! The data of a queued write that is only in the page cache is no hazard: the cache is one for all.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use thiserror::Error;

/// What others may do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may read too, none may write.
    Reader,
    /// Nobody else.
    Writer,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("another process held its lock all the time")]
    Held,
    /// The file system has no locks, or failed.
    #[error("the file system could not lock it")]
    System(#[source] std::io::Error),
}

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Locks the open file description of `file` for its lifetime, waiting at most `patience` for others to
/// let go: a process that died does so when its last request has ended.
///
/// # Errors
/// [`LockError::Held`] when it is not free by then.
pub fn lock(file: &File, kind: LockKind, patience: Duration) -> Result<(), LockError> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt(file, kind) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => continue,
            Err(Errno::EWOULDBLOCK) => {}
            Err(errno) => return Err(LockError::System(errno.into())),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LockError::Held);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn attempt(file: &File, kind: LockKind) -> Result<(), Errno> {
    let how = match kind {
        LockKind::Reader => libc::LOCK_SH,
        LockKind::Writer => libc::LOCK_EX,
    };
    // SAFETY: no memory is passed. nix's own wrapper unlocks when it is dropped, which the module's
    // invariant forbids.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice() -> (File, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        (file.reopen().unwrap(), file.reopen().unwrap())
    }

    #[test]
    fn one_writer_or_many_readers() {
        let (a, b) = twice();
        lock(&a, LockKind::Reader, Duration::ZERO).unwrap();
        lock(&b, LockKind::Reader, Duration::ZERO).unwrap();
        assert!(matches!(lock(&b, LockKind::Writer, Duration::ZERO), Err(LockError::Held)));
        drop(a);
        lock(&b, LockKind::Writer, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_second_reference_to_the_description_keeps_the_lock() {
        let (a, b) = twice();
        lock(&a, LockKind::Writer, Duration::ZERO).unwrap();
        let like_a_request_in_flight = a.try_clone().unwrap();
        drop(a);
        assert!(matches!(lock(&b, LockKind::Writer, Duration::ZERO), Err(LockError::Held)));
        drop(like_a_request_in_flight);
        lock(&b, LockKind::Writer, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_successor_waits_for_the_predecessor() {
        let (a, b) = twice();
        lock(&a, LockKind::Writer, Duration::ZERO).unwrap();
        let successor = thread::spawn(move || lock(&b, LockKind::Writer, Duration::from_secs(10)));
        thread::sleep(Duration::from_millis(20));
        drop(a);
        successor.join().unwrap().unwrap();
    }
}
