//! The kinds of pool that this agent can open, behind one type: the only list of backends there is.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lunette_api::{IoMode, LunPoolSpec};
use lunette_backend::{
    Capacity, CopySpec, Created, Draft, Import, ImportSpec, Pool, PoolError, PoolErrorKind, Usage, VolumeId, VolumeSpec,
};
use lunette_directory::{DirectoryConfig, DirectoryPool};

use crate::lun::{Job, LunThread};

/// A pool of any kind.
#[derive(Clone)]
pub enum AnyPool {
    /// Files in a directory of this node.
    Directory(Arc<DirectoryPool>),
}

/// Runs one expression on whichever pool it is.
macro_rules! on_pool {
    ($self:expr, $pool:ident => $body:expr) => {
        match $self {
            AnyPool::Directory($pool) => $body,
        }
    };
}

impl AnyPool {
    /// The pool that an admin described.
    ///
    /// # Errors
    /// When the description names no backend that this agent knows.
    pub fn new(spec: &LunPoolSpec) -> Result<Self, PoolError> {
        let directory = spec.directory.as_ref().ok_or_else(|| {
            PoolError::new(
                PoolErrorKind::Invalid,
                "the pool names no backend: give it exactly one, for example directory",
            )
        })?;
        let config = DirectoryConfig {
            path: PathBuf::from(&directory.path),
            io: match directory.io {
                IoMode::Auto => lunette_directory::IoMode::Auto,
                IoMode::Direct => lunette_directory::IoMode::Direct,
                IoMode::Buffered => lunette_directory::IoMode::Buffered,
            },
            marker: directory.marker.clone(),
        };
        Ok(Self::Directory(Arc::new(DirectoryPool::new(config))))
    }

    /// See [`Pool::check`].
    ///
    /// # Errors
    /// Why the pool cannot be used.
    pub fn check(&self) -> Result<Capacity, PoolError> {
        on_pool!(self, pool => pool.check())
    }

    /// See [`Pool::create`].
    ///
    /// # Errors
    /// Why there is no such volume.
    pub fn create(&self, id: &VolumeId, spec: &VolumeSpec) -> Result<Created, PoolError> {
        on_pool!(self, pool => pool.create(id, spec))
    }

    /// See [`Pool::grow`].
    ///
    /// # Errors
    /// Why it has not grown.
    pub fn grow(&self, id: &VolumeId, size: u64) -> Result<(), PoolError> {
        on_pool!(self, pool => pool.grow(id, size))
    }

    /// See [`Pool::remove`].
    ///
    /// # Errors
    /// Why it is still there.
    pub fn remove(&self, id: &VolumeId) -> Result<(), PoolError> {
        on_pool!(self, pool => pool.remove(id))
    }

    /// See [`Pool::can_copy`].
    ///
    /// # Errors
    /// Why that is not known.
    pub fn can_copy(&self) -> Result<bool, PoolError> {
        on_pool!(self, pool => pool.can_copy())
    }

    /// See [`Pool::draft`].
    ///
    /// # Errors
    /// Why there is no such copy.
    pub fn draft(&self, id: &VolumeId, copy: &CopySpec) -> Result<Option<Box<dyn Draft>>, PoolError> {
        on_pool!(self, pool => pool.draft(id, copy))
    }

    /// See [`Pool::images`].
    ///
    /// # Errors
    /// Why that is not known.
    pub fn images(&self) -> Result<BTreeMap<String, u64>, PoolError> {
        on_pool!(self, pool => pool.images())
    }

    /// See [`Pool::import`].
    ///
    /// # Errors
    /// Why there is no such volume.
    pub fn import(&self, id: &VolumeId, import: &ImportSpec) -> Result<Option<Box<dyn Import>>, PoolError> {
        on_pool!(self, pool => pool.import(id, import))
    }

    /// See [`Pool::usage`].
    ///
    /// # Errors
    /// Why that is not known.
    pub fn usage(&self, id: &VolumeId) -> Result<Usage, PoolError> {
        on_pool!(self, pool => pool.usage(id))
    }

    /// Starts the thread that serves one of its volumes.
    ///
    /// # Errors
    /// See [`LunThread::start`].
    pub fn serve(&self, name: &str, job: Job) -> io::Result<LunThread> {
        on_pool!(self, pool => LunThread::start(name, Arc::clone(pool), job))
    }
}
