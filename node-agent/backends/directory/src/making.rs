//! A volume that takes a while to make: a copy of another, or of an image.
//!
//! It is begun and ends in the pool's turn, and goes on without it meanwhile, several at once. Until it is kept it has a
//! name that no volume has; dropped before, it leaves nothing behind.

use std::fs::File;

use lunette_backend::{PoolError, VolumeId};

use crate::config::DirectoryConfig;
use crate::description::Description;
use crate::root::Root;
use crate::volume::{self, Unfinished};

/// A volume in the making.
pub(crate) struct Making {
    config: DirectoryConfig,
    /// Without the turn to change the pool.
    root: Root,
    id: VolumeId,
    unfinished: Unfinished,
    kept: bool,
}

impl Making {
    /// Begins one with no bytes, in the pool's turn; there is no volume of that name.
    pub fn begin(config: &DirectoryConfig, turn: &Root, id: &VolumeId) -> Result<Self, PoolError> {
        let root = Root::open(config)?;
        let unfinished = Unfinished::of(turn, id)?;
        Ok(Self { config: config.clone(), root, id: id.clone(), unfinished, kept: false })
    }

    /// The pool that it is made in.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Where its bytes go.
    pub fn data(&self) -> &File {
        &self.unfinished.data
    }

    /// Makes a volume of it, durably.
    pub fn keep(&mut self, description: &Description) -> Result<(), PoolError> {
        self.unfinished.finish(&self.root, description)?;
        let mut turn = Root::open(&self.config)?;
        turn.take_turn()?;
        self.unfinished.rename(&turn, &self.id)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // Another attempt for the same volume may have taken its place. What cannot be removed now is removed by the next.
        if !self.kept && self.unfinished.is_standing(&self.root, &self.id).unwrap_or(false) {
            let _ = volume::give_up(&self.root, &self.id);
        }
    }
}
