//! All files of a directory together: what each says, or said while it could be understood.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lunette_api::{Lun, LunPool, LunSnapshot, LunSnapshotStatus, SnapshotSource, identity};

use super::parse::{self, Objects};
use crate::source::{SecretData, View};

/// Namespace and name.
pub type Key = (String, String);

/// What the directory says.
#[derive(Default)]
pub struct Catalog {
    files: BTreeMap<String, KnownFile>,
    /// Why the directory itself cannot be read.
    trouble: Option<String>,
    luns: BTreeMap<Key, (Lun, SystemTime)>,
    pools: BTreeMap<String, LunPool>,
    snapshots: BTreeMap<Key, LunSnapshot>,
    secrets: BTreeMap<Key, SecretData>,
    /// Counts how often they became others.
    secrets_seen: u64,
    duplicates: Vec<String>,
    generations: BTreeMap<Key, (i64, Lun)>,
}

struct KnownFile {
    stamp: Option<Stamp>,
    objects: Option<Objects>,
    trouble: Option<String>,
}

/// What tells one content of a file from another, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self { modified: about.modified().ok()?, len: about.len(), inode: about.ino() })
    }
}

impl Catalog {
    /// Reads what changed since the last time; whether anything did.
    pub fn read(&mut self, directory: &Path) -> bool {
        let before = self.trouble.take();
        let changed = match names(directory) {
            Ok(names) => {
                let known = self.files.len();
                self.files.retain(|name, _| names.contains(name));
                let fewer = self.files.len() < known;
                names.into_iter().fold(fewer, |changed, name| self.read_file(directory, name) || changed)
            }
            Err(error) => {
                let path = directory.display();
                self.trouble = Some(format!("{path} cannot be read ({error}): what it said before stays in force"));
                false
            }
        };
        if changed {
            self.gather();
        }
        changed || self.trouble != before
    }

    /// What is wanted, with identities from `uid`.
    pub fn view(&self, node: &str, uid: impl Fn(&Lun) -> String) -> View {
        let mut view = View { complete: self.is_complete(), secrets: self.secrets_seen, ..View::default() };
        for (key, (lun, since)) in &self.luns {
            if lun.spec.node_name.as_deref().is_some_and(|pinned| pinned != node) {
                continue;
            }
            let mut lun = lun.clone();
            let uid = lun.metadata.uid.clone().unwrap_or_else(|| uid(&lun));
            lun.metadata.namespace = Some(key.0.clone());
            lun.metadata.generation = self.generations.get(key).map(|(generation, _)| *generation);
            lun.metadata.creation_timestamp = timestamp(*since);
            lun.metadata.uid = Some(uid.clone());
            view.luns.insert(uid, Arc::new(lun));
        }
        view.snapshots = self.snapshots.iter().map(|(key, snapshot)| placed(node, key, snapshot, &view)).collect();
        view.pools = self.pools.iter().map(|(name, pool)| (name.clone(), Arc::new(pool.clone()))).collect();
        view
    }

    /// The data of one Secret.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<SecretData> {
        self.secrets.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// What is wrong, a line each.
    pub fn notices(&self) -> Vec<String> {
        let files = self.files.iter().filter_map(|(name, file)| {
            let trouble = file.trouble.as_ref()?;
            let before = if file.objects.is_some() { "; what it said before stays in force" } else { "" };
            Some(format!("{name}: {trouble}{before}"))
        });
        self.trouble.iter().cloned().chain(files).chain(self.duplicates.iter().cloned()).collect()
    }

    /// Whether every LUN that someone wants is known: no file is a riddle.
    fn is_complete(&self) -> bool {
        self.trouble.is_none() && self.files.values().all(|file| file.objects.is_some())
    }

    fn read_file(&mut self, directory: &Path, name: String) -> bool {
        let path = directory.join(&name);
        let stamp = Stamp::of(&path);
        let known = self.files.entry(name).or_insert(KnownFile { stamp: None, objects: None, trouble: None });
        if stamp.is_some() && known.stamp == stamp {
            return false;
        }
        known.stamp = stamp;
        let trouble = match parse::file(&path) {
            Ok(objects) => {
                known.objects = Some(objects);
                None
            }
            Err(trouble) => Some(trouble),
        };
        // One that cannot even be looked at is tried each time, and is no news each time.
        let changed = stamp.is_some() || trouble != known.trouble;
        known.trouble = trouble;
        changed
    }

    fn gather(&mut self) {
        (self.luns, self.pools, self.snapshots, self.duplicates) = Default::default();
        let known_secrets = std::mem::take(&mut self.secrets);
        let mut uids = BTreeSet::new();
        for (file, known) in &self.files {
            let Some(objects) = &known.objects else { continue };
            let since = known.stamp.map_or(SystemTime::UNIX_EPOCH, |stamp| stamp.modified);
            for lun in &objects.luns {
                let (namespace, name) = key(lun);
                if lun.metadata.uid.as_ref().is_some_and(|uid| !uids.insert(uid)) {
                    let notice =
                        format!("{file}: Lun {namespace}/{name} has the uid of another: leave metadata.uid out");
                    self.duplicates.push(notice);
                    continue;
                }
                let what = format!("{file}: Lun {namespace}/{name}");
                insert(&mut self.luns, key(lun), (lun.clone(), since), what, &mut self.duplicates);
            }
            for pool in &objects.pools {
                let name = pool.metadata.name.clone().unwrap_or_default();
                let what = format!("{file}: LunPool {name}");
                insert(&mut self.pools, name, pool.clone(), what, &mut self.duplicates);
            }
            for snapshot in &objects.snapshots {
                let metadata = &snapshot.metadata;
                let key = (namespace(metadata.namespace.as_ref()), metadata.name.clone().unwrap_or_default());
                let what = format!("{file}: LunSnapshot {}/{}", key.0, key.1);
                insert(&mut self.snapshots, key, snapshot.clone(), what, &mut self.duplicates);
            }
            for secret in &objects.secrets {
                let key =
                    (namespace(secret.metadata.namespace.as_ref()), secret.metadata.name.clone().unwrap_or_default());
                let what = format!("{file}: Secret {}/{}", key.0, key.1);
                insert(&mut self.secrets, key, parse::secret_data(secret), what, &mut self.duplicates);
            }
        }
        self.secrets_seen += u64::from(self.secrets != known_secrets);
        self.count_generations();
    }

    /// As the API server does: a new spec is a new generation.
    fn count_generations(&mut self) {
        for (key, (lun, _)) in &self.luns {
            let known = self.generations.entry(key.clone()).or_insert_with(|| (1, lun.clone()));
            if known.1.spec != lun.spec {
                *known = (known.0 + 1, lun.clone());
            }
        }
    }
}

/// A snapshot as an operator would have placed it: with the Lun that it is of, if that is served here. Without the Lun
/// it stays what it is.
fn placed(node: &str, key: &Key, snapshot: &LunSnapshot, view: &View) -> (String, Arc<LunSnapshot>) {
    let uid = identity::local_uid(node, &key.0, &format!("snapshots/{}", key.1), 0);
    let mut luns = view.luns.values();
    let of = luns.find(|lun| {
        lun.metadata.namespace.as_ref() == Some(&key.0) && lun.metadata.name.as_ref() == Some(&snapshot.spec.lun)
    });
    let source = of.map(|lun| {
        let uid = lun.metadata.uid.clone().unwrap_or_default();
        SnapshotSource { wwid: identity::wwid(&uid), block_size: lun.spec.block_size, uid }
    });
    let mut snapshot = snapshot.clone();
    snapshot.metadata.namespace = Some(key.0.clone());
    snapshot.metadata.uid = Some(uid.clone());
    snapshot.metadata.generation = Some(1);
    snapshot.status = Some(LunSnapshotStatus {
        node: Some(node.to_owned()),
        pool: of.map(|lun| lun.spec.pool.clone()),
        source,
        ..LunSnapshotStatus::default()
    });
    (uid, Arc::new(snapshot))
}

/// Namespace and name of a Lun.
pub fn key(lun: &Lun) -> Key {
    (namespace(lun.metadata.namespace.as_ref()), lun.metadata.name.clone().unwrap_or_default())
}

fn namespace(given: Option<&String>) -> String {
    given.cloned().unwrap_or_else(|| "default".to_owned())
}

/// The first of a name wins; `what` names the second.
fn insert<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V, what: String, duplicates: &mut Vec<String>) {
    match map.entry(key) {
        Entry::Vacant(place) => drop(place.insert(value)),
        Entry::Occupied(_) => duplicates
            .push(what + " was already given by an earlier file or document, which stays in force: rename one"),
    }
}

fn names(directory: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let manifest = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
        if manifest && !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}

fn timestamp(time: SystemTime) -> Option<Time> {
    Timestamp::try_from(time).ok().map(Time)
}
