//! Steps for the backstore: HBA, device, `control`, serial, attributes, `enable`.
//!
//! Every `control` line says `nl_reply_supported=-1`: with any other value the kernel would wait, possibly for ever,
//! for a netlink answer that nobody sends (tcmu.md §2.3).

use super::{Conflict, Plan};
use crate::name::dev_config;
use crate::node::Node;
use crate::step::Step;
use crate::tree::{Backstore, Found, Lun};

/// Attributes that the kernel lets be written under a running export.
const LIVE: &[&str] = &["qfull_time_out", "tmr_notification"];

pub(super) fn change(have: &Found, want: &Backstore, plan: &mut Plan) -> Result<(), Conflict> {
    if let Some((node, why)) = &have.foreign {
        return Err(Conflict::Foreign { node: node.clone(), why: why.clone() });
    }
    if want.size == 0 || want.block_size == 0 || !want.size.is_multiple_of(u64::from(want.block_size)) {
        return Err(Conflict::Size { size: want.size, block_size: want.block_size });
    }
    match &have.export.backstore {
        Some(old) if old.enabled => adjust(have, old, want, plan),
        old => {
            make(have, old.as_ref(), want, &mut plan.backstore);
            Ok(())
        }
    }
}

pub(super) fn remove(have: &Found) -> Vec<Step> {
    let device = have.export.backstore.as_ref().map(|_| Step::Rmdir(have.device()));
    let hba = (have.hba.exists && !have.hba.shared).then(|| Step::Rmdir(Node::hba(have.hba.number)));
    device.into_iter().chain(hba).collect()
}

/// From nothing, or from what an interrupted attempt left: all of it is written again.
fn make(have: &Found, old: Option<&Backstore>, want: &Backstore, steps: &mut Vec<Step>) {
    let device = have.device();
    if !have.hba.exists {
        steps.push(Step::Mkdir(Node::hba(have.hba.number)));
    }
    if old.is_none() {
        steps.push(Step::Mkdir(device.clone()));
    }
    steps.push(Step::write(device.child("control"), control(have, want)));
    steps.push(Step::write(device.child("wwn/vpd_unit_serial"), &want.unit_serial));
    let attrib = device.child("attrib");
    steps.extend(want.attrib.iter().map(|(name, value)| Step::write(attrib.child(name), value)));
    steps.push(Step::Enable(device));
}

fn control(have: &Found, want: &Backstore) -> String {
    let config = dev_config(&have.uid);
    let Backstore { size, block_size, max_sectors, data_area_mb, .. } = want;
    let mut line = format!(
        "nl_reply_supported=-1,dev_config={config},dev_size={size},hw_block_size={block_size},hw_max_sectors={max_sectors},max_data_area_mb={data_area_mb}"
    );
    if let Some(ring) = want.ring_mb {
        line.push_str(&format!(",cmd_ring_size_mb={ring}"));
    }
    line
}

/// A living device: it may grow and be tuned, its identity stays.
fn adjust(have: &Found, old: &Backstore, want: &Backstore, plan: &mut Plan) -> Result<(), Conflict> {
    let node = have.device();
    same(&node, "the block size", &old.block_size, &want.block_size)?;
    same(&node, "the unit serial number", &old.unit_serial, &want.unit_serial)?;
    if want.size < old.size {
        return Err(Conflict::Shrink { node, have: old.size, want: want.size });
    }
    defer_tuning(old, want, plan);
    let exported = is_exported(have);
    for (name, value) in want.attrib.differing(&old.attrib) {
        if exported && !LIVE.contains(&name) {
            plan.deferred.push(format!("{name}={value}"));
        } else {
            plan.backstore.push(Step::write(node.child("attrib").child(name), value));
        }
    }
    if want.size > old.size {
        // Not attrib/dev_size: that one asks a netlink listener for leave.
        let line = format!("nl_reply_supported=-1,dev_size={}", want.size);
        plan.backstore.push(Step::write(node.child("control"), line));
    }
    Ok(())
}

fn same<T: PartialEq + ToString>(node: &Node, what: &'static str, have: &T, want: &T) -> Result<(), Conflict> {
    if have == want {
        return Ok(());
    }
    Err(Conflict::Immutable { node: node.clone(), what, have: have.to_string(), want: want.to_string() })
}

/// Sizes of the ring and its buffers are nobody's data: a new release may want others, and must not stop for it.
fn defer_tuning(old: &Backstore, want: &Backstore, plan: &mut Plan) {
    let mut differs = |what: &str, have: u32, want: u32| {
        if have != want {
            plan.deferred.push(format!("{what}={want}"));
        }
    };
    differs("hw_max_sectors", old.max_sectors, want.max_sectors);
    differs("max_data_area_mb", old.data_area_mb, want.data_area_mb);
    if let (Some(have), Some(want)) = (old.ring_mb, want.ring_mb) {
        differs("cmd_ring_size_mb", have, want);
    }
}

/// Whether a LUN of ours links to the device.
fn is_exported(have: &Found) -> bool {
    let tpgs = have.export.target.iter().flat_map(|target| target.tpgs.values());
    let local = have.export.local.iter().flat_map(|local| &local.lun);
    tpgs.flat_map(|tpg| tpg.luns.values()).chain(local).any(|lun| *lun == Lun::Linked)
}
