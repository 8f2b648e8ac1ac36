//! What a StorageClass and a VolumeAttributesClass may say. The table is also the reference in the book.

use std::collections::HashMap;

use lunette_api::{Qos, QosError, Size, WriteCache};
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
const IMAGE: &str = "image";
const BLOCK_SIZE: &str = "blockSize";
const MKFS_OPTIONS: &str = "mkfsOptions";
const WRITE_CACHE: &str = "writeCache";
const CHAP: &str = "chap";
const IOPS: &str = "iops";
const READ_IOPS: &str = "readIops";
const WRITE_IOPS: &str = "writeIops";
const BYTES_PER_SECOND: &str = "bytesPerSecond";
const BURST_SECONDS: &str = "burstSeconds";
/// What provisioner and resizer add with `--extra-create-metadata` and `--extra-modify-metadata`.
const PVC_NAME: &str = "csi.storage.k8s.io/pvc/name";
const PVC_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
const PV_NAME: &str = "csi.storage.k8s.io/pv/name";

/// All that a user may give.
pub const PARAMETERS: [Parameter; 12] = [
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
        name: IMAGE,
        values: "name of a file in the folder `import` of the pool",
        default: "none: volumes begin empty",
        meaning: "A raw image that every volume of the class begins as, unless its claim has a `dataSource`; volumes are at \
            least as large. `fstype` must be what the image holds; one with partitions is for raw block devices.",
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
    Parameter {
        name: IOPS,
        values: "number from 50; `none`",
        default: "`none`",
        meaning: "Reads and writes a second at most, taken together. Not with `readIops` or `writeIops`.",
        mutable: true,
    },
    Parameter {
        name: READ_IOPS,
        values: "number from 50; `none`",
        default: "`none`",
        meaning: "Reads a second at most.",
        mutable: true,
    },
    Parameter {
        name: WRITE_IOPS,
        values: "number from 50; `none`",
        default: "`none`",
        meaning: "Writes a second at most, discards among them.",
        mutable: true,
    },
    Parameter {
        name: BYTES_PER_SECOND,
        values: "quantity from `4Mi`; `none`",
        default: "`none`",
        meaning: "Bytes a second at most that reads and writes transfer together.",
        mutable: true,
    },
    Parameter {
        name: BURST_SECONDS,
        values: "number up to 3600",
        default: "`0`",
        meaning: "Seconds for which unused allowance is saved up, to be spent at full speed. It needs a limit.",
        mutable: true,
    },
];

/// What the driver understands but no user gives.
const METADATA: [&str; 3] = [PVC_NAME, PVC_NAMESPACE, PV_NAME];

/// The parameters of a volume, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The pool.
    pub pool: String,
    /// The image that volumes begin as.
    pub image: Option<String>,
    /// Bytes of a block.
    pub block_size: u32,
    /// Arguments for mkfs.
    pub mkfs_options: Option<String>,
    /// When writes are acknowledged.
    pub write_cache: WriteCache,
    /// How much I/O it may do at most.
    pub qos: Option<Qos>,
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
    /// Limits that cannot be kept.
    #[error("parameters of QoS cannot be kept: {0}")]
    Qos(#[from] QosError),
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
        let change = Change::read(mutable)?;
        let write_cache = match change.write_cache {
            Some(write_cache) => write_cache,
            None => write_cache(given.get(WRITE_CACHE))?.unwrap_or_default(),
        };
        let qos = change.limits.over(Limits::read(given)?.over(None)?)?;
        Ok(Self {
            pool: text(POOL).ok_or(ClassError::NoPool)?,
            image: image(text(IMAGE))?,
            block_size: block_size(given.get(BLOCK_SIZE))?,
            mkfs_options: text(MKFS_OPTIONS),
            write_cache,
            qos,
            chap: chap(given.get(CHAP))?,
            claim: Claim { namespace: text(PVC_NAMESPACE), name: text(PVC_NAME), volume: text(PV_NAME) },
        })
    }
}

/// What a VolumeAttributesClass changes, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// When writes are acknowledged from now on.
    pub write_cache: Option<WriteCache>,
    /// Which limits are kept from now on.
    pub limits: Limits,
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
        Ok(Self { write_cache: write_cache(given.get(WRITE_CACHE))?, limits: Limits::read(given)? })
    }
}

/// The limits that a class gives. Of those that it does not give (the outer `None`), what was set stays; `none` (the
/// inner one) lifts a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    iops: Option<Option<u32>>,
    read_iops: Option<Option<u32>>,
    write_iops: Option<Option<u32>>,
    bytes_per_second: Option<Option<Size>>,
    burst_seconds: Option<u32>,
}

impl Limits {
    fn read(given: &HashMap<String, String>) -> Result<Self, ClassError> {
        Ok(Self {
            iops: rate(given, IOPS)?,
            read_iops: rate(given, READ_IOPS)?,
            write_iops: rate(given, WRITE_IOPS)?,
            bytes_per_second: given.get(BYTES_PER_SECOND).map(|text| limit(text).map(Size::Quantity)),
            burst_seconds: given
                .get(BURST_SECONDS)
                .map(|text| number(BURST_SECONDS, text, "a whole number of seconds"))
                .transpose()?,
        })
    }

    /// These limits, and of those that were set the ones of which nothing is said here.
    ///
    /// # Errors
    /// When what comes of it cannot be kept.
    pub fn over(&self, set: Option<Qos>) -> Result<Option<Qos>, ClassError> {
        if *self == Self::default() {
            return Ok(set);
        }
        let set = set.unwrap_or_default();
        let qos = Qos {
            iops: self.iops.unwrap_or(set.iops),
            read_iops: self.read_iops.unwrap_or(set.read_iops),
            write_iops: self.write_iops.unwrap_or(set.write_iops),
            bytes_per_second: self.bytes_per_second.clone().unwrap_or(set.bytes_per_second),
            burst_seconds: self.burst_seconds.unwrap_or(set.burst_seconds),
        };
        let says_none =
            [self.iops, self.read_iops, self.write_iops].contains(&Some(None)) || self.bytes_per_second == Some(None);
        let limits_nothing = Qos { burst_seconds: 0, ..qos.clone() } == Qos::default();
        if limits_nothing && says_none {
            return Ok(None);
        }
        qos.check()?;
        Ok(Some(qos))
    }
}

/// What lifts a limit.
const NONE: &str = "none";

fn limit(text: &str) -> Option<String> {
    (text != NONE).then(|| text.to_owned())
}

fn rate(given: &HashMap<String, String>, name: &'static str) -> Result<Option<Option<u32>>, ClassError> {
    let read =
        |text: &String| limit(text).map(|text| number(name, &text, "a whole number from 50, or none")).transpose();
    given.get(name).map(read).transpose()
}

fn number(name: &'static str, text: &str, allowed: &'static str) -> Result<u32, ClassError> {
    text.parse().map_err(|_| wrong(name, text, allowed))
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

fn image(value: Option<String>) -> Result<Option<String>, ClassError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = |name: &String| {
        name.len() <= 253 && name.bytes().all(plain) && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
    };
    match value {
        Some(name) if !is_name(&name) => Err(wrong(
            IMAGE,
            &name,
            "a file's name: letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        )),
        value => Ok(value),
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
mod tests;
