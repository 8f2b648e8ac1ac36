//! What a Lun's spec means for this node: every value parsed and checked, nothing asked of the system.

use lunette_api::{Lun, WriteCache, conditions::reasons, identity};
use lunette_backend::{OpenOptions, VolumeId, VolumeSpec};
use lunette_lio::{Backstore, Iqn, Uid};
use lunette_scsi::{Config, Identity, KeepMode, Limits};

use super::Trouble;
use super::mode_record::ModeRecord;

/// Data area of one LUN's ring in MiB: address space; its pages come on demand and go under pressure.
/// A session of 128 commands of 512 KiB would fill it; more than that waits in LIO's queue.
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
        Ok(Self { uid: uid.clone(), volume, spec, options, iqn, naa })
    }

    /// The backstore that the Lun needs.
    pub fn backstore(&self) -> Backstore {
        let mut backstore = Backstore::new(self.spec.size, self.spec.block_size, self.uid.as_str());
        backstore.data_area_mb = DATA_AREA_MB;
        backstore
    }

    /// What the LUN tells initiators of itself.
    pub fn scsi(&self, record: ModeRecord) -> Config {
        let max_transfer = self.backstore().max_sectors.saturating_mul(self.spec.block_size);
        let limits = Limits { max_transfer, ..Limits::default() };
        let mode = record.read().unwrap_or_default();
        let keep_mode: KeepMode = Box::new(move |mode| record.write(mode));
        let identity = Identity::new(self.naa, self.uid.as_str());
        Config { limits, mode, keep_mode: Some(keep_mode), ..Config::new(identity) }
    }
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

fn naa_bytes(wwid: &str) -> Option<[u8; 16]> {
    let digits = wwid.strip_prefix("naa.").filter(|digits| digits.len() == 32)?;
    let value = u128::from_str_radix(digits, 16).ok()?;
    Some(value.to_be_bytes())
}
