//! What a Lun's spec means for this node: every value parsed and checked, nothing asked of the system.

use std::num::NonZero;
use std::time::Duration;

use lunette_api::{Lun, Qos, QosError, WriteCache, conditions::reasons, identity};
use lunette_backend::{OpenOptions, VolumeId, VolumeSpec};
use lunette_lio::{Backstore, Iqn, Uid};
use lunette_scsi::{Access, Config, Identity, KeepMode, Limits};

use super::mode_record::ModeRecord;
use crate::lun::Rates;
use crate::trouble::Trouble;

/// Data area of one LUN's ring in MiB: address space; its pages come on demand and go under pressure.
/// 32 commands of the largest size, 2 MiB, fill it, or 128 of the size that suits it best; more than that waits in LIO's queue.
const DATA_AREA_MB: u32 = 64;

/// A Lun, understood.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose export.
    pub uid: Uid,
    /// The volume in the pool.
    pub volume: VolumeId,
    /// What the volume is to be.
    pub spec: VolumeSpec,
    /// How it is opened.
    pub options: OpenOptions,
    /// The target's name.
    pub iqn: Iqn,
    /// The device's NAA designator, 16 bytes.
    pub naa: [u8; 16],
    /// How much I/O it may do at most.
    pub limits: Option<Rates>,
}

impl Wanted {
    /// Reads a Lun.
    ///
    /// # Errors
    /// What in its spec can never be served.
    pub fn read(uid: &Uid, lun: &Lun) -> Result<Self, Trouble> {
        let invalid = |message: String| Trouble::new(reasons::INVALID_SPEC, message);
        let volume = VolumeId::parse(uid.as_str()).ok_or_else(|| invalid(format!("the UID {uid} is no UUID")))?;
        let spec = VolumeSpec { size: size(lun)?, block_size: block_size(lun)?, owner: owner(lun) };
        let write_cache = lun.spec.write_cache == WriteCache::WriteBack;
        let options = OpenOptions { block_size: spec.block_size, read_only: only_readers(lun), write_cache };
        let iqn = identity::iqn(uid.as_str()).parse().map_err(|error| invalid(format!("{error}")))?;
        let wwid = identity::wwid(uid.as_str());
        let naa = naa_bytes(&wwid).ok_or_else(|| invalid(format!("the identity {wwid} is no NAA designator")))?;
        let limits = lun.spec.qos.as_ref().map(limits).transpose()?;
        Ok(Self { uid: uid.clone(), volume, spec, options, iqn, naa, limits })
    }

    /// The backstore that the Lun needs.
    pub fn backstore(&self) -> Backstore {
        let mut backstore = Backstore::new(self.spec.size, self.spec.block_size, self.uid.as_str());
        backstore.data_area_mb = DATA_AREA_MB;
        backstore
    }

    /// What the LUN tells initiators of itself, and how it can be reached as far as that is known.
    pub fn scsi(&self, record: ModeRecord, access: Option<Access>) -> Config {
        let max_transfer = self.backstore().max_sectors.saturating_mul(self.spec.block_size);
        let limits = Limits { max_transfer, ..Limits::default() };
        let mode = record.read().unwrap_or_default();
        let keep_mode: KeepMode = Box::new(move |mode| record.write(mode));
        let uuid = uuid_bytes(self.uid.as_str());
        let identity = Identity { uuid, ..Identity::new(self.naa, self.uid.as_str()) };
        Config { limits, mode, keep_mode: Some(keep_mode), access, ..Config::new(identity) }
    }
}

/// Reads the Lun of a manifest as its worker would.
///
/// # Errors
/// What in it can never be served.
pub fn check(lun: &Lun) -> Result<(), String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let derived = || identity::local_uid("", &text(&lun.metadata.namespace), &text(&lun.metadata.name), 0);
    let uid = lun.metadata.uid.clone().unwrap_or_else(derived);
    let uid = Uid::parse(&uid).map_err(|error| error.to_string())?;
    Wanted::read(&uid, lun).map(drop).map_err(|trouble| trouble.message)
}

/// Whether nobody who may log in may write. LIO refuses a read-only initiator's writes by their declared
/// direction alone, so the volume is opened read-only too where that harms nobody.
fn only_readers(lun: &Lun) -> bool {
    !lun.spec.initiators.is_empty() && lun.spec.initiators.iter().all(|initiator| initiator.read_only)
}

/// `namespace/name`.
pub fn owner(lun: &Lun) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    format!("{}/{}", text(&lun.metadata.namespace), text(&lun.metadata.name))
}

fn size(lun: &Lun) -> Result<u64, Trouble> {
    let size = lun.spec.size.bytes().map_err(|error| Trouble::new(reasons::INVALID_SPEC, error.to_string()))?;
    let block = u64::from(block_size(lun)?);
    if size.is_multiple_of(block) {
        return Ok(size);
    }
    let message = format!(
        "size {} is not a multiple of the block size {block}: round it up to {}",
        lun.spec.size,
        size.div_ceil(block) * block
    );
    Err(Trouble::new(reasons::INVALID_SPEC, message))
}

fn block_size(lun: &Lun) -> Result<u32, Trouble> {
    match lun.spec.block_size {
        size @ (512 | 4096) => Ok(size),
        other => {
            Err(Trouble::new(reasons::INVALID_SPEC, format!("block size {other} is not served: write 512 or 4096")))
        }
    }
}

fn limits(qos: &Qos) -> Result<Rates, Trouble> {
    let invalid = |error: QosError| Trouble::new(reasons::INVALID_SPEC, error.to_string());
    qos.check().map_err(invalid)?;
    let rate = |rate: Option<u32>| rate.and_then(|rate| NonZero::new(u64::from(rate)));
    Ok(Rates {
        operations: rate(qos.iops),
        reads: rate(qos.read_iops),
        writes: rate(qos.write_iops),
        bytes: qos.bytes_per_second().map_err(invalid)?.and_then(NonZero::new),
        burst: Duration::from_secs(u64::from(qos.burst_seconds)),
    })
}

fn naa_bytes(wwid: &str) -> Option<[u8; 16]> {
    let digits = wwid.strip_prefix("naa.").filter(|digits| digits.len() == 32)?;
    let value = u128::from_str_radix(digits, 16).ok()?;
    Some(value.to_be_bytes())
}

/// The bytes of a UID that is a UUID, as those of the API server are.
fn uuid_bytes(uid: &str) -> Option<[u8; 16]> {
    let digits: String = uid.split('-').collect();
    let is_uuid = uid.len() == 36 && digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_uuid.then(|| u128::from_str_radix(&digits, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use lunette_api::conditions::reasons;
    use serde_json::{Value, json};

    use super::*;

    const UID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

    fn read(spec: &Value) -> Result<Wanted, Trouble> {
        let mut whole = json!({"pool": "files", "size": "1Gi"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let lun: Lun = serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "spec": whole,
            "metadata": {"name": "db", "namespace": "prod"},
        }))
        .unwrap();
        Wanted::read(&Uid::parse(UID).unwrap(), &lun)
    }

    #[test]
    fn a_lun_is_understood() {
        let wanted = read(&json!({"blockSize": 4096, "writeCache": "WriteThrough"})).unwrap();
        let spec = VolumeSpec { size: 1 << 30, block_size: 4096, owner: "prod/db".to_owned() };
        assert_eq!(wanted.spec, spec);
        assert_eq!(wanted.options, OpenOptions { block_size: 4096, read_only: false, write_cache: false });
        assert_eq!(wanted.iqn.as_str(), identity::iqn(UID));
        let naa: String = wanted.naa.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("naa.{naa}"), identity::wwid(UID));
    }

    #[test]
    fn a_uid_that_is_a_uuid_becomes_a_designator() {
        let uuid = uuid_bytes(UID).unwrap();
        assert_eq!((uuid[..2].to_vec(), uuid[14..].to_vec()), (vec![0x3f, 0xa8], vec![0xaf, 0xa6]));
        for other in ["lun-1", "", "3fa85f64571745628b3fc2c963f66afa6xxxx", "+fa85f64-5717-4562-b3fc-2c963f66afa6"] {
            assert_eq!(uuid_bytes(other), None, "{other}");
        }
    }

    #[test]
    fn what_can_never_be_served_says_why() {
        for (spec, message) in [
            (json!({"size": 0}), "size 0 is not positive: a Lun needs at least one block"),
            (json!({"size": "-1Gi"}), "size -1Gi is not positive: a Lun needs at least one block"),
            (json!({"size": "1000"}), "size 1000 is not a multiple of the block size 512: round it up to 1024"),
            (
                json!({"size": "5Ki", "blockSize": 4096}),
                "size 5Ki is not a multiple of the block size 4096: round it up to 8192",
            ),
            (json!({"size": "8Ei"}), "size 8Ei is not below 8Ei"),
            (json!({"blockSize": 1024}), "block size 1024 is not served: write 512 or 4096"),
            (json!({"qos": {"iops": 49}}), lunette_api::rules::QOS_IOPS.1),
        ] {
            let trouble = read(&spec).unwrap_err();
            assert_eq!((trouble.reason, trouble.message.as_str()), (reasons::INVALID_SPEC, message));
        }
    }

    #[test]
    fn limits_are_understood() {
        let qos = json!({"readIops": 100, "writeIops": 50, "bytesPerSecond": "8Mi", "burstSeconds": 3});
        let limits = read(&json!({"qos": qos})).unwrap().limits.unwrap();
        let rates = [limits.operations, limits.reads, limits.writes, limits.bytes].map(|rate| rate.map(NonZero::get));
        assert_eq!(rates, [None, Some(100), Some(50), Some(8 << 20)]);
        assert_eq!(limits.burst, Duration::from_secs(3));
        assert_eq!(read(&json!({})).unwrap().limits, None);
    }

    #[test]
    fn a_volume_is_read_only_where_nobody_may_write() {
        let (reader, writer) = (json!({"iqn": "iqn.2026-01.a:r", "readOnly": true}), json!({"iqn": "iqn.2026-01.a:w"}));
        for (initiators, read_only) in
            [(json!([]), false), (json!([reader]), true), (json!([writer]), false), (json!([reader, writer]), false)]
        {
            assert_eq!(read(&json!({"initiators": initiators})).unwrap().options.read_only, read_only, "{initiators}");
        }
    }
}
