//! The pool: what the agent's control threads ask of it, in terms of the directory and its volumes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use lunette_backend::{
    Capacity, CopySpec, Created, Draft, Import, ImportSpec, OpenOptions, Pool, PoolError, PoolErrorKind, Usage,
    VolumeId, VolumeSpec,
};
use lunette_fileio::{Engine, FileIo, FileOptions, LockError, LockKind, SetupError, lock};

use crate::backend::DirectoryVolume;
use crate::config::DirectoryConfig;
use crate::copy::{self, Copy};
use crate::description::is_block_size;
use crate::holder::holder;
use crate::import::{self, Importing};
use crate::journal::Journal;
use crate::message::failed;
use crate::root::Root;
use crate::volume::{self, Volume};

/// How long an opener waits for the last requests of a process that died.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of volumes.
#[derive(Clone, Debug)]
pub struct DirectoryPool {
    config: DirectoryConfig,
    engine: Engine,
    patience: Duration,
}

impl DirectoryPool {
    /// A pool as configured; nothing is looked at before the first request.
    #[must_use]
    pub fn new(config: DirectoryConfig) -> Self {
        Self { config, engine: Engine::Auto, patience: PATIENCE }
    }

    /// The same with a certain engine for what would block.
    #[must_use]
    pub fn with_engine(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    /// The same with another time for which `open` waits for a volume's lock (30 s unless told).
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The directory, for one process at a time.
    fn in_turn(&self) -> Result<Root, PoolError> {
        let mut root = Root::open(&self.config)?;
        root.take_turn()?;
        Ok(root)
    }

    /// The same to make volume `id`, of which nothing is left; `None` if there is one.
    fn turn_to_make(&self, id: &VolumeId) -> Result<Option<Root>, PoolError> {
        let turn = self.in_turn()?;
        volume::sweep(&turn, id)?;
        let found = Volume::find(&turn, id)?.is_some();
        Ok((!found).then_some(turn))
    }

    /// Locks the volume's data for as long as the file is open.
    fn hold(&self, volume: &Volume<'_>, read_only: bool) -> Result<File, PoolError> {
        let data = volume.open_data(read_only)?;
        let kind = if read_only { LockKind::Reader } else { LockKind::Writer };
        let path = volume.path();
        match lock(&data, kind, self.patience) {
            Ok(()) => Ok(data),
            Err(LockError::Held) => Err(in_use(&path.display().to_string(), &data, self.patience)),
            Err(LockError::System(error)) => Err(failed("locking", &path, error)),
        }
    }

    fn engine_on(&self, volume: &Volume<'_>, data: File, block_size: u32) -> Result<FileIo, PoolError> {
        let options = FileOptions { engine: self.engine, io: self.config.io, block_size };
        FileIo::new(data, options).map_err(|error| match error {
            SetupError::System(error) => failed("setting up", &volume.path(), error),
            refused => {
                let text = format!("the volume {} cannot be opened: {refused}", volume.path().display());
                PoolError::new(PoolErrorKind::Unsupported, text)
            }
        })
    }
}

impl Pool for DirectoryPool {
    type Backend = DirectoryVolume;

    fn check(&self) -> Result<Capacity, PoolError> {
        Root::open(&self.config)?.capacity()
    }

    fn create(&self, id: &VolumeId, spec: &VolumeSpec) -> Result<Created, PoolError> {
        check_spec(spec)?;
        let root = self.in_turn()?;
        volume::sweep(&root, id)?;
        if let Some(found) = Volume::find(&root, id)? {
            return found.check_spec(spec).map(|()| Created::Found);
        }
        volume::make(&root, id, spec).map(|()| Created::New)
    }

    fn grow(&self, id: &VolumeId, size: u64) -> Result<(), PoolError> {
        let root = self.in_turn()?;
        let volume = Volume::get(&root, id)?;
        check_size(size, volume.description.block_size)?;
        volume.grow(size)
    }

    fn remove(&self, id: &VolumeId) -> Result<(), PoolError> {
        let root = self.in_turn()?;
        volume::sweep(&root, id)?;
        let Some(data) = volume::data_to_remove(&root, id)? else { return Ok(()) };
        // Held until the volume is gone: nobody opens it in between.
        if let Some(data) = &data
            && lock(data, LockKind::Writer, Duration::ZERO).is_err()
        {
            return Err(in_use(&root.path().join(id.as_str()).display().to_string(), data, Duration::ZERO));
        }
        volume::unmake(&root, id)
    }

    fn can_copy(&self) -> Result<bool, PoolError> {
        copy::can_reflink(&Root::open(&self.config)?)
    }

    fn draft(&self, id: &VolumeId, spec: &CopySpec) -> Result<Option<Box<dyn Draft>>, PoolError> {
        let Some(turn) = self.turn_to_make(id)? else { return Ok(None) };
        Ok(Some(Box::new(Copy::prepare(&self.config, &turn, id, spec)?)))
    }

    fn images(&self) -> Result<BTreeMap<String, u64>, PoolError> {
        import::list(&Root::open(&self.config)?)
    }

    fn import(&self, id: &VolumeId, spec: &ImportSpec) -> Result<Option<Box<dyn Import>>, PoolError> {
        check_spec(&spec.volume)?;
        let Some(turn) = self.turn_to_make(id)? else { return Ok(None) };
        Ok(Some(Box::new(Importing::prepare(&self.config, &turn, id, spec)?)))
    }

    fn usage(&self, id: &VolumeId) -> Result<Usage, PoolError> {
        Volume::get(&Root::open(&self.config)?, id)?.usage()
    }

    fn open(&self, id: &VolumeId, options: &OpenOptions) -> Result<DirectoryVolume, PoolError> {
        let root = Root::open(&self.config)?;
        let volume = Volume::get(&root, id)?;
        volume.check_block_size(options.block_size)?;
        let data = self.hold(&volume, options.read_only)?;
        let meta = data.metadata().map_err(|error| failed("looking at", &volume.path(), error))?;
        if meta.nlink() == 0 {
            // Removed while we waited for its lock.
            return Volume::get(&root, id).and(Err(removed(&volume)));
        }
        let journal = if options.read_only { None } else { Some(Journal::open(&volume, &data)?) };
        let file = self.engine_on(&volume, data, options.block_size)?;
        Ok(DirectoryVolume::new(file, journal, meta.len(), options))
    }
}

fn removed(volume: &Volume<'_>) -> PoolError {
    let text = format!("the volume {} was removed while it was being opened; try again", volume.path().display());
    PoolError::new(PoolErrorKind::NotFound, text)
}

fn in_use(volume: &str, data: &File, waited: Duration) -> PoolError {
    let text = format!(
        "the volume {volume} is in use by {} (waited {} s); stop what uses it, or wait until its last requests end",
        holder(data),
        waited.as_secs()
    );
    PoolError::new(PoolErrorKind::InUse, text)
}

fn check_spec(spec: &VolumeSpec) -> Result<(), PoolError> {
    if !is_block_size(spec.block_size) {
        let text = format!("a volume cannot have blocks of {} bytes; ask for 512 or 4096", spec.block_size);
        return Err(PoolError::new(PoolErrorKind::Invalid, text));
    }
    check_size(spec.size, spec.block_size)
}

fn check_size(size: u64, block_size: u32) -> Result<(), PoolError> {
    if size > 0 && size.is_multiple_of(u64::from(block_size)) {
        return Ok(());
    }
    let text = format!("a volume cannot have {size} bytes; ask for a multiple of its {block_size}-byte blocks above 0");
    Err(PoolError::new(PoolErrorKind::Invalid, text))
}

#[cfg(test)]
mod tests;
