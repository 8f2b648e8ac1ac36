//! A volume made from a raw image that an administrator put into the pool's folder `import`.
//!
//! The image is only ever read, by its descriptor: a regular file of that folder, reached without following links. Its
//! extents are shared where the file system can, else its data are copied, a part at a time. The volume comes into being
//! at the end, whole; what a crash cuts off is begun anew. An image that changed meanwhile is no volume.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use lunette_backend::{Copied, Import, ImportSpec, PoolError, PoolErrorKind, VolumeId};
use lunette_fileio::{copy_range, is_no_reflink, reflink};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::config::DirectoryConfig;
use crate::description::Description;
use crate::making::Making;
use crate::message::{Bytes, failed};
use crate::root::Root;

/// Where images are, below the pool's directory.
pub(crate) const FOLDER: &str = "import";
/// Bytes copied at a time.
const PART: u64 = 64 << 20;
/// So many images are listed: the list is part of an object in the API.
const LISTED: usize = 100;
const LONGEST_NAME: usize = 253;

/// A volume that is being made.
pub(crate) struct Importing {
    making: Making,
    spec: ImportSpec,
    image: File,
    /// What the image was like when it was opened.
    seen: Seen,
    done: u64,
}

/// What changes when a file does.
#[derive(PartialEq, Eq)]
struct Seen {
    size: u64,
    modified: (i64, i64),
}

impl Seen {
    fn of(meta: &Metadata) -> Self {
        Self { size: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) }
    }
}

impl Importing {
    /// Prepares it, in the pool's turn; there is no volume of that name.
    pub fn prepare(config: &DirectoryConfig, turn: &Root, id: &VolumeId, spec: &ImportSpec) -> Result<Self, PoolError> {
        let image = open(turn, &spec.image)?;
        let meta = image.metadata().map_err(|error| failed("looking at", &path_of(turn, &spec.image), error))?;
        let seen = Seen::of(&meta);
        if seen.size > spec.volume.size {
            let text = format!(
                "image {} has {} and does not fit into {}: ask for at least that",
                spec.image,
                Bytes(seen.size),
                Bytes(spec.volume.size)
            );
            return Err(PoolError::new(PoolErrorKind::Mismatch, text));
        }
        Ok(Self { making: Making::begin(config, turn, id)?, spec: spec.clone(), image, seen, done: 0 })
    }

    fn path(&self) -> PathBuf {
        path_of(self.making.root(), &self.spec.image)
    }

    /// Whether the image is now shared as a whole.
    fn share(&mut self) -> Result<bool, PoolError> {
        match reflink(&self.image, self.making.data()) {
            Ok(()) => Ok(true),
            Err(error) if is_no_reflink(&error) => Ok(false),
            Err(error) => Err(failed("sharing the extents of", &self.path(), error)),
        }
    }

    fn copy_part(&mut self) -> Result<(), PoolError> {
        let part = PART.min(self.seen.size - self.done);
        let copied = copy_range(&self.image, self.making.data(), self.done, part);
        // So that what counts as copied is, and little is left to write out at the end.
        copied.and_then(|()| self.making.data().sync_data()).map_err(|error| failed("copying", &self.path(), error))?;
        self.done += part;
        Ok(())
    }

    fn is_unchanged(&self) -> Result<(), PoolError> {
        let now = self.image.metadata().map_err(|error| failed("looking at", &self.path(), error))?;
        if Seen::of(&now) == self.seen {
            return Ok(());
        }
        let text = format!(
            "image {} was changed while it was copied: nothing is kept; it is begun anew, so leave the image alone",
            self.spec.image
        );
        Err(PoolError::new(PoolErrorKind::InUse, text))
    }
}

impl Import for Importing {
    fn copy_more(&mut self) -> Result<Copied, PoolError> {
        let total = self.seen.size;
        if self.done == 0 && self.share()? {
            self.done = total;
        } else if self.done < total {
            self.copy_part()?;
        }
        Ok(Copied { done: self.done, total })
    }

    fn keep(mut self: Box<Self>) -> Result<(), PoolError> {
        if self.done < self.seen.size {
            let text = format!("image {} was not copied to its end: this is a bug of Lunette's", self.spec.image);
            return Err(PoolError::new(PoolErrorKind::Failed, text));
        }
        self.is_unchanged()?;
        self.making.keep(&Description::of(&self.spec.volume))
    }
}

/// The images of the pool, and the bytes of each: the first by name, where there are very many.
pub(crate) fn list(root: &Root) -> Result<BTreeMap<String, u64>, PoolError> {
    let path = root.path().join(FOLDER);
    let Some(folder) = open_folder(root)? else { return Ok(BTreeMap::new()) };
    // By the descriptor: nobody leads us elsewhere.
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let entries = entries.map_err(|error| failed("listing", &path, error))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("listing", &path, error))?;
        let name = entry.file_name().to_str().filter(|name| is_name(name)).map(str::to_owned);
        // One that vanished meanwhile is none.
        let file = entry.metadata().ok().filter(Metadata::is_file);
        found.extend(name.zip(file.map(|meta| meta.len())));
        if found.len() > LISTED {
            found.pop_last();
        }
    }
    Ok(found)
}

/// Whether an image can be called so: a plain name, and none that is hidden.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins_well = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    begins_well && name.len() <= LONGEST_NAME && name.bytes().all(plain)
}

fn path_of(root: &Root, name: &str) -> PathBuf {
    root.path().join(FOLDER).join(name)
}

fn open_folder(root: &Root) -> Result<Option<File>, PoolError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(root.dir(), FOLDER, flags, Mode::empty()) {
        Ok(folder) => Ok(Some(folder.into())),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            let text = format!(
                "{} is not a directory: nothing is imported from what a link leads to; make a directory of it",
                root.path().join(FOLDER).display()
            );
            Err(PoolError::new(PoolErrorKind::Mismatch, text))
        }
        Err(errno) => Err(failed("opening", &root.path().join(FOLDER), errno)),
    }
}

fn open(root: &Root, name: &str) -> Result<File, PoolError> {
    let path = path_of(root, name);
    if !is_name(name) {
        let text = format!(
            "{name:?} is no name of an image: letters, digits, '.', '_' and '-', beginning with a letter or a digit"
        );
        return Err(PoolError::new(PoolErrorKind::Mismatch, text));
    }
    let absent = || {
        let text = format!("there is no image {name}: an administrator puts it at {} on this node", path.display());
        PoolError::new(PoolErrorKind::NotFound, text)
    };
    let folder = open_folder(root)?.ok_or_else(absent)?;
    // A named pipe would keep the opener waiting.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT) => return Err(absent()),
        Err(Errno::ELOOP | Errno::ENXIO) => return Err(no_file(&path)),
        Err(errno) => return Err(failed("opening", &path, errno)),
    };
    let meta = file.metadata().map_err(|error| failed("looking at", &path, error))?;
    if meta.is_file() { Ok(file) } else { Err(no_file(&path)) }
}

fn no_file(path: &std::path::Path) -> PoolError {
    let text = format!("{} is not a regular file: put the image itself there, no link to it", path.display());
    PoolError::new(PoolErrorKind::Mismatch, text)
}
