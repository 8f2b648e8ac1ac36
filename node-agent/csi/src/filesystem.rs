//! The file systems that a volume may have: how each is made, checked, mounted and grown.

use std::path::Path;

use crate::call::Call;

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileSystem {
    /// Where nobody asks for another.
    #[default]
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl FileSystem {
    /// All of them.
    const ALL: [FileSystem; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// As mount(8) and blkid(8) call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Makes one. Nothing forces it: it refuses what it finds signatures on.
    pub fn make(self, disk: &str, options: &[String]) -> Call {
        let program = match self {
            Self::Ext4 => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
            Self::Btrfs => "mkfs.btrfs",
        };
        let options = options.iter().map(String::as_str);
        Call::new(program, ["-q"].into_iter().chain(options).chain([disk]))
    }

    /// Checks one that is to be mounted for writing. XFS and btrfs do it as they are mounted, and what they cannot
    /// mend then is for a person to mend.
    pub fn check(self, disk: &str) -> Option<Call> {
        match self {
            Self::Ext4 => Some(Call::new("e2fsck", ["-p", disk])),
            Self::Xfs | Self::Btrfs => None,
        }
    }

    /// Grows one to its disk's size while it is mounted; does nothing where it has that size.
    pub fn grow(self, disk: &str, mounted: &Path) -> Call {
        let mounted = mounted.display().to_string();
        match self {
            Self::Ext4 => Call::new("resize2fs", [disk]),
            Self::Xfs => Call::new("xfs_growfs", [mounted]),
            Self::Btrfs => Call::new("btrfs", ["filesystem", "resize", "max", mounted.as_str()]),
        }
    }

    /// Mounts one.
    pub fn mount(self, disk: &str, at: &Path, options: &str) -> Call {
        let at = at.display().to_string();
        Call::new("mount", ["-t", self.name(), "-o", options, disk, at.as_str()])
    }

    /// The options of a mount, separated by commas. A copy of a volume has the UUID of the original, and XFS refuses
    /// to mount both on one machine unless it is told not to care.
    pub fn options(self, flags: &[String], read_only: bool) -> String {
        let mut options = vec![if read_only { "ro" } else { "rw" }];
        options.extend((self == Self::Xfs).then_some("nouuid"));
        for flag in single(flags) {
            if !options.contains(&flag) && flag != "rw" && flag != "ro" {
                options.push(flag);
            }
        }
        options.join(",")
    }
}

/// Whether the checker left the file system as it should be (e2fsck(8), "EXIT CODE": 1 and 2 are of errors that were
/// corrected).
pub fn is_sound(status: i32) -> bool {
    (0..4).contains(&status)
}

/// What would make mount(8) do something else than mounting the disk, or not this disk.
const NOT_OURS: [&str; 9] =
    ["bind", "rbind", "move", "remount", "loop", "offset", "sizelimit", "device", "X-mount.subdir"];

/// The first mount option that cannot be had.
pub fn forbidden(flags: &[String]) -> Option<&str> {
    single(flags).find(|flag| NOT_OURS.contains(&flag.split('=').next().unwrap_or_default()))
}

/// Whether the options ask for a read-only mount.
pub fn ask_for_read_only(flags: &[String]) -> bool {
    single(flags).any(|flag| flag == "ro")
}

/// One by one. A comma within quotes, as in SELinux's contexts, separates nothing.
fn single(flags: &[String]) -> impl Iterator<Item = &str> {
    let several = |flags: &str| !flags.contains('"');
    let parts = flags.iter().flat_map(move |flags| {
        let most = if several(flags) { usize::MAX } else { 1 };
        flags.splitn(most, ',')
    });
    parts.filter(|flag| !flag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(call: &Call) -> String {
        [&[call.program.to_owned()], &call.arguments[..]].concat().join(" ")
    }

    fn flags(flags: &[&str]) -> Vec<String> {
        flags.iter().map(|flag| (*flag).to_owned()).collect()
    }

    #[test]
    fn each_is_made_without_force_and_with_what_the_class_says() {
        for (file_system, line) in [
            (FileSystem::Ext4, "mkfs.ext4 -q -m 0 /dev/sdb"),
            (FileSystem::Xfs, "mkfs.xfs -q -m 0 /dev/sdb"),
            (FileSystem::Btrfs, "mkfs.btrfs -q -m 0 /dev/sdb"),
        ] {
            assert_eq!(words(&file_system.make("/dev/sdb", &flags(&["-m", "0"]))), line);
            assert_eq!(FileSystem::named(file_system.name()), Some(file_system));
        }
        assert_eq!(FileSystem::named("ext3"), None);
    }

    #[test]
    fn each_grows_while_it_is_mounted() {
        let grow = |file_system: FileSystem| words(&file_system.grow("/dev/sdb", Path::new("/v")));
        assert_eq!(grow(FileSystem::Ext4), "resize2fs /dev/sdb");
        assert_eq!(grow(FileSystem::Xfs), "xfs_growfs /v");
        assert_eq!(grow(FileSystem::Btrfs), "btrfs filesystem resize max /v");
    }

    #[test]
    fn options_are_the_classs_but_for_what_the_call_decides() {
        for (file_system, given, read_only, want) in [
            (FileSystem::Ext4, &[][..], false, "rw"),
            (FileSystem::Ext4, &["noatime", "noatime,nodiratime", ""], false, "rw,noatime,nodiratime"),
            (FileSystem::Ext4, &["rw"], true, "ro"),
            (FileSystem::Xfs, &["context=\"a:c1,c1\""], true, "ro,nouuid,context=\"a:c1,c1\""),
            (FileSystem::Btrfs, &["compress=zstd"], false, "rw,compress=zstd"),
        ] {
            assert_eq!(file_system.options(&flags(given), read_only), want);
        }
    }

    #[test]
    fn an_option_that_mounts_something_else_is_found() {
        assert_eq!(forbidden(&flags(&["noatime", "discard,loop=/dev/loop0"])), Some("loop=/dev/loop0"));
        assert_eq!(forbidden(&flags(&["bind"])), Some("bind"));
        assert_eq!(forbidden(&flags(&["noatime", "context=x"])), None);
        assert!(ask_for_read_only(&flags(&["noatime,ro"])) && !ask_for_read_only(&flags(&["rw", "errors=remount-ro"])));
    }

    #[test]
    fn a_check_that_mended_everything_was_a_good_one() {
        for status in 0..16 {
            assert_eq!(is_sound(status), matches!(status, 0..=3), "{status}");
        }
        assert!(!is_sound(-1));
    }
}
