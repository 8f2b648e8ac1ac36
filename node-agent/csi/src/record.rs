//! What is written down in a staging directory: whose it is, and whether a file system is in the making. No secret, and
//! no name that the kernel gives: what else must be known is looked up when it is needed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::host::{Host, HostError};

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The UID of the Lun that is staged there, or about to be.
    pub uid: String,
    /// Set from before mkfs begins on an empty disk until it has ended: what is on the disk is an unfinished file
    /// system and nothing else. The value is the epoch in which the node was let in: once another node may have had
    /// the disk, the epoch is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatting: Option<u64>,
}

impl Record {
    /// The record in that file.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(host: &impl Host, path: &Path) -> Result<Option<Self>, HostError> {
        let Some(bytes) = host.read(path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| HostError::Record { path: path.to_owned(), error })
    }

    /// Writes it, so that it outlives a crash of the machine.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, host: &impl Host, path: &Path) -> Result<(), HostError> {
        let bytes = serde_json::to_vec(self).map_err(|error| HostError::Record { path: path.to_owned(), error })?;
        host.write(path, &bytes)
    }
}
