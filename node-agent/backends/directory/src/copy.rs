//! A copy of a volume that shares its extents: a snapshot, or a LUN made from one or from another LUN.
//!
//! All that takes time happens before and after the instant: making the files, writing out dirty pages, syncing,
//! renaming. The instant itself is one FICLONE.

use std::fs::File;
use std::io;

use lunette_backend::{CopySpec, Draft, PoolError, PoolErrorKind, VolumeId};
use lunette_fileio::{is_no_reflink, reflink};

use crate::config::DirectoryConfig;
use crate::description::Description;
use crate::making::Making;
use crate::message::{Bytes, failed};
use crate::root::Root;
use crate::volume::Volume;

/// A copy that is prepared.
pub(crate) struct Copy {
    making: Making,
    id: VolumeId,
    source: File,
    /// Of the source.
    description: Description,
    spec: CopySpec,
    taken: bool,
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
        let making = Making::begin(config, turn, id)?;
        let (description, spec) = (volume.description.clone(), spec.clone());
        Ok(Self { making, id: id.clone(), source, description, spec, taken: false })
    }

    fn size(&self) -> Result<u64, PoolError> {
        let path = self.making.root().path();
        let taken = self.making.data().metadata().map_err(|error| failed("looking at a copy in", path, error))?.len();
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
        reflink(&self.source, self.making.data()).map_err(|error| refused(self.making.root(), error))?;
        self.taken = true;
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<(), PoolError> {
        if !self.taken {
            let text = format!("the copy {} was never taken: this is a bug of Lunette's", self.id);
            return Err(PoolError::new(PoolErrorKind::Failed, text));
        }
        let description = self.description.copied(self.size()?, &self.spec.owner);
        self.making.keep(&description)
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
