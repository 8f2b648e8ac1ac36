//! The mode parameters that an initiator set (MODE SELECT), kept over a restart of the agent.
//!
//! An initiator that turned the write cache off relies on that: its next writes must be durable too when
//! another agent answers them. So a change is on disk before it is acknowledged.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lunette_lio::Uid;
use lunette_scsi::ModeState;
use serde::{Deserialize, Serialize};

/// The record of one LUN.
pub struct ModeRecord {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    write_cache: bool,
    descriptor_sense: bool,
    software_write_protect: bool,
}

impl ModeRecord {
    /// The record of that LUN below the agent's state directory.
    pub fn of(state_dir: &Path, uid: &Uid) -> Self {
        Self { path: state_dir.join("modes").join(format!("{uid}.json")) }
    }

    /// What was kept, if something was.
    pub fn read(&self) -> Option<ModeState> {
        let kept: Kept = serde_json::from_slice(&fs::read(&self.path).ok()?)
            .inspect_err(|error| tracing::warn!(%error, path = %self.path.display(), "mode parameters are damaged: the default is in force"))
            .ok()?;
        let Kept { write_cache, descriptor_sense, software_write_protect } = kept;
        Some(ModeState { write_cache, descriptor_sense, software_write_protect })
    }

    /// Keeps them, durably.
    ///
    /// # Errors
    /// When they could not be written; what was kept before stays.
    pub fn write(&self, mode: ModeState) -> io::Result<()> {
        let ModeState { write_cache, descriptor_sense, software_write_protect } = mode;
        let kept = Kept { write_cache, descriptor_sense, software_write_protect };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(folder)?.sync_all()
    }

    /// Forgets them, with the LUN.
    pub fn remove(&self) {
        // None were kept, or they belong to a LUN whose UID never comes back.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_initiator_set_outlives_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let uid = Uid::parse("3fa85f64-5717-4562-b3fc-2c963f66afa6").unwrap();
        let record = ModeRecord::of(dir.path(), &uid);
        assert_eq!(record.read(), None);
        let mode = ModeState { write_cache: false, ..ModeState::default() };
        record.write(mode).unwrap();
        assert_eq!(ModeRecord::of(dir.path(), &uid).read(), Some(mode));
        record.remove();
        assert_eq!(record.read(), None);
    }
}
