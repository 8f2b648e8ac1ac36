//! One login or logout at a time for each target on this machine, over all processes and threads.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::IscsiError;

/// Longer than a login takes that ends at all, and shorter than it takes until somebody tries again: those who wait for
/// one that is stuck in the kernel must not become more and more.
const PATIENCE: Duration = Duration::from_secs(100);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Held until it is dropped, or its process ends.
pub struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Waits for the target's lock, for a while.
    pub fn take(directory: &Path, target: &str) -> Result<Lock, IscsiError> {
        Lock::take_within(directory, target, PATIENCE)
    }

    fn take_within(directory: &Path, target: &str, patience: Duration) -> Result<Lock, IscsiError> {
        let path = directory.join(super::record::checked(target)?);
        let failed = |error: std::io::Error| IscsiError::Io { what: "lock", path: path.clone(), error };
        fs::create_dir_all(directory).map_err(failed)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let deadline = Instant::now() + patience;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => return Ok(Lock { _held: held }),
                Err((_, Errno::EWOULDBLOCK)) if Instant::now() >= deadline => {
                    return Err(IscsiError::Busy { target: target.to_owned(), seconds: patience.as_secs() });
                }
                Err((file, Errno::EWOULDBLOCK)) => file,
                Err((_, errno)) => return Err(failed(errno.into())),
            };
            sleep(LOOK_AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_one_that_does_not_end_gives_up_and_other_targets_do_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let take = |target| Lock::take_within(dir.path(), target, Duration::ZERO);
        let held = take("iqn.2026-01.io.example:a").unwrap();
        let busy = take("iqn.2026-01.io.example:a").err().unwrap();
        assert!(matches!(busy, IscsiError::Busy { .. }), "{busy}");
        assert!(take("iqn.2026-01.io.example:b").is_ok());
        drop(held);
        assert!(take("iqn.2026-01.io.example:a").is_ok());
    }
}
