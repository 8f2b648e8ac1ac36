//! The loads, by the names under which people compare targets, and the way each reaches the target.

use std::fmt;

/// How commands reach a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fabric {
    /// `tcm_loop`: a disk of the same machine, no network.
    Loop,
    /// iSCSI, with the initiator in the same VM.
    Iscsi,
}

/// All of them, in the table's order.
pub const FABRICS: [Fabric; 2] = [Fabric::Loop, Fabric::Iscsi];

impl fmt::Display for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Fabric {
    /// As `guest.sh` has it.
    pub fn word(self) -> &'static str {
        match self {
            Fabric::Loop => "loop",
            Fabric::Iscsi => "iscsi",
        }
    }
}

/// What fio is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// For filters.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    pattern: &'static str,
    block: &'static str,
    depth: u32,
}

impl Load {
    const fn new(id: &'static str, name: &'static str, pattern: &'static str, block: &'static str, depth: u32) -> Load {
        Load { id, name, pattern, block, depth }
    }

    /// fio's options for it. At depth it hands over and takes back half of its commands at a time: one by one, how many
    /// of them meet in a target is a matter of which thread the guest's one processor happens to run next.
    pub fn options(&self) -> String {
        let at_once = (self.depth / 2).max(1);
        format!(
            "--rw={} --bs={} --iodepth={} --iodepth_batch={at_once} --iodepth_batch_complete={at_once}",
            self.pattern, self.block, self.depth
        )
    }
}

/// All of them, in the table's order.
pub const LOADS: [Load; 5] = [
    Load::new("r4k-1", "random read 4k, depth 1", "randread", "4k", 1),
    Load::new("r4k-32", "random read 4k, depth 32", "randread", "4k", 32),
    Load::new("w4k-32", "random write 4k, depth 32", "randwrite", "4k", 32),
    Load::new("r64k-32", "random read 64k, depth 32", "randread", "64k", 32),
    Load::new("w64k-32", "random write 64k, depth 32", "randwrite", "64k", 32),
];
