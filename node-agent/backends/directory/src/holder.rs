//! Who holds a lock, for the message that says so: the kernel's list in `/proc/locks`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process;

use nix::sys::stat::{major, minor};

/// The holder of a file's flock in words; "another process" when the kernel does not tell, as in a
/// container or for a process that is gone and has requests left.
pub(crate) fn holder(file: &File) -> String {
    let pid = file.metadata().ok().and_then(|meta| {
        let locks = fs::read_to_string("/proc/locks").ok()?;
        find(&locks, meta.dev(), meta.ino())
    });
    match pid {
        Some(pid) if pid == process::id() => "this agent itself".to_owned(),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// The process of a line such as `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`.
fn find(locks: &str, dev: u64, ino: u64) -> Option<u32> {
    let place = format!("{:02x}:{:02x}:{ino}", major(dev), minor(dev));
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?;
        (flock && words.next() == Some(&place)).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::makedev;

    use super::*;

    const LOCKS: &str = "1: POSIX  ADVISORY  WRITE 17 fe:00:99 0 EOF\n\
                         2: FLOCK  ADVISORY  WRITE 4711 fe:00:99 0 EOF\n\
                         2: -> FLOCK  ADVISORY  WRITE 4712 fe:00:99 0 EOF\n";

    #[test]
    fn the_holder_is_found_by_device_and_inode() {
        assert_eq!(find(LOCKS, makedev(0xfe, 0), 99), Some(4711));
        assert_eq!(find(LOCKS, makedev(0xfe, 0), 98), None);
        assert_eq!(find("garbage\n", makedev(0xfe, 0), 99), None);
    }
}
