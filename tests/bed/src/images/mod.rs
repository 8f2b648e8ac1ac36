//! Container images for a bed's nodes: built from Dockerfiles without a container engine, and laid ready on a disk.
//!
//! A node's containerd would spend a minute of emulated time on importing what takes the host seconds. So the
//! host's containerd imports into a folder, the folder becomes an ext4 image, and each node boots on a copy-on-write
//! disk over it. The disk is kept in the cache under a digest of all that went into it. The base that the
//! Dockerfiles begin with is [`setup`]'s.

mod build;
mod disk;

use crate::bed::Bed;
use crate::progress::stage;
use crate::{Result, setup};
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// So many disks are kept; a change of one program makes a new one.
const KEPT_DISKS: usize = 3;

/// A container image to build.
#[derive(Debug, Clone)]
pub struct Image {
    name: String,
    dockerfile: String,
    files: Vec<PathBuf>,
}

impl Image {
    /// The image `name`, such as `storage/agent:1`, from the text of a Dockerfile and the files of its context.
    ///
    /// A `FROM` may name `scratch` or [`Image::BASE`].
    #[must_use]
    pub fn new(name: &str, dockerfile: &str, files: &[PathBuf]) -> Image {
        Image { name: name.to_owned(), dockerfile: dockerfile.to_owned(), files: files.to_vec() }
    }

    /// The base that Dockerfiles may begin with: Debian with apt and little else.
    pub const BASE: &'static str = setup::BASE_IMAGE;

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a pod's own sandbox runs, on every node.
pub(crate) const SANDBOX: &str = "bed/pause:1";
/// A shell and its programs, for the pods of tests.
pub const BUSYBOX: &str = "bed/busybox:1";

fn own_images() -> [Image; 2] {
    let busybox = [PathBuf::from("/bin/busybox")];
    let from_scratch = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n";
    let pause = format!("{from_scratch}ENTRYPOINT [\"/bin/busybox\", \"sleep\", \"2147483647\"]\n");
    [Image::new(SANDBOX, &pause, &busybox), Image::new(BUSYBOX, from_scratch, &busybox)]
}

/// The disk with `images`, and with the bed's own two, as containerd wants them: made if it is not there.
///
/// # Errors
/// When an image cannot be built or imported.
pub fn disk(bed: &Bed, images: &[Image]) -> Result<PathBuf> {
    let folder = bed.ground().layout().images();
    std::fs::create_dir_all(&folder).context("making the folder for images")?;
    let _alone = setup::lock(&folder.join("lock"))?;
    let images: Vec<Image> = own_images().into_iter().chain(images.iter().cloned()).collect();
    let disk = folder.join(format!("disk-{}.img", key(&images)?));
    if !disk.exists() {
        let names: Vec<&str> = images.iter().map(Image::name).collect();
        stage(format!("building container images: {}", names.join(" ")), || {
            let archives = build::archives(bed.ground().layout(), &folder, &images)?;
            disk::make(bed, &folder, &archives, &disk)
        })?;
        forget_old_disks(&folder);
    }
    Ok(disk)
}

/// All that goes into a disk but the base, which is made once.
fn key(images: &[Image]) -> Result<String> {
    let mut key = Sha256::new();
    for image in images {
        key.update(format!("{}\0{}\0", image.name, image.dockerfile));
        for file in &image.files {
            key.update(std::fs::read(file).with_context(|| format!("reading {}", file.display()))?);
        }
    }
    Ok(key.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn forget_old_disks(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let disks = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("disk-"));
    let mut by_age: Vec<_> = disks.filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).collect();
    by_age.sort();
    by_age.iter().rev().skip(KEPT_DISKS).for_each(|(_, path)| {
        // A node that still runs on it keeps the open file.
        let _ = std::fs::remove_file(path);
    });
}

#[cfg(test)]
mod tests {
    use super::{Image, key};

    #[test]
    fn the_key_tells_every_change() {
        let folder = std::env::temp_dir().join(format!("bed-images-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let program = folder.join("program");
        let keyed = |name: &str, dockerfile: &str, content: &str| {
            std::fs::write(&program, content).expect("a file");
            key(&[Image::new(name, dockerfile, std::slice::from_ref(&program))]).expect("it is readable")
        };
        let first = keyed("a:1", "FROM scratch", "x");
        assert_eq!(first, keyed("a:1", "FROM scratch", "x"));
        for other in
            [keyed("a:2", "FROM scratch", "x"), keyed("a:1", "FROM debian", "x"), keyed("a:1", "FROM scratch", "y")]
        {
            assert_ne!(first, other);
        }
        std::fs::remove_dir_all(&folder).expect("removing it");
    }
}
