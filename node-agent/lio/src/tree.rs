//! The plain data: what one LUN's export is, as wanted and as found.
//!
//! The same [`Export`] describes both. What is wanted is made by the constructors here; what was found may be
//! half-made, and comes wrapped in [`Found`] with what only configfs can tell: in which HBA it is, and what stands
//! in the way.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::iqn::Iqn;
use crate::name::{HbaNumber, LunNumber, TpgTag, Uid};
use crate::node::Node;
use crate::portal::Portal;
use crate::secret::Chap;
use crate::settings::Settings;
use crate::step::Step;

/// Everything of ours in configfs, by LUN.
pub type Tree = BTreeMap<Uid, Found>;

/// Everything of one LUN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Export {
    /// The TCMU device.
    pub backstore: Option<Backstore>,
    /// The iSCSI target.
    pub target: Option<Target>,
    /// The target behind this machine's own disk.
    pub local: Option<LocalDisk>,
}

/// The TCMU device of one LUN, `core/user_<n>/lunette-<uid>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backstore {
    /// Bytes; a multiple of the block size. May grow while the device lives, never shrink.
    pub size: u64,
    /// Bytes; fixed once enabled.
    pub block_size: u32,
    /// The largest request, in blocks, for whoever asks LIO; fixed once enabled.
    pub max_sectors: u32,
    /// MiB of the data area; fixed once enabled.
    pub data_area_mb: u32,
    /// MiB of mailbox and command ring; `None` where the kernel (before 6.1) has no such choice. Fixed once enabled.
    pub ring_mb: Option<u32>,
    /// `wwn/vpd_unit_serial`: names the file of persistent reservations; fixed once enabled.
    pub unit_serial: String,
    /// `attrib/`.
    pub attrib: Settings,
    /// Whether the device is configured, and so has its `/dev/uioN`.
    pub enabled: bool,
}

impl Backstore {
    /// A device with the settings that suit us (tcmu.md §1.6, §7).
    ///
    /// No command timeout: a command that waits for a restarting agent must not become an I/O error. And to be told of
    /// task management, so that an initiator that gives a command up need not wait for storage that hangs.
    pub fn new(size: u64, block_size: u32, unit_serial: impl Into<String>) -> Backstore {
        Backstore {
            size,
            block_size,
            max_sectors: (2 << 20) / block_size.max(1),
            data_area_mb: 64,
            ring_mb: Some(1),
            unit_serial: unit_serial.into(),
            attrib: Settings::from([("cmd_time_out", "0"), ("qfull_time_out", "10"), ("tmr_notification", "1")]),
            enabled: true,
        }
    }
}

/// The iSCSI target of one LUN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its name.
    pub iqn: Iqn,
    /// Its portal groups; one in what we want.
    pub tpgs: BTreeMap<TpgTag, Tpg>,
}

impl Target {
    /// A target with one TPG and LUN 0, open to the listed initiators only.
    pub fn new(iqn: Iqn, portals: impl IntoIterator<Item = Portal>, acls: BTreeMap<Iqn, Acl>) -> Target {
        Target { iqn, tpgs: BTreeMap::from([(TpgTag::ONLY, Tpg::new(portals, acls))]) }
    }
}

/// A target portal group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tpg {
    /// Whether it accepts logins.
    pub enabled: bool,
    /// `attrib/`.
    pub attrib: Settings,
    /// `param/`, without `AuthMethod`.
    pub param: Settings,
    /// `param/AuthMethod`.
    pub auth_method: String,
    /// Where it listens.
    pub portals: BTreeSet<Portal>,
    /// Its logical units.
    pub luns: BTreeMap<LunNumber, Lun>,
    /// Who may log in.
    pub acls: BTreeMap<Iqn, Acl>,
}

impl Tpg {
    /// The commands an initiator may have outstanding per session.
    pub const CMDSN_DEPTH: u32 = 128;

    /// A closed TPG (no demo mode, invisible to strangers) with LUN 0 and the performance settings of tcmu.md §4.2.
    ///
    /// CHAP is demanded by the TPG as soon as one initiator has it, and of nobody when no listed initiator has:
    /// then the per-ACL attribute, which kernels before 6.1 lack, is not needed. A TPG that lists nobody demands it.
    pub fn new(portals: impl IntoIterator<Item = Portal>, acls: BTreeMap<Iqn, Acl>) -> Tpg {
        let with_chap = acls.values().filter(|acl| acl.chap.is_some()).count();
        let demands = with_chap > 0 || acls.is_empty();
        let mut attrib = Settings::from([
            ("cache_dynamic_acls", "0"),
            ("demo_mode_discovery", "0"),
            ("demo_mode_write_protect", "1"),
            ("generate_node_acls", "0"),
            ("prod_mode_write_protect", "0"),
        ]);
        attrib.set("authentication", if demands { "1" } else { "0" });
        attrib.set("default_cmdsn_depth", Self::CMDSN_DEPTH.to_string());
        let auth_method = if with_chap == acls.len() { "CHAP" } else { "CHAP,None" };
        Tpg {
            enabled: true,
            attrib,
            param: Tpg::performance(),
            auth_method: auth_method.to_owned(),
            portals: portals.into_iter().collect(),
            luns: BTreeMap::from([(LunNumber(0), Lun::Linked)]),
            acls,
        }
    }

    /// What stands before the first step.
    pub(crate) fn unmade() -> Tpg {
        Tpg {
            enabled: false,
            attrib: Settings::new(),
            param: Settings::new(),
            auth_method: String::new(),
            portals: BTreeSet::new(),
            luns: BTreeMap::new(),
            acls: BTreeMap::new(),
        }
    }

    /// Whether an ACL that says nothing about it demands CHAP.
    pub(crate) fn demands_chap(&self) -> bool {
        self.attrib.get("authentication") != Some("0")
    }

    /// Whole 256 KiB PDUs, and data sent with the command.
    fn performance() -> Settings {
        Settings::from([
            ("FirstBurstLength", "262144"),
            ("ImmediateData", "Yes"),
            ("InitialR2T", "No"),
            ("MaxBurstLength", "524288"),
            ("MaxRecvDataSegmentLength", "262144"),
            ("MaxXmitDataSegmentLength", "262144"),
        ])
    }
}

/// A logical unit of a TPG.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Lun {
    /// The directory alone.
    Bare,
    /// Linked to this export's own backstore.
    Linked,
    /// Linked to something else; never wanted, only found.
    Foreign {
        /// The link.
        link: Node,
        /// What it points at.
        to: String,
    },
}

/// What one initiator may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acl {
    /// What it must prove at login; `None`: nothing.
    pub chap: Option<Chap>,
    /// `attrib/authentication`: -1 as the TPG says, 0 not demanded, 1 demanded. `None`: this kernel has no such file.
    pub authentication: Option<i8>,
    /// Commands outstanding per session; a change ends the initiator's session.
    pub cmdsn_depth: u32,
    /// The LUNs it sees, by the number under which it sees them.
    pub luns: BTreeMap<LunNumber, MappedLun>,
}

impl Acl {
    /// An initiator that sees LUN 0.
    pub fn new(chap: Option<Chap>, read_only: bool) -> Acl {
        let authentication = Some(i8::from(chap.is_some()));
        let luns = BTreeMap::from([(LunNumber(0), MappedLun { lun: Some(LunNumber(0)), read_only })]);
        Acl { chap, authentication, cmdsn_depth: Tpg::CMDSN_DEPTH, luns }
    }
}

/// A LUN as one initiator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MappedLun {
    /// Which LUN of the TPG it is; `None`: the link is not made yet.
    pub lun: Option<LunNumber>,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// The target behind a local disk, of the fabric `loopback` (tcm_loop): no network, one initiator, this machine.
///
/// Its names follow from the UID. The kernel makes an ACL for the session by itself, with all rights; where writes are
/// to be refused, one of ours takes its place. The kernel scans for the disk when the LUN is linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalDisk {
    /// Whether the portal group is there.
    pub tpg: bool,
    /// The session of the machine's initiator.
    pub nexus: Nexus,
    /// Its one logical unit, number 0; `None`: not even the directory.
    pub lun: Option<Lun>,
    /// The ACL of ours, and how the initiator sees LUN 0 by it.
    pub acl: Option<Option<MappedLun>>,
}

impl LocalDisk {
    /// A disk of this machine.
    pub fn new(read_only: bool) -> LocalDisk {
        let mapped = MappedLun { lun: Some(LunNumber(0)), read_only };
        let acl = read_only.then_some(Some(mapped));
        LocalDisk { tpg: true, nexus: Nexus::Ours, lun: Some(Lun::Linked), acl }
    }

    /// Whether writes are refused.
    pub fn read_only(&self) -> bool {
        self.acl.flatten().is_some_and(|mapped| mapped.read_only)
    }

    /// What stands before the first step.
    pub(crate) fn unmade() -> LocalDisk {
        LocalDisk { tpg: false, nexus: Nexus::None, lun: None, acl: None }
    }
}

/// The session of a local disk's target (I_T nexus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Nexus {
    /// There is none.
    None,
    /// With the initiator that we made up.
    Ours,
    /// With another one, by somebody's hand; never wanted, only found.
    Other,
}

/// What was found of one LUN, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Whose it is.
    pub uid: Uid,
    /// Where the backstore is, or would go.
    pub hba: HbaPlace,
    /// Whether the iSCSI fabric's own directory is there.
    pub fabric: bool,
    /// Whether the directory of the fabric of local disks is there.
    pub loopback: bool,
    /// The objects of this LUN, whole or half-made.
    pub export: Export,
    /// A device of our name that is not ours, and why we say so.
    pub foreign: Option<(Node, String)>,
    /// How to clear what somebody put into our own target by hand and [`Export`] has no word for.
    pub strays: Vec<Step>,
    /// The same of the target behind the local disk.
    pub local_strays: Vec<Step>,
}

impl Found {
    /// The backstore's directory, whether it exists or not.
    pub fn device(&self) -> Node {
        Node::device(self.hba.number, &self.uid)
    }

    /// Whether configfs holds nothing of this LUN.
    pub fn is_empty(&self) -> bool {
        self.export == Export::default() && !self.hba.exists
    }
}

/// The HBA directory of one LUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HbaPlace {
    /// Its number.
    pub number: HbaNumber,
    /// Whether the directory is there.
    pub exists: bool,
    /// Whether it holds another device too: then it is left standing when ours goes.
    pub shared: bool,
}
