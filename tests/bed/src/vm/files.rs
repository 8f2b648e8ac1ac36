//! Passing files between the host and a guest, through the folder that both see.

use super::Vm;
use crate::Result;
use crate::exec::GuestCommand;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

impl Vm {
    /// Copies a file of the host's into the guest, with its permissions.
    ///
    /// # Errors
    /// When either side fails.
    pub fn copy_in(&self, from: &Path, to: &str) -> Result<()> {
        let (here, there) = self.transfer();
        std::fs::copy(from, &here).with_context(|| format!("copying {} to {}", from.display(), self.name()))?;
        self.must(GuestCommand::new("mv").args([there.as_str(), to])).map(drop)
    }

    /// Copies a file of the guest's to the host.
    ///
    /// # Errors
    /// When either side fails.
    pub fn copy_out(&self, from: &str, to: &Path) -> Result<()> {
        let (here, there) = self.transfer();
        self.must(GuestCommand::new("cp").args([from, there.as_str()]))?;
        std::fs::copy(&here, to).with_context(|| format!("copying {from} from {}", self.name()))?;
        std::fs::remove_file(&here).context("removing the copy in the share")
    }

    /// Writes a file in the guest, making its directory.
    ///
    /// # Errors
    /// When the guest cannot.
    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        let script = r#"mkdir -p "$(dirname "$0")" && cat > "$0""#;
        let command = GuestCommand::new("/bin/sh").args(["-c", script, path]).input(content);
        self.must(command).map(drop)
    }

    /// A fresh file in the share, as both sides name it.
    fn transfer(&self) -> (PathBuf, String) {
        let name = format!("transfer-{}", self.transfers.fetch_add(1, Ordering::Relaxed));
        (self.share().join(&name), format!("/bed/{name}"))
    }
}
