//! What is on a disk: nothing, a file system of ours, or something that is nobody's business here.
//!
//! blkid(8) knows signatures. That it finds none does not make a disk empty: a database's own volume has none either.
//! So a disk is empty only if, besides, its first and last MiB, where blkid looks, hold nothing but zeros.

use crate::call::{Call, Ended};
use crate::filesystem::FileSystem;

/// Bytes that are looked at, at each end of a disk.
pub const LOOKED_AT: u64 = 1 << 20;

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Empty,
    /// A file system that a volume may have.
    FileSystem(FileSystem),
    /// Something else: what it seems to be.
    Foreign(String),
}

/// What finds signatures: all of them, on the disk itself and not in anybody's cache.
pub fn probe(disk: &str) -> Call {
    Call::new("blkid", ["-p", "-o", "export", disk])
}

/// Exit statuses of blkid(8).
const FOUND: i32 = 0;
const NOTHING: i32 = 2;
const AMBIVALENT: i32 = 8;

/// What the probe means; `None`: it found no signature. `Err`: it failed.
pub fn understood(probe: &Ended) -> Result<Option<Content>, ()> {
    match probe.status {
        NOTHING => Ok(None),
        AMBIVALENT => Ok(Some(Content::Foreign("more than one file system or the like at once".to_owned()))),
        FOUND => Ok(Some(found(&probe.said))),
        _ => Err(()),
    }
}

fn found(said: &str) -> Content {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    match (value("TYPE"), value("PTTYPE")) {
        (_, Some(table)) => Content::Foreign(format!("a partition table ({table})")),
        (Some(kind), None) => {
            FileSystem::named(kind).map_or_else(|| Content::Foreign(kind.to_owned()), Content::FileSystem)
        }
        (None, None) => Content::Foreign("a signature without a name".to_owned()),
    }
}

/// What a disk without a known signature holds.
pub fn unsigned(is_zero: bool) -> Content {
    if is_zero { Content::Empty } else { Content::Foreign("data without a signature that is known".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(status: i32, said: &str) -> Result<Option<Content>, ()> {
        understood(&Ended { status, said: said.to_owned() })
    }

    fn foreign(what: &str) -> Result<Option<Content>, ()> {
        Ok(Some(Content::Foreign(what.to_owned())))
    }

    #[test]
    fn only_what_a_volume_may_have_is_a_file_system() {
        let of = |kind: &str| {
            probed(0, &format!("DEVNAME=/dev/sdb\nUUID=x\nBLOCK_SIZE=4096\nTYPE={kind}\nUSAGE=filesystem\n"))
        };
        for (kind, file_system) in [("ext4", FileSystem::Ext4), ("xfs", FileSystem::Xfs), ("btrfs", FileSystem::Btrfs)]
        {
            assert_eq!(of(kind), Ok(Some(Content::FileSystem(file_system))));
        }
        for kind in ["ext3", "vfat", "LVM2_member", "crypto_LUKS", "linux_raid_member", "swap", "zfs_member"] {
            assert_eq!(of(kind), foreign(kind));
        }
    }

    #[test]
    fn what_is_not_clearly_one_thing_is_foreign() {
        assert_eq!(probed(0, "PTUUID=1\nPTTYPE=gpt\n"), foreign("a partition table (gpt)"));
        assert_eq!(probed(0, "TYPE=ext4\nPTTYPE=dos\n"), foreign("a partition table (dos)"));
        assert_eq!(probed(0, ""), foreign("a signature without a name"));
        assert_eq!(probed(8, ""), foreign("more than one file system or the like at once"));
    }

    #[test]
    fn a_probe_that_fails_says_nothing_about_the_disk() {
        for status in [-1, 1, 4, 127] {
            assert_eq!(probed(status, "TYPE=ext4\n"), Err(()));
        }
    }

    #[test]
    fn without_a_signature_only_zeros_are_nothing() {
        assert_eq!(probed(2, ""), Ok(None));
        assert_eq!(unsigned(true), Content::Empty);
        assert!(matches!(unsigned(false), Content::Foreign(_)));
    }
}
