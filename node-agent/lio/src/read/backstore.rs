//! Finds the backstore of a LUN among the HBA directories, or the place where it would go.
//!
//! A device is ours if it has our name and our `dev_config`; one of our name without any `dev_config` was left
//! half-made by us. Our name with another `dev_config` is somebody else's.

use super::{ReadError, directories, list, number, optional_number, settings, text};
use crate::configfs::{Configfs, EntryKind};
use crate::name::{BackstoreName, HbaNumber, Uid, dev_config};
use crate::node::Node;
use crate::settings::DEVICE_ATTRIB;
use crate::tree::{Backstore, HbaPlace};

type Foreign = Option<(Node, String)>;

/// Where the backstore is or would go, what bars its name, and the backstore itself.
pub(super) fn find(fs: &dyn Configfs, uid: &Uid) -> Result<(HbaPlace, Foreign, Option<Backstore>), ReadError> {
    let mut foreign = None;
    for hba in candidates(fs, uid)? {
        let device = Node::device(hba, uid);
        let Some(config) = text(fs, &device.child("attrib/dev_config"))? else { continue };
        let config = config.trim().to_owned();
        if config.is_empty() || config == dev_config(uid) {
            let shared = holds_others(fs, hba, uid)?;
            let place = HbaPlace { number: hba, exists: true, shared };
            return Ok((place, None, Some(read(fs, &device)?)));
        }
        foreign = Some((device, format!("its dev_config is {config:?}, not {:?}", dev_config(uid))));
    }
    Ok((vacancy(fs, uid)?, foreign, None))
}

/// So many places a backstore may be from its derived one on. With a range of 1.6 billion, so many neighbours in a row
/// are never met.
const PLACES: usize = 8;

/// The HBAs to look into, the likeliest first: its own places, also behind a neighbour that has gone since, and those
/// of others. The rest of our range is other LUNs', and one LUN's way must not grow with their number.
fn candidates(fs: &dyn Configfs, uid: &Uid) -> Result<Vec<HbaNumber>, ReadError> {
    let derived = HbaNumber::derived(uid);
    let ours = BackstoreName::of(uid);
    if directories(fs, &Node::hba(derived))?.iter().any(|name| name == ours.as_str()) {
        return Ok(vec![derived]);
    }
    let own = std::iter::successors(Some(derived), |place| Some(place.next())).take(PLACES);
    let of_others = super::hbas(fs)?.into_iter().filter(|hba| !hba.is_derived());
    Ok(own.chain(of_others).collect())
}

/// The first place from the derived number on that is free: no such directory, or an empty one.
///
/// An empty one there was left by us between two steps: nobody else makes HBAs with such numbers.
fn vacancy(fs: &dyn Configfs, uid: &Uid) -> Result<HbaPlace, ReadError> {
    let mut number = HbaNumber::derived(uid);
    while !directories(fs, &Node::hba(number))?.is_empty() {
        number = number.next();
    }
    Ok(HbaPlace { number, exists: super::exists(fs, &Node::hba(number))?, shared: false })
}

fn holds_others(fs: &dyn Configfs, hba: HbaNumber, uid: &Uid) -> Result<bool, ReadError> {
    let ours = BackstoreName::of(uid);
    let entries = list(fs, &Node::hba(hba))?;
    Ok(entries.iter().any(|entry| entry.kind == EntryKind::Directory && entry.name != ours.as_str()))
}

fn read(fs: &dyn Configfs, device: &Node) -> Result<Backstore, ReadError> {
    let attrib = device.child("attrib");
    let serial = text(fs, &device.child("wwn/vpd_unit_serial"))?.unwrap_or_default();
    Ok(Backstore {
        size: number(fs, &attrib.child("dev_size"))?,
        block_size: number(fs, &attrib.child("hw_block_size"))?,
        max_sectors: number(fs, &attrib.child("hw_max_sectors"))?,
        data_area_mb: number(fs, &attrib.child("max_data_area_mb"))?,
        ring_mb: optional_number(fs, &attrib.child("cmd_ring_size_mb"))?,
        unit_serial: serial.trim_start_matches("T10 VPD Unit Serial Number: ").trim().to_owned(),
        attrib: settings(fs, &attrib, DEVICE_ATTRIB)?,
        enabled: number::<u8>(fs, &device.child("enable"))? != 0,
    })
}
