//! One volume's subdirectory and the steps that make, change and remove it.
//!
//! Each step is safe to repeat and the order is what makes a crash harmless: contents are synced before
//! the rename that makes them a volume, and the rename that ends a volume comes before its contents go.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use lunette_backend::{PoolError, PoolErrorKind, Usage, VolumeId, VolumeSpec};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::description::Description;
use crate::message::{Bytes, failed};
use crate::root::Root;

const DATA: &str = "data";
const JOURNAL: &str = "journal";
const DESCRIPTION: &str = "volume.json";
const DESCRIPTION_NEW: &str = "volume.json.new";
/// Everything that a volume's directory may hold: nothing else is ever deleted.
const OWN_FILES: [&str; 4] = [DATA, JOURNAL, DESCRIPTION, DESCRIPTION_NEW];
const MAX_DESCRIPTION: u64 = 64 * 1024;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const NO_FOLLOW: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// A volume that is there.
pub(crate) struct Volume<'a> {
    root: &'a Root,
    id: VolumeId,
    dir: File,
    pub description: Description,
    /// Bytes of its data file.
    pub size: u64,
}

/// The name under which a volume is made.
fn making(id: &VolumeId) -> String {
    format!(".lunette-new-{id}")
}

/// The name under which a volume is removed.
fn leaving(id: &VolumeId) -> String {
    format!(".lunette-gone-{id}")
}

/// Removes what was begun of `id` and is not to be finished.
pub(crate) fn give_up(root: &Root, id: &VolumeId) -> Result<(), PoolError> {
    sweep_directory(root, &making(id))
}

/// Removes what an interrupted creation or removal of `id` left behind.
pub(crate) fn sweep(root: &Root, id: &VolumeId) -> Result<(), PoolError> {
    sweep_directory(root, &making(id))?;
    sweep_directory(root, &leaving(id))
}

fn sweep_directory(root: &Root, name: &str) -> Result<(), PoolError> {
    let Some(dir) = open_directory(root, name)? else { return Ok(()) };
    for file in OWN_FILES {
        absent_is_done(unlinkat(dir.as_fd(), file, UnlinkatFlags::NoRemoveDir))
            .map_err(|errno| failed("removing", &root.path().join(name).join(file), errno))?;
    }
    match unlinkat(root.dir().as_fd(), name, UnlinkatFlags::RemoveDir) {
        Ok(()) => root.sync(),
        Err(Errno::ENOTEMPTY) => Err(strange_contents(&root.path().join(name))),
        Err(errno) => Err(failed("removing", &root.path().join(name), errno)),
    }
}

fn absent_is_done(result: nix::Result<()>) -> nix::Result<()> {
    if result == Err(Errno::ENOENT) { Ok(()) } else { result }
}

fn strange_contents(path: &std::path::Path) -> PoolError {
    PoolError::new(
        PoolErrorKind::Mismatch,
        format!("{} holds files that Lunette did not put there; move them away", path.display()),
    )
}

fn open_directory(root: &Root, name: &str) -> Result<Option<File>, PoolError> {
    match openat(root.dir(), name, DIRECTORY, Mode::empty()) {
        Ok(dir) => Ok(Some(dir.into())),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::ENOTDIR | Errno::ELOOP) => Err(PoolError::new(
            PoolErrorKind::Mismatch,
            format!("{} is not a volume's directory; move it away", root.path().join(name).display()),
        )),
        Err(errno) => Err(failed("opening", &root.path().join(name), errno)),
    }
}

/// Makes a volume of `spec`; there is none of that name.
pub(crate) fn make(root: &Root, id: &VolumeId, spec: &VolumeSpec) -> Result<(), PoolError> {
    let made = build(root, id, spec);
    if made.is_err() {
        // What cannot be swept now (a disk that failed) is swept by the next attempt.
        let _ = sweep(root, id);
    }
    made
}

fn build(root: &Root, id: &VolumeId, spec: &VolumeSpec) -> Result<(), PoolError> {
    let unfinished = Unfinished::of(root, id)?;
    unfinished.finish(root, &Description::of(spec))?;
    unfinished.rename(root, id)
}

/// A volume's directory with an empty data file, under a name that no volume has.
pub(crate) struct Unfinished {
    path: PathBuf,
    dir: File,
    pub data: File,
}

impl Unfinished {
    /// Begins one under the name of a volume that is being made.
    pub fn of(root: &Root, id: &VolumeId) -> Result<Self, PoolError> {
        let name = &*making(id);
        let path = root.path().join(name);
        let fail = |errno: Errno| failed("making", &path, errno);
        mkdirat(root.dir(), name, Mode::S_IRWXU).map_err(fail)?;
        let dir = File::from(openat(root.dir(), name, DIRECTORY, Mode::empty()).map_err(fail)?);
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | NO_FOLLOW;
        let data = File::from(openat(&dir, DATA, flags, PRIVATE).map_err(fail)?);
        Ok(Self { path, dir, data })
    }

    /// Brings the data file to its size, and describes the volume. All of it is durable but its name.
    pub fn finish(&self, root: &Root, description: &Description) -> Result<(), PoolError> {
        set_size(root, &self.data, description.size)?;
        write_description(&self.dir, description).map_err(|error| failed("making", &self.path, error))
    }

    /// Whether it still has the name under which it was made.
    pub fn is_standing(&self, root: &Root, id: &VolumeId) -> Result<bool, PoolError> {
        let standing = open_directory(root, &making(id))?;
        let about = |dir: &File| dir.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
        Ok(standing.as_ref().and_then(about).is_some_and(|standing| Some(standing) == about(&self.dir)))
    }

    /// Gives it the volume's name, if it still has the one under which it was made.
    pub fn rename(&self, root: &Root, id: &VolumeId) -> Result<(), PoolError> {
        if !self.is_standing(root, id)? {
            let text =
                format!("{} was taken away while it was being made; trying again makes it anew", self.path.display());
            return Err(PoolError::new(PoolErrorKind::InUse, text));
        }
        let path = root.path().join(id.as_str());
        renameat(root.dir(), making(id).as_str(), root.dir(), id.as_str())
            .map_err(|errno| failed("making", &path, errno))?;
        root.sync()
    }
}

/// Sets a data file's length for good.
fn set_size(root: &Root, data: &File, size: u64) -> Result<(), PoolError> {
    match data.set_len(size).and_then(|()| data.sync_all()) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::EFBIG as i32) || i64::try_from(size).is_err() => {
            Err(too_large(root, size)?)
        }
        Err(error) => Err(failed("sizing a volume in", root.path(), error)),
    }
}

fn too_large(root: &Root, size: u64) -> Result<PoolError, PoolError> {
    let text = format!(
        "a volume of {} is larger than the {} that one file in {} can have; ask for less, or use another pool",
        Bytes(size),
        Bytes(root.largest_file()?),
        root.path().display()
    );
    Ok(PoolError::new(PoolErrorKind::TooLarge, text))
}

/// Replaces the description as a whole or not at all.
fn write_description(dir: &File, description: &Description) -> std::io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | NO_FOLLOW;
    let mut file = File::from(openat(dir, DESCRIPTION_NEW, flags, PRIVATE)?);
    file.write_all(&description.to_text())?;
    file.sync_all()?;
    renameat(dir, DESCRIPTION_NEW, dir, DESCRIPTION)?;
    dir.sync_all()
}

impl<'a> Volume<'a> {
    /// Looks for a volume and checks that what is stored makes sense.
    pub fn find(root: &'a Root, id: &VolumeId) -> Result<Option<Self>, PoolError> {
        let Some(dir) = open_directory(root, id.as_str())? else { return Ok(None) };
        let path = root.path().join(id.as_str());
        let description = read_description(&dir, &path)?;
        let data = open_data(&dir, &path, OFlag::O_RDONLY)?;
        let size = data.metadata().map_err(|error| failed("looking at", &path, error))?.len();
        if size < description.size {
            return Err(damaged(
                &path,
                &format!("its data file has {} of at least {}", Bytes(size), Bytes(description.size)),
            ));
        }
        Ok(Some(Self { root, id: id.clone(), dir, description, size }))
    }

    /// The same where it must be there.
    pub fn get(root: &'a Root, id: &VolumeId) -> Result<Self, PoolError> {
        Self::find(root, id)?.ok_or_else(|| {
            let text = format!("there is no volume {id} in {}; create it first", root.path().display());
            PoolError::new(PoolErrorKind::NotFound, text)
        })
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join(self.id.as_str())
    }

    pub fn open_data(&self, read_only: bool) -> Result<File, PoolError> {
        let access = if read_only { OFlag::O_RDONLY } else { OFlag::O_RDWR };
        open_data(&self.dir, &self.path(), access)
    }

    /// Its directory.
    pub fn dir(&self) -> &File {
        &self.dir
    }

    /// Its journal, if there is one yet.
    pub fn open_journal(&self) -> Result<Option<File>, PoolError> {
        match openat(&self.dir, JOURNAL, OFlag::O_RDWR | NO_FOLLOW, Mode::empty()) {
            Ok(journal) => Ok(Some(journal.into())),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(failed("opening", &self.path().join(JOURNAL), errno)),
        }
    }

    pub fn usage(&self) -> Result<Usage, PoolError> {
        let data = self.open_data(true)?;
        let meta = data.metadata().map_err(|error| failed("looking at", &self.path(), error))?;
        // st_blocks counts units of 512 bytes whatever the file system's own are (stat(2)).
        let described = openat(&self.dir, DESCRIPTION, OFlag::O_RDONLY | NO_FOLLOW, Mode::empty()).ok();
        let described = described.and_then(|file| File::from(file).metadata().ok()?.modified().ok());
        Ok(Usage { size: meta.len(), allocated: meta.blocks().saturating_mul(512), described })
    }

    /// Whether the volume is what `create` was asked for, or may become it.
    pub fn check_spec(&self, spec: &VolumeSpec) -> Result<(), PoolError> {
        self.check_block_size(spec.block_size)?;
        self.check_size(spec.size)
    }

    pub fn check_block_size(&self, wanted: u32) -> Result<(), PoolError> {
        let found = self.description.block_size;
        if found == wanted {
            return Ok(());
        }
        let text = format!(
            "the volume {} has blocks of {found} bytes, not {wanted}: a volume keeps its block size; ask for {found}, \
             or make a new volume",
            self.path().display()
        );
        Err(PoolError::new(PoolErrorKind::Mismatch, text))
    }

    fn check_size(&self, wanted: u64) -> Result<(), PoolError> {
        if self.size <= wanted {
            return Ok(());
        }
        let text = format!(
            "the volume {} has {}, more than the {} asked for: a volume never shrinks; ask for at least {1}",
            self.path().display(),
            Bytes(self.size),
            Bytes(wanted)
        );
        Err(PoolError::new(PoolErrorKind::Mismatch, text))
    }

    /// Grows the data file, then the description: in between the file is longer than it has to be.
    pub fn grow(&self, size: u64) -> Result<(), PoolError> {
        self.check_size(size)?;
        if self.size < size {
            set_size(self.root, &self.open_data(false)?, size)?;
        }
        if self.description.size < size {
            let grown = self.description.grown_to(size);
            write_description(&self.dir, &grown).map_err(|error| failed("describing", &self.path(), error))?;
        }
        Ok(())
    }
}

/// Makes the journal of the volume in this directory.
pub(crate) fn make_journal(dir: &File) -> std::io::Result<File> {
    Ok(File::from(openat(dir, JOURNAL, OFlag::O_RDWR | OFlag::O_CREAT | NO_FOLLOW, PRIVATE)?))
}

/// Ends the volume `id`, which nobody holds: from the rename on there is none.
pub(crate) fn unmake(root: &Root, id: &VolumeId) -> Result<(), PoolError> {
    let path = root.path().join(id.as_str());
    renameat(root.dir(), id.as_str(), root.dir(), leaving(id).as_str())
        .map_err(|errno| failed("removing", &path, errno))?;
    root.sync()?;
    sweep(root, id)
}

/// The data file of `id` even if its description is damaged; `None` if there is nothing to hold.
pub(crate) fn data_to_remove(root: &Root, id: &VolumeId) -> Result<Option<Option<File>>, PoolError> {
    let Some(dir) = open_directory(root, id.as_str())? else { return Ok(None) };
    match openat(&dir, DATA, OFlag::O_RDWR | NO_FOLLOW, Mode::empty()) {
        Ok(data) => Ok(Some(Some(data.into()))),
        Err(Errno::ENOENT) => Ok(Some(None)),
        Err(errno) => Err(failed("opening", &root.path().join(id.as_str()).join(DATA), errno)),
    }
}

fn open_data(dir: &File, path: &std::path::Path, access: OFlag) -> Result<File, PoolError> {
    let data = match openat(dir, DATA, access | NO_FOLLOW, Mode::empty()) {
        Ok(data) => File::from(data),
        Err(Errno::ENOENT | Errno::ELOOP) => return Err(damaged(path, "its data file is missing")),
        Err(errno) => return Err(failed("opening", &path.join(DATA), errno)),
    };
    let meta = data.metadata().map_err(|error| failed("looking at", path, error))?;
    if meta.is_file() { Ok(data) } else { Err(damaged(path, "its data file is not a regular file")) }
}

fn read_description(dir: &File, path: &std::path::Path) -> Result<Description, PoolError> {
    let file = match openat(dir, DESCRIPTION, OFlag::O_RDONLY | NO_FOLLOW, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT | Errno::ELOOP) => return Err(damaged(path, "its description volume.json is missing")),
        Err(errno) => return Err(failed("opening", &path.join(DESCRIPTION), errno)),
    };
    let mut text = Vec::new();
    file.take(MAX_DESCRIPTION)
        .read_to_end(&mut text)
        .map_err(|error| failed("reading", &path.join(DESCRIPTION), error))?;
    Description::parse(&text)
        .map_err(|error| damaged(path, &format!("its description volume.json is no use: {error}")).because(error))
}

fn damaged(path: &std::path::Path, what: &str) -> PoolError {
    let path = path.display();
    PoolError::new(
        PoolErrorKind::Mismatch,
        format!("the volume {path} is damaged: {what}; restore it from a backup, or remove {path} to start anew"),
    )
}
