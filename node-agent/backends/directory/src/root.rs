//! The pool's own directory: whether it can be used, how much it holds, and the turn to change it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lunette_backend::{Capacity, PoolError, PoolErrorKind};
use lunette_fileio::{LockError, LockKind, lock};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::config::DirectoryConfig;
use crate::message::failed;
use crate::turn::Turn;

/// The file that says that the right file system is mounted.
pub(crate) const MARKER: &str = ".lunette-pool";
const PROBE: &str = ".lunette-probe";
/// A change is a few small files; only the unlinking of a large one takes seconds.
const TURN: Duration = Duration::from_secs(60);
const MAX_MARKER: u64 = 4096;
/// Volumes are whole blocks of either size.
const LARGEST_BLOCK: u64 = 4096;

/// The largest offset of any file, in whole blocks.
const NO_LIMIT_KNOWN: u64 = (1 << 63) - LARGEST_BLOCK;

/// The pool's directory, open.
pub(crate) struct Root {
    path: PathBuf,
    dir: File,
    /// Ends after the lock, which ends with `dir`: fields go in this order.
    turn: Option<Turn>,
}

impl Root {
    /// Opens the directory and checks its marker.
    pub fn open(config: &DirectoryConfig) -> Result<Self, PoolError> {
        let path = &config.path;
        if !path.is_absolute() {
            return Err(PoolError::new(
                PoolErrorKind::Invalid,
                format!("the pool's path {} is relative; write it from the root, beginning with /", path.display()),
            ));
        }
        let dir = File::open(path).map_err(|error| not_there(path, error))?;
        if !dir.metadata().map_err(|error| failed("looking at", path, error))?.is_dir() {
            return Err(not_a_directory(path));
        }
        let root = Self { path: path.clone(), dir, turn: None };
        config.marker.as_deref().map_or(Ok(()), |text| root.check_marker(text.trim()))?;
        Ok(root)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn dir(&self) -> &File {
        &self.dir
    }

    /// Makes the names in the directory durable.
    pub fn sync(&self) -> Result<(), PoolError> {
        self.dir.sync_all().map_err(|error| failed("syncing", &self.path, error))
    }

    /// Waits until nobody else on this node changes the pool; lasts as long as this value.
    pub fn take_turn(&mut self) -> Result<(), PoolError> {
        let turn = Turn::take(&self.dir, TURN).map_err(|error| failed("looking at", &self.path, error))?;
        let Some(turn) = turn else {
            return Err(self.held_up("this agent has been changing"));
        };
        self.turn = Some(turn);
        match lock(&self.dir, LockKind::Writer, TURN) {
            Ok(()) => Ok(()),
            Err(LockError::Held) => Err(self.held_up("another process has been changing")),
            // Some network file systems lock no directories. The turn only keeps two agents of one node
            // apart while both make or remove the very same volume.
            Err(LockError::System(error)) => {
                tracing::debug!(pool = %self.path.display(), %error, "the pool's directory cannot be locked");
                Ok(())
            }
        }
    }

    fn held_up(&self, by: &str) -> PoolError {
        let (pool, seconds) = (self.path.display(), TURN.as_secs());
        let text = format!("{by} the pool {pool} for {seconds} s; wait for it, or see what holds it up");
        PoolError::new(PoolErrorKind::InUse, text)
    }

    /// The pool's space. Asking proves that the directory can be written.
    pub fn capacity(&self) -> Result<Capacity, PoolError> {
        let max_volume = self.largest_file()?;
        let space = fstatvfs(&self.dir).map_err(|errno| failed("asking for the space of", &self.path, errno))?;
        let unit = space.fragment_size();
        Ok(Capacity {
            total: space.blocks().saturating_mul(unit),
            available: space.blocks_available().saturating_mul(unit),
            max_volume,
        })
    }

    /// Bytes of the largest file that the file system can address, in whole blocks.
    pub fn largest_file(&self) -> Result<u64, PoolError> {
        match self.scratch() {
            Ok(mut file) => Ok(largest_offset(&mut file) / LARGEST_BLOCK * LARGEST_BLOCK),
            // Full, not forbidden: what is there can still be served.
            Err(Errno::ENOSPC | Errno::EDQUOT) => Ok(NO_LIMIT_KNOWN),
            Err(errno) => Err(failed("writing to the pool directory", &self.path, errno)),
        }
    }

    /// A nameless file in the pool.
    pub fn scratch(&self) -> Result<File, Errno> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        match openat(&self.dir, ".", flags | OFlag::O_TMPFILE, mode) {
            Ok(file) => Ok(file.into()),
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT) => {
                let file = openat(&self.dir, PROBE, flags | OFlag::O_CREAT | OFlag::O_NOFOLLOW, mode)?;
                unlinkat(self.dir.as_fd(), PROBE, UnlinkatFlags::NoRemoveDir)?;
                Ok(file.into())
            }
            Err(errno) => Err(errno),
        }
    }

    fn check_marker(&self, wanted: &str) -> Result<(), PoolError> {
        let path = self.path.join(MARKER);
        let Some(found) = self.read_marker(&path)? else { return Err(self.no_marker(&path, wanted)) };
        if found.trim() == wanted {
            return Ok(());
        }
        Err(PoolError::new(
            PoolErrorKind::Mismatch,
            format!(
                "the marker {} says {:?}, not {wanted:?}: another file system may be mounted there; \
                 mount the right one, or correct the pool's marker",
                path.display(),
                found.trim()
            ),
        ))
    }

    fn read_marker(&self, path: &Path) -> Result<Option<String>, PoolError> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let file = match openat(&self.dir, MARKER, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(failed("opening the marker", path, errno)),
        };
        let mut text = Vec::new();
        file.take(MAX_MARKER).read_to_end(&mut text).map_err(|error| failed("reading the marker", path, error))?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    fn no_marker(&self, path: &Path, wanted: &str) -> PoolError {
        PoolError::new(
            PoolErrorKind::Unavailable,
            format!(
                "the pool directory {} has no marker: its file system may not be mounted; mount it, or, if this \
                 is the right directory, mark it with: echo {} > {}",
                self.path.display(),
                quoted(wanted),
                path.display()
            ),
        )
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn not_there(path: &Path, error: io::Error) -> PoolError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => PoolError::new(
            PoolErrorKind::Unavailable,
            format!("the pool directory {0} does not exist on this node; make it with: mkdir -p {0}", path.display()),
        ),
        Some(Errno::ENOTDIR) => not_a_directory(path),
        _ => failed("opening the pool directory", path, error),
    }
}

fn not_a_directory(path: &Path) -> PoolError {
    PoolError::new(
        PoolErrorKind::Invalid,
        format!("the pool's path {} is not a directory; name a directory", path.display()),
    )
}

/// The kernel refuses to seek beyond what the file system can address (`s_maxbytes`).
fn largest_offset(file: &mut File) -> u64 {
    let (mut can, mut cannot) = (0, 1 << 63);
    while cannot - can > 1 {
        let middle = can + (cannot - can) / 2;
        if file.seek(SeekFrom::Start(middle)).is_ok() {
            can = middle;
        } else {
            cannot = middle;
        }
    }
    can
}
