//! One login or logout at a time for each target on this machine, over all processes and threads.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::IscsiError;

/// Held until it is dropped, or its process ends.
pub struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Waits for the target's lock.
    pub fn take(directory: &Path, target: &str) -> Result<Lock, IscsiError> {
        let path = directory.join(super::record::checked(target)?);
        let failed = |error: std::io::Error| IscsiError::Io { what: "lock", path: path.clone(), error };
        fs::create_dir_all(directory).map_err(failed)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let held = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
        Ok(Lock { _held: held })
    }
}
