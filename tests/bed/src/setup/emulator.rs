//! QEMU, of a version that emulates fast.
//!
//! Debian 12's own is 7.2. In 10.0 an agent starts in a third of the time, and whole tests take a quarter less. The program
//! of Debian's backports runs on the libraries and the firmware of Debian 12's, so it alone is unpacked into the cache;
//! nothing of it is installed.
//!
//! Instructions are counted in the machine's own: the two count string instructions differently (a read of 4 KiB through
//! a target has 2 thousand more in 10.0), and figures are to be compared with those of others, who have Debian's.

use super::apt::Apt;
use crate::layout::Layout;
use crate::progress::stage;
use crate::{Result, host};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The machine's own.
pub const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// The major version of the first that is fast.
const FAST: u32 = 10;

/// The QEMU to run guests with: the machine's own where that is fast, otherwise the backports'.
pub fn ensure(layout: &Layout) -> Result<PathBuf> {
    let own = host::run(Command::new(PROGRAM).arg("--version"))?;
    if major_version(&own).is_some_and(|version| version >= FAST) {
        return Ok(PathBuf::from(PROGRAM));
    }
    let fast = layout.cache().join("qemu").join(PROGRAM);
    if !fast.exists() {
        stage("fetching and unpacking the QEMU of Debian's backports", || fetch(layout, &fast))?;
    }
    Ok(fast)
}

fn fetch(layout: &Layout, program: &Path) -> Result<()> {
    let apt = Apt::of_backports(layout)?;
    apt.update()?;
    let unpacked = program.with_file_name("unpacking");
    apt.unpack(PACKAGE, &unpacked)?;
    std::fs::rename(unpacked.join("usr/bin").join(PROGRAM), program).context("naming the finished QEMU")?;
    std::fs::remove_dir_all(&unpacked).context("removing the rest of QEMU's package")
}

/// Of `QEMU emulator version 7.2.22 (Debian …)`.
fn major_version(said: &str) -> Option<u32> {
    said.split_once("version ")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn qemu_says_its_version() {
        let said = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright (c) 2003-2025 Fabrice Bellard";
        assert_eq!(major_version(said), Some(10));
        assert_eq!(major_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"), Some(7));
        assert_eq!(major_version("no such thing"), None);
    }
}
