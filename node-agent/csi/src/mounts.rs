//! Mounts, as the kernel lists them (proc_pid_mountinfo(5)), and what can be known from the list.

use std::path::{Path, PathBuf};

use nix::sys::stat::makedev;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device number of the file system.
    pub number: u64,
    /// Which of its folders or files is shown.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// What holds for this mount alone, such as `rw` and `noatime`.
    pub options: Vec<String>,
    /// Whether what is mounted below it is seen elsewhere, too.
    pub shared: bool,
    /// The file system's type.
    pub kind: String,
    /// What was mounted, such as `/dev/sdb`.
    pub source: String,
    /// What holds for the file system wherever it is mounted.
    pub file_system_options: Vec<String>,
}

impl Mount {
    /// Reads one line of mountinfo; `None` if it is none.
    pub fn read(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let [_, _, number, root, point, options, tags @ ..] = &mount.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let (major, minor) = number.split_once(':')?;
        let mut rest = file_system.split(' ');
        Some(Self {
            number: makedev(major.parse().ok()?, minor.parse().ok()?),
            root: plain(root).into(),
            point: plain(point).into(),
            options: list(options),
            shared: tags.iter().any(|tag| tag.starts_with("shared:")),
            kind: plain(rest.next()?),
            source: plain(rest.next()?),
            file_system_options: list(rest.next()?),
        })
    }

    /// Whether nothing can be written through it.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }

    /// Whether nothing can be written anywhere, as after an error of the file system.
    pub fn is_read_only_everywhere(&self) -> bool {
        self.file_system_options.iter().any(|option| option == "ro")
    }

    /// Whether both show the same.
    pub fn shows_the_same_as(&self, other: &Mount) -> bool {
        (self.number, &self.root) == (other.number, &other.root)
    }

    /// Whether a file of another file system is shown, such as a device's node, and not a file system of its own.
    pub fn is_of_a_file(&self) -> bool {
        self.root != Path::new("/")
    }
}

/// All of mountinfo, those on top last.
pub fn read(text: &str) -> Vec<Mount> {
    text.lines().filter_map(Mount::read).collect()
}

/// What is seen at that path, if something is mounted there.
pub fn at<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    mounts.iter().rfind(|mount| mount.point == path)
}

/// The mount that a path lies on.
pub fn of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    path.ancestors().find_map(|path| at(mounts, path))
}

/// Where else the same is seen, or a part of it.
pub fn elsewhere<'a>(mounts: &'a [Mount], mount: &'a Mount) -> impl Iterator<Item = &'a Mount> {
    mounts.iter().filter(move |other| {
        let same = other.shows_the_same_as(mount) || (!mount.is_of_a_file() && other.number == mount.number);
        same && other.point != mount.point
    })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(plain).collect()
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
25 22 0:6 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=1k
40 22 8:16 / /stage/volume rw,noatime shared:3 - ext4 /dev/sdb ro,errors=remount-ro
41 22 8:16 / /pods/a\\040b ro,noatime shared:3 - ext4 /dev/sdb ro
42 22 8:16 /sub /pods/sub rw - ext4 /dev/sdb ro
43 22 0:6 /sdc /stage-c/volume rw,nosuid - devtmpfs udev rw
44 22 0:6 /sdc /pods/c rw,nosuid - devtmpfs udev rw
nonsense
45 22 8:32 / /stage/volume rw - xfs /dev/sdc rw
";

    fn points<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Vec<&'a str> {
        mounts.filter_map(|mount| mount.point.to_str()).collect()
    }

    #[test]
    fn a_mount_is_read_as_the_kernel_writes_it() {
        let mounts = read(TABLE);
        let pod = at(&mounts, Path::new("/pods/a b")).expect("its blank is written in octal");
        assert!(pod.is_read_only() && pod.is_read_only_everywhere() && pod.shared);
        assert_eq!((pod.kind.as_str(), pod.source.as_str(), pod.number), ("ext4", "/dev/sdb", makedev(8, 16)));
        assert_eq!(at(&mounts, Path::new("/stage/volume")).map(|top| top.kind.as_str()), Some("xfs"), "it is on top");
        assert_eq!(at(&mounts, Path::new("/stage")), None);
        assert_eq!(of(&mounts, Path::new("/dev/x/y")).map(|on| on.kind.as_str()), Some("devtmpfs"));
        assert_eq!(mounts.len(), 8);
        assert!(!mounts[2].is_read_only() && mounts[2].is_read_only_everywhere());
    }

    #[test]
    fn a_file_system_is_seen_elsewhere_and_so_are_its_parts_and_a_device_is_seen_as_itself() {
        let mounts = read(TABLE);
        assert_eq!(points(elsewhere(&mounts, &mounts[2])), ["/pods/a b", "/pods/sub"]);
        assert_eq!(points(elsewhere(&mounts, &mounts[5])), ["/pods/c"], "and not every file of /dev");
    }
}
