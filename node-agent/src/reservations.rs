//! The folder in which LIO's core keeps persistent reservations (SPC-5 5.14): user space has to make it.
//!
//! The core writes a file there with every registration, whether or not it is to outlive a power cut; where it cannot,
//! PERSISTENT RESERVE OUT ends with LOGICAL UNIT COMMUNICATION FAILURE (`core_scsi3_update_and_write_aptpl` in
//! target_core_pr.c). It opens the file as the host sees it, so a container needs the folder's parent from there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Says where the core keeps such things.
const DBROOT: &str = "/sys/kernel/config/target/dbroot";

/// Makes the folder. Without it everything but reservations works, so failing is no reason not to start.
pub fn prepare() {
    match make_folder(Path::new(DBROOT)) {
        Ok(folder) => tracing::debug!(folder = %folder.display(), "persistent reservations are kept there"),
        Err(error) => tracing::warn!(
            %error,
            "initiators cannot make persistent reservations: make the folder pr below what {DBROOT} names, on the host"
        ),
    }
}

fn make_folder(dbroot: &Path) -> io::Result<PathBuf> {
    let folder = Path::new(fs::read_to_string(dbroot)?.trim()).join("pr");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_made_where_the_kernel_says_and_may_be_there() {
        let bed = tempfile::tempdir().unwrap();
        let (dbroot, kept) = (bed.path().join("dbroot"), bed.path().join("kept"));
        fs::write(&dbroot, format!("{}\n", kept.display())).unwrap();
        for _ in 0..2 {
            assert_eq!(make_folder(&dbroot).unwrap(), kept.join("pr"));
        }
        assert!(kept.join("pr").is_dir());
    }
}
