//! What was wanted last, on disk: an agent that starts while the API server is away, or while a manifest
//! cannot be understood, serves that.
//!
//! It holds no secrets and no status. A checkpoint that is damaged is no checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use lunette_api::{Lun, LunPool};
use serde::{Deserialize, Serialize};

use super::View;

/// A file that holds the last view.
pub struct Checkpoint {
    path: PathBuf,
}

#[derive(Serialize, Deserialize, Default, PartialEq)]
struct Saved {
    luns: Vec<Lun>,
    pools: Vec<LunPool>,
    #[serde(default)]
    initiator_names: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Kept in that file.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The last view, marked as incomplete.
    pub fn load(&self) -> Option<View> {
        let saved: Saved = serde_json::from_slice(&fs::read(&self.path).ok()?)
            .inspect_err(|error| tracing::warn!(%error, path = %self.path.display(), "the checkpoint is damaged: nothing is served from it"))
            .ok()?;
        let uid = |lun: &Lun| lun.metadata.uid.clone().unwrap_or_default();
        let luns = saved.luns.into_iter().map(|lun| (uid(&lun), Arc::new(lun))).collect();
        let name = |pool: &LunPool| pool.metadata.name.clone().unwrap_or_default();
        let pools: BTreeMap<_, _> = saved.pools.into_iter().map(|pool| (name(&pool), Arc::new(pool))).collect();
        Some(View { luns, pools, initiator_names: saved.initiator_names, ..View::default() })
    }

    /// Keeps a view.
    pub fn save(&self, view: &View) {
        let lun = |lun: &Arc<Lun>| Lun { status: None, ..lun.as_ref().clone() };
        let pool = |pool: &Arc<LunPool>| LunPool { status: None, ..pool.as_ref().clone() };
        let saved = Saved {
            luns: view.luns.values().map(lun).collect(),
            pools: view.pools.values().map(pool).collect(),
            initiator_names: view.initiator_names.clone(),
        };
        if let Err(error) = self.write(&saved) {
            tracing::warn!(%error, path = %self.path.display(), "what is wanted could not be noted: a restart knows only what it is told then");
        }
    }

    fn write(&self, saved: &Saved) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(saved)?;
        if fs::read(&self.path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let temporary = self.path.with_extension("new");
        fs::write(&temporary, bytes)?;
        fs::rename(temporary, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wanted_comes_back_and_damage_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path().join("a/last-known.json"));
        assert!(checkpoint.load().is_none());
        let mut lun: Lun = serde_json::from_value(serde_json::json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "uid": "u"}, "spec": {"pool": "files", "size": "1Gi"}
        }))
        .unwrap();
        lun.status = Some(lunette_api::LunStatus::default());
        let luns = BTreeMap::from([("u".to_owned(), Arc::new(lun))]);
        let initiator_names = BTreeMap::from([("b".to_owned(), "iqn.2026-01.a:b".to_owned())]);
        let view = View { luns, initiator_names, complete: true, ..View::default() };
        checkpoint.save(&view);
        let loaded = checkpoint.load().unwrap();
        assert!(!loaded.complete && loaded.luns["u"].status.is_none());
        assert_eq!(loaded.luns["u"].spec, view.luns["u"].spec);
        assert_eq!(loaded.initiator_names, view.initiator_names);
        fs::write(dir.path().join("a/last-known.json"), "{\"luns\": [").unwrap();
        assert!(checkpoint.load().is_none());
    }
}
