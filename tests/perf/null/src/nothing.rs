//! Storage that is not there: every read and write is done at once, and moves no byte.
//!
//! What a read returns is whatever lay in its buffer, so this is for counting instructions and nothing else.

use lunette_backend::{
    Backend, Capacity, Created, Driver, Durability, Geometry, OpenOptions, Pool, PoolError, Usage, VolumeId, VolumeSpec,
};
use lunette_iobuf::DataBuf;

/// A pool whose volumes are all of one size.
pub struct Nowhere {
    /// Bytes.
    pub size: u64,
}

/// An open volume of it.
pub struct Nothing {
    size: u64,
    geometry: Geometry,
}

impl Pool for Nowhere {
    type Backend = Nothing;

    fn check(&self) -> Result<Capacity, PoolError> {
        Ok(Capacity { total: self.size, available: self.size, max_volume: self.size })
    }

    fn create(&self, _: &VolumeId, _: &VolumeSpec) -> Result<Created, PoolError> {
        Ok(Created::Found)
    }

    fn grow(&self, _: &VolumeId, _: u64) -> Result<(), PoolError> {
        Ok(())
    }

    fn remove(&self, _: &VolumeId) -> Result<(), PoolError> {
        Ok(())
    }

    fn usage(&self, _: &VolumeId) -> Result<Usage, PoolError> {
        Ok(Usage { size: self.size, ..Usage::default() })
    }

    fn open(&self, _: &VolumeId, options: &OpenOptions) -> Result<Nothing, PoolError> {
        Ok(Nothing::of(self.size, options))
    }
}

impl Nothing {
    /// One of that many bytes.
    pub fn of(size: u64, options: &OpenOptions) -> Self {
        let geometry = Geometry {
            physical_block_size: 4096,
            read_only: options.read_only,
            volatile_cache: options.write_cache,
            ..Geometry::plain(options.block_size)
        };
        Self { size, geometry }
    }
}

impl Backend for Nothing {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn refresh_size(&self) -> lunette_backend::Result<u64> {
        Ok(self.size)
    }

    fn read_at_once(&self, _: u64, _: &mut DataBuf) -> Option<()> {
        Some(())
    }

    fn write_at_once(&self, _: u64, _: &DataBuf, _: Durability) -> Option<()> {
        Some(())
    }

    async fn read(&self, _: u64, buf: DataBuf) -> lunette_backend::Result<DataBuf> {
        Ok(buf)
    }

    async fn write(&self, _: u64, buf: DataBuf, _: Durability) -> lunette_backend::Result<DataBuf> {
        Ok(buf)
    }

    async fn flush(&self) -> lunette_backend::Result<()> {
        Ok(())
    }

    async fn discard(&self, _: u64, _: u64) -> lunette_backend::Result<()> {
        Ok(())
    }

    async fn write_zeroes(&self, _: u64, _: u64, _: bool, _: Durability) -> lunette_backend::Result<()> {
        Ok(())
    }

    fn driver(&self) -> Option<&dyn Driver> {
        None
    }
}
