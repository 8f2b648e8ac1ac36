//! A copy of a volume that shares its extents: a snapshot, or a LUN made from one or from another LUN.
//!
//! All that takes time happens before and after the instant: making the files, writing out dirty pages, syncing,
//! renaming. The instant itself is one FICLONE.

use std::fs::File;
use std::io;

use lunette_backend::{CopySpec, Draft, PoolError, PoolErrorKind, VolumeId};
use lunette_fileio::{is_no_reflink, reflink};

use crate::description::Description;
use crate::message::{Bytes, failed};
use crate::pool::DirectoryConfig;
use crate::root::Root;
use crate::volume::{self, Unfinished, Volume};

/// A copy that is prepared.
pub(crate) struct Copy {
    config: DirectoryConfig,
    /// Without the turn to change the pool: a draft may stand for a while, and several at once.
    root: Root,
    id: VolumeId,
    source: File,
    /// Of the source.
    description: Description,
    spec: CopySpec,
    made: Unfinished,
    taken: bool,
    kept: bool,
}

impl Copy {
    /// Prepares it, in the pool's turn; there is no volume of that name.
    pub fn prepare(config: &DirectoryConfig, turn: &Root, id: &VolumeId, spec: &CopySpec) -> Result<Self, PoolError> {
        // Found out before anybody is held still for it.
        if !can_reflink(turn)? {
            return Err(no_reflink(turn));
        }
        let volume = Volume::get(turn, &spec.source)?;
        let source = volume.open_data(true)?;
        // So that little is left to write out at the instant.
        source.sync_data().map_err(|error| failed("syncing", &volume.path(), error))?;
        let made = Unfinished::of(turn, id)?;
        Ok(Self {
            config: config.clone(),
            root: Root::open(config)?,
            id: id.clone(),
            source,
            description: volume.description.clone(),
            spec: spec.clone(),
            made,
            taken: false,
            kept: false,
        })
    }

    fn size(&self) -> Result<u64, PoolError> {
        let path = self.root.path();
        let taken = self.made.data.metadata().map_err(|error| failed("looking at a copy in", path, error))?.len();
        match self.spec.size {
            Some(size) if size < taken => {
                let text = format!(
                    "a copy of {} cannot have {}: its source has {}; ask for at least that",
                    self.spec.source,
                    Bytes(size),
                    Bytes(taken)
                );
                Err(PoolError::new(PoolErrorKind::Mismatch, text))
            }
            size => Ok(size.unwrap_or(taken)),
        }
    }
}

impl Draft for Copy {
    fn take(&mut self) -> Result<(), PoolError> {
        reflink(&self.source, &self.made.data).map_err(|error| refused(&self.root, error))?;
        self.taken = true;
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<(), PoolError> {
        if !self.taken {
            let text = format!("the copy {} was never taken: this is a bug of Lunette's", self.id);
            return Err(PoolError::new(PoolErrorKind::Failed, text));
        }
        let description = self.description.copied(self.size()?, &self.spec.owner);
        self.made.finish(&self.root, &description)?;
        let turn = Root::open(&self.config)?;
        turn.take_turn()?;
        self.made.rename(&turn, &self.id)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed by the next attempt.
            let _ = volume::give_up(&self.root, &self.id);
        }
    }
}

/// Whether files in the directory can share extents: two nameless ones are made to.
pub(crate) fn can_reflink(root: &Root) -> Result<bool, PoolError> {
    let scratch = || root.scratch().map_err(|errno| failed("writing to the pool directory", root.path(), errno));
    match reflink(&scratch()?, &scratch()?) {
        Ok(()) => Ok(true),
        Err(error) if is_no_reflink(&error) => Ok(false),
        Err(error) => Err(failed("sharing extents in", root.path(), error)),
    }
}

fn refused(root: &Root, error: io::Error) -> PoolError {
    if is_no_reflink(&error) { no_reflink(root).because(error) } else { failed("taking a copy in", root.path(), error) }
}

fn no_reflink(root: &Root) -> PoolError {
    let text = format!(
        "the file system of {} shares no extents between files, so it takes no snapshots and makes no clones: use a pool \
         on XFS (made with reflink=1, the default) or btrfs",
        root.path().display()
    );
    PoolError::new(PoolErrorKind::Unsupported, text)
}
