//! An open volume: the file engine with the volume's size, durability and geometry.

use std::cell::Cell;
use std::future::Future;

use lunette_backend::{
    Backend, Discard, Driver, Durability, Extent, Geometry, IoError, IoErrorKind, OpenOptions, Result, Space,
};
use lunette_fileio::FileIo;
use lunette_iobuf::DataBuf;

use crate::journal::{self, Journal};

/// A file system's block larger than this says how it likes transfers, not what its disk writes at once.
const LARGEST_PHYSICAL: u32 = 4096;

/// An open volume of a directory pool.
pub struct DirectoryVolume {
    file: FileIo,
    /// There where writing is.
    journal: Option<Journal>,
    size: Cell<u64>,
    geometry: Geometry,
    write_cache: bool,
}

impl DirectoryVolume {
    /// Over a data file that is locked and `size` bytes long.
    pub(crate) fn new(file: FileIo, journal: Option<Journal>, size: u64, options: &OpenOptions) -> Self {
        let geometry = geometry(&file, size, options);
        Self { file, journal, size: Cell::new(size), geometry, write_cache: options.write_cache }
    }

    /// Whether the page cache is passed by.
    pub fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    /// Without a write cache nothing is acknowledged before it is durable.
    fn at_least(&self, durability: Durability) -> Durability {
        if self.write_cache { durability } else { Durability::Durable }
    }
}

fn geometry(file: &FileIo, size: u64, options: &OpenOptions) -> Geometry {
    let (block, fs_block) = (options.block_size, file.layout().block);
    let discards = !options.read_only && file.probe_punch_hole(size);
    Geometry {
        block_size: block,
        physical_block_size: fs_block.min(LARGEST_PHYSICAL).max(block),
        discard_granularity: if discards { fs_block.max(block) } else { 0 },
        preferred_io: if fs_block > LARGEST_PHYSICAL { fs_block } else { 0 },
        read_only: options.read_only,
        volatile_cache: options.write_cache,
        discard: if discards { Discard::Zeroes } else { Discard::Unsupported },
        thin: true,
    }
}

impl Backend for DirectoryVolume {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn size(&self) -> u64 {
        self.size.get()
    }

    fn refresh_size(&self) -> Result<u64> {
        let metadata = self.file.file().metadata();
        let size = metadata.map_err(|error| IoError::new(IoErrorKind::Unreachable, error))?.len();
        if size < self.size.get() {
            let text = format!("the data file shrank from {} to {size} bytes", self.size.get());
            return Err(IoError::new(IoErrorKind::Internal, text));
        }
        self.size.set(size);
        Ok(size)
    }

    // The engine's futures as they are: one around them would only move the buffer once more.
    fn read(&self, at: u64, buf: DataBuf) -> impl Future<Output = Result<DataBuf>> {
        self.file.read(at, buf)
    }

    fn write(&self, at: u64, buf: DataBuf, durability: Durability) -> impl Future<Output = Result<DataBuf>> {
        self.file.write(at, buf, self.at_least(durability))
    }

    fn read_at_once(&self, at: u64, buf: &mut DataBuf) -> Option<()> {
        self.file.read_at_once(at, buf)
    }

    fn write_at_once(&self, at: u64, buf: &DataBuf, durability: Durability) -> Option<()> {
        self.file.write_at_once(at, buf, self.at_least(durability))
    }

    async fn flush(&self) -> Result<()> {
        self.file.flush().await
    }

    async fn discard(&self, at: u64, len: u64) -> Result<()> {
        self.file.punch_hole(at, len).await?;
        if self.write_cache { Ok(()) } else { self.file.flush().await }
    }

    async fn write_zeroes(&self, at: u64, len: u64, may_unmap: bool, durability: Durability) -> Result<()> {
        self.file.write_zeroes(at, len, may_unmap, self.at_least(durability)).await
    }

    fn atomic_limit(&self) -> u64 {
        self.journal.as_ref().map_or(0, |_| journal::LIMIT)
    }

    async fn write_atomic(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        let journal = self.journal.as_ref().ok_or(IoErrorKind::Unsupported)?;
        journal.write(at, buf.to_vec()).await?;
        Ok(buf)
    }

    async fn extent(&self, at: u64, len: u64) -> Result<Extent> {
        self.file.extent(at, len)
    }

    fn space(&self) -> Option<Space> {
        self.file.space().ok()
    }

    fn caches_reads(&self) -> bool {
        !self.file.is_direct()
    }

    fn driver(&self) -> Option<&dyn Driver> {
        Some(self.file.driver())
    }
}
