//! What a StorageClass and a VolumeAttributesClass may say. The table is also the reference in the book.

use std::collections::HashMap;

use lunette_api::WriteCache;
use thiserror::Error;

use super::failure::{Failure, Kind};

/// One parameter.
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What it may be.
    pub values: &'static str,
    /// What holds where it is not given.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Whether a VolumeAttributesClass may give it, too.
    pub mutable: bool,
}

const POOL: &str = "pool";
const FS_TYPE: &str = "csi.storage.k8s.io/fstype";
const BLOCK_SIZE: &str = "blockSize";
const MKFS_OPTIONS: &str = "mkfsOptions";
const WRITE_CACHE: &str = "writeCache";
const CHAP: &str = "chap";
/// What provisioner and resizer add with `--extra-create-metadata` and `--extra-modify-metadata`.
const PVC_NAME: &str = "csi.storage.k8s.io/pvc/name";
const PVC_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
const PV_NAME: &str = "csi.storage.k8s.io/pv/name";

/// All that a user may give.
pub const PARAMETERS: [Parameter; 6] = [
    Parameter {
        name: POOL,
        values: "name of a LunPool",
        default: "none: it must be given",
        meaning: "Where the data live. Pools with `spec.namespaces` serve claims of those namespaces only.",
        mutable: false,
    },
    Parameter {
        name: FS_TYPE,
        values: "`ext4`, `xfs`, `btrfs`",
        default: "`ext4`",
        meaning: "The file system of volumes that are not raw block devices.",
        mutable: false,
    },
    Parameter {
        name: BLOCK_SIZE,
        values: "`512`, `4096`",
        default: "`512`",
        meaning: "Bytes of a logical block. Sizes are rounded up to it.",
        mutable: false,
    },
    Parameter {
        name: MKFS_OPTIONS,
        values: "arguments, separated by spaces",
        default: "none",
        meaning: "Given to `mkfs` when a volume is formatted.",
        mutable: false,
    },
    Parameter {
        name: WRITE_CACHE,
        values: "`WriteBack`, `WriteThrough`",
        default: "`WriteBack`",
        meaning: "Whether a write may be acknowledged before it is durable; file systems flush where they must. It can \
            become `WriteBack` only while no node has the volume attached: who found no cache does not flush.",
        mutable: true,
    },
    Parameter {
        name: CHAP,
        values: "`true`, `false`",
        default: "`true`",
        meaning: "Whether nodes prove who they are when they log in. Each node has a password of its own for each \
            volume, made when the volume is attached and gone when it is detached.",
        mutable: false,
    },
];

/// What the driver understands but no user gives.
const METADATA: [&str; 3] = [PVC_NAME, PVC_NAMESPACE, PV_NAME];

/// The parameters of a volume, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The pool.
    pub pool: String,
    /// Bytes of a block.
    pub block_size: u32,
    /// Arguments for mkfs.
    pub mkfs_options: Option<String>,
    /// When writes are acknowledged.
    pub write_cache: WriteCache,
    /// Whether nodes log in with CHAP.
    pub chap: bool,
    /// For whom it is.
    pub claim: Claim,
}

/// The claim behind a volume, where the provisioner says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The PersistentVolumeClaim's namespace.
    pub namespace: Option<String>,
    /// The PersistentVolumeClaim's name.
    pub name: Option<String>,
    /// The PersistentVolume's name.
    pub volume: Option<String>,
}

/// Why parameters are refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClassError {
    /// There is no such parameter.
    #[error("parameter {0:?} is not known: see the reference of StorageClass parameters; known are {known}", known = names(false))]
    Unknown(String),
    /// It cannot be changed.
    #[error("parameter {0:?} cannot be given in a VolumeAttributesClass: that may give {known}", known = names(true))]
    NotMutable(String),
    /// No pool.
    #[error("parameter \"pool\" is missing: name the LunPool where the data are to live (kubectl get lunpools)")]
    NoPool,
    /// Not one of its values.
    #[error("parameter {name:?} is {value:?}: it must be {allowed}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

impl Failure for ClassError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

fn names(mutable: bool) -> String {
    let names: Vec<&str> = PARAMETERS.iter().filter(|p| p.mutable || !mutable).map(|p| p.name).collect();
    names.join(", ")
}

impl Class {
    /// Reads a StorageClass's parameters and, over them, a VolumeAttributesClass's.
    ///
    /// # Errors
    /// What is unknown, missing or not to be had.
    pub fn read(given: &HashMap<String, String>, mutable: &HashMap<String, String>) -> Result<Self, ClassError> {
        let is_known = |key: &str| METADATA.contains(&key) || PARAMETERS.iter().any(|p| p.name == key);
        if let Some(key) = given.keys().filter(|key| !is_known(key)).min() {
            return Err(ClassError::Unknown(key.clone()));
        }
        let text = |key: &str| given.get(key).filter(|value| !value.is_empty()).cloned();
        file_system(given.get(FS_TYPE))?;
        let write_cache = match Change::read(mutable)?.write_cache {
            Some(write_cache) => write_cache,
            None => write_cache(given.get(WRITE_CACHE))?.unwrap_or_default(),
        };
        Ok(Self {
            pool: text(POOL).ok_or(ClassError::NoPool)?,
            block_size: block_size(given.get(BLOCK_SIZE))?,
            mkfs_options: text(MKFS_OPTIONS),
            write_cache,
            chap: chap(given.get(CHAP))?,
            claim: Claim { namespace: text(PVC_NAMESPACE), name: text(PVC_NAME), volume: text(PV_NAME) },
        })
    }
}

/// What a VolumeAttributesClass changes, understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// When writes are acknowledged from now on.
    pub write_cache: Option<WriteCache>,
}

impl Change {
    /// Reads a VolumeAttributesClass's parameters.
    ///
    /// # Errors
    /// What is unknown, cannot change or is not to be had.
    pub fn read(given: &HashMap<String, String>) -> Result<Self, ClassError> {
        let is_mutable = |key: &str| METADATA.contains(&key) || PARAMETERS.iter().any(|p| p.mutable && p.name == key);
        if let Some(key) = given.keys().filter(|key| !is_mutable(key)).min() {
            return Err(ClassError::NotMutable(key.clone()));
        }
        Ok(Self { write_cache: write_cache(given.get(WRITE_CACHE))? })
    }
}

/// Whether a file system is one of ours; empty is the default.
///
/// # Errors
/// When it is none.
pub fn file_system(value: Option<&String>) -> Result<(), ClassError> {
    match value.map_or("", String::as_str) {
        "" | "ext4" | "xfs" | "btrfs" => Ok(()),
        other => Err(wrong(FS_TYPE, other, "ext4, xfs or btrfs")),
    }
}

fn block_size(value: Option<&String>) -> Result<u32, ClassError> {
    match value.map_or("512", String::as_str) {
        "512" => Ok(512),
        "4096" => Ok(4096),
        other => Err(wrong(BLOCK_SIZE, other, "512 or 4096")),
    }
}

fn write_cache(value: Option<&String>) -> Result<Option<WriteCache>, ClassError> {
    match value.map(String::as_str) {
        None => Ok(None),
        Some("WriteBack") => Ok(Some(WriteCache::WriteBack)),
        Some("WriteThrough") => Ok(Some(WriteCache::WriteThrough)),
        Some(other) => Err(wrong(WRITE_CACHE, other, "WriteBack or WriteThrough")),
    }
}

fn chap(value: Option<&String>) -> Result<bool, ClassError> {
    match value.map_or("true", String::as_str) {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(wrong(CHAP, other, "true or false")),
    }
}

fn wrong(name: &'static str, value: &str, allowed: &'static str) -> ClassError {
    ClassError::Value { name, value: value.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Class, ClassError> {
        Class::read(&map(pairs), &HashMap::new())
    }

    #[test]
    fn a_pool_is_all_that_must_be_said() {
        let class = read(&[("pool", "fast")]).expect("it is enough");
        let defaults = Class {
            pool: "fast".to_owned(),
            block_size: 512,
            mkfs_options: None,
            write_cache: WriteCache::WriteBack,
            chap: true,
            claim: Claim::default(),
        };
        assert_eq!(class, defaults);
        assert_eq!(read(&[]), Err(ClassError::NoPool));
        assert_eq!(read(&[("pool", "")]), Err(ClassError::NoPool));
    }

    #[test]
    fn every_parameter_is_understood() {
        let class = read(&[
            ("pool", "fast"),
            ("csi.storage.k8s.io/fstype", "xfs"),
            ("blockSize", "4096"),
            ("mkfsOptions", "-K -q"),
            ("writeCache", "WriteThrough"),
            ("chap", "false"),
            ("csi.storage.k8s.io/pvc/name", "data"),
            ("csi.storage.k8s.io/pvc/namespace", "prod"),
            ("csi.storage.k8s.io/pv/name", "pvc-1"),
        ])
        .expect("all of it is known");
        assert_eq!((class.block_size, class.mkfs_options.as_deref(), class.chap), (4096, Some("-K -q"), false));
        assert_eq!(class.write_cache, WriteCache::WriteThrough);
        assert_eq!(class.claim.namespace.as_deref(), Some("prod"));
        for parameter in &PARAMETERS {
            assert!(!matches!(read(&[(parameter.name, "?")]), Err(ClassError::Unknown(_))), "{}", parameter.name);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        assert_eq!(read(&[("pool", "fast"), ("Pool", "x")]), Err(ClassError::Unknown("Pool".to_owned())));
        for (name, value, says) in [
            ("blockSize", "1024", "parameter \"blockSize\" is \"1024\": it must be 512 or 4096"),
            ("writeCache", "on", "parameter \"writeCache\" is \"on\": it must be WriteBack or WriteThrough"),
            ("chap", "no", "parameter \"chap\" is \"no\": it must be true or false"),
            (FS_TYPE, "ntfs", "parameter \"csi.storage.k8s.io/fstype\" is \"ntfs\": it must be ext4, xfs or btrfs"),
        ] {
            assert_eq!(read(&[("pool", "fast"), (name, value)]).expect_err("refused").to_string(), says);
        }
    }

    #[test]
    fn an_attributes_class_may_say_only_what_can_change() {
        let change = |pairs: &[(&str, &str)]| Change::read(&map(pairs));
        assert_eq!(change(&[]), Ok(Change::default()));
        let through = Some(WriteCache::WriteThrough);
        assert_eq!(change(&[("writeCache", "WriteThrough")]), Ok(Change { write_cache: through }));
        assert_eq!(change(&[("pool", "other")]), Err(ClassError::NotMutable("pool".to_owned())));
        let both =
            Class::read(&map(&[("pool", "p"), ("writeCache", "WriteBack")]), &map(&[("writeCache", "WriteThrough")]));
        assert_eq!(both.map(|class| class.write_cache), Ok(WriteCache::WriteThrough));
    }
}
