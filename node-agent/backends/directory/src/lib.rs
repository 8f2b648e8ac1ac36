//! Volumes as sparse files in a directory of a file system.
//!
//! One subdirectory per volume, named by its UID:
//!
//! ```text
//! POOL/.lunette-pool          the marker, if the pool asks for one
//! POOL/<uid>/data             the volume's bytes, sparse
//! POOL/<uid>/journal          an atomic write under way, see `journal`
//! POOL/<uid>/volume.json      what it is: block size, size, owner
//! POOL/.lunette-new-<uid>/    being made; never a volume
//! POOL/import/<name>          raw images, which an administrator puts there: only ever read
//! POOL/.lunette-gone-<uid>/   being removed; no longer a volume
//! ```
//!
//! A snapshot is a volume like any other, with the snapshot's UID: its data file shares extents with the one it was
//! taken of (a reflink), and no LUN opens it. Either can go without harm to the other.
//!
//! A volume comes into being and vanishes by the rename of its directory, so data and description are
//! one pair whatever crashes. Everything below the pool's directory is reached from its open descriptor
//! and without following symbolic links: no name in there leads out of it.

#![forbid(unsafe_code)]

mod backend;
mod config;
mod copy;
mod description;
mod holder;
mod import;
mod journal;
mod making;
mod message;
mod pool;
mod root;
mod turn;
mod volume;

pub use backend::DirectoryVolume;
pub use config::DirectoryConfig;
pub use lunette_fileio::{Engine, IoMode};
pub use pool::DirectoryPool;
