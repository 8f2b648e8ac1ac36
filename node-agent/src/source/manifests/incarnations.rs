//! How often a LUN of each name was deleted with its data, so that the next one is another LUN.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::catalog::Key;

/// A small file, replaced whole at each change.
pub struct Incarnations {
    path: PathBuf,
    counts: BTreeMap<String, u64>,
}

impl Incarnations {
    /// Reads the record; none yet is an empty one.
    ///
    /// # Errors
    /// When it is there and cannot be understood.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let counts = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is damaged: restore it, or remove it if no deleted LUN's name is used again",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { path: path.to_owned(), counts })
    }

    /// How often a LUN of that name was deleted.
    pub fn of(&self, key: &Key) -> u64 {
        self.counts.get(&text(key)).copied().unwrap_or(0)
    }

    /// Counts one more, durably.
    ///
    /// # Errors
    /// When that could not be written.
    pub fn advance(&mut self, key: &Key) -> anyhow::Result<()> {
        *self.counts.entry(text(key)).or_default() += 1;
        let bytes = serde_json::to_vec_pretty(&self.counts)?;
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary).with_context(|| format!("cannot write {}", temporary.display()))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(parent)?.sync_all()?;
        Ok(())
    }
}

fn text(key: &Key) -> String {
    format!("{}/{}", key.0, key.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("state/incarnations.json"), ("default".to_owned(), "db".to_owned()));
        let mut first = Incarnations::open(&path).unwrap();
        assert_eq!(first.of(&key), 0);
        first.advance(&key).unwrap();
        assert_eq!(Incarnations::open(&path).unwrap().of(&key), 1);
        fs::write(&path, "{").unwrap();
        assert!(Incarnations::open(&path).is_err_and(|error| error.to_string().contains("is damaged")));
    }
}
