//! A directory pool as it is configured.

use std::path::PathBuf;

use lunette_fileio::IoMode;

/// What an admin says of a directory pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryConfig {
    /// The directory, from the root. It may be a symbolic link: it is the admin's word.
    pub path: PathBuf,
    /// Whether the page cache is passed by.
    pub io: IoMode,
    /// What the file `.lunette-pool` in the directory must say (white space around it aside), so that the
    /// directory below an unmounted file system is never taken for an empty pool.
    pub marker: Option<String>,
}
