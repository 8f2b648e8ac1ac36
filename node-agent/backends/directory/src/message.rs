//! The texts of this room's errors that more than one place needs: what a user reads in a condition.

use std::fmt;
use std::io;
use std::path::Path;

use lunette_backend::{PoolError, PoolErrorKind};
use nix::errno::Errno;

/// A number of bytes as people say it, with the exact one behind it where that is another.
pub(crate) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 6] = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = UNITS.iter().find(|(shift, _)| self.0 >> shift > 0) else {
            return write!(f, "{} bytes", self.0);
        };
        let whole = self.0 >> shift;
        if self.0.trailing_zeros() >= *shift {
            return write!(f, "{whole} {unit}");
        }
        // Cut off, not rounded: a limit must not look larger than it is.
        let tenths = ((self.0 >> (shift - 10)) & 1023) * 10 / 1024;
        write!(f, "{whole}.{tenths} {unit} ({} bytes)", self.0)
    }
}

/// A failed system call on something of the pool.
pub(crate) fn failed(doing: &str, path: &Path, error: impl Into<io::Error>) -> PoolError {
    let error = error.into();
    let path = path.display();
    let (kind, advice) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => (PoolErrorKind::NoSpace, "free some space or enlarge the file system"),
        Some(Errno::EDQUOT) => (PoolErrorKind::NoSpace, "raise the quota or free some space"),
        Some(Errno::EROFS) => (PoolErrorKind::Denied, "mount the file system for writing or name another directory"),
        Some(Errno::EACCES | Errno::EPERM) => (
            PoolErrorKind::Denied,
            "let the agent write there (owner, mode, security module) or name another directory",
        ),
        Some(Errno::EIO | Errno::ESTALE | Errno::ENODEV | Errno::ENOTCONN) => {
            (PoolErrorKind::Unavailable, "see the kernel log of the node and mend the file system")
        }
        _ => (PoolErrorKind::Failed, "see the kernel log of the node"),
    };
    let cause = Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc();
    PoolError::new(kind, format!("{doing} {path} failed: {cause}; {advice}")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_the_largest_unit_and_exactly() {
        assert_eq!(Bytes(16 << 40).to_string(), "16 TiB");
        assert_eq!(Bytes((16 << 40) - 4096).to_string(), "15.9 TiB (17592186040320 bytes)");
        assert_eq!(Bytes((1 << 30) + (1 << 29)).to_string(), "1.5 GiB (1610612736 bytes)");
        assert_eq!(Bytes(513).to_string(), "513 bytes");
        assert_eq!(Bytes(0).to_string(), "0 bytes");
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let error = failed("making", Path::new("/p/x"), Errno::ENOSPC);
        assert_eq!(error.kind, PoolErrorKind::NoSpace);
        assert_eq!(
            error.to_string(),
            "making /p/x failed: No space left on device; free some space or enlarge the file system"
        );
    }
}
