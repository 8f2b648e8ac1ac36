//! Building images with buildah, in a chroot, with a store of the bed's own.

use super::{Image, base};
use crate::layout::Layout;
use crate::{Result, host};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds each image and returns its archive, in the format of `docker save`.
pub fn archives(layout: &Layout, folder: &Path, images: &[Image]) -> Result<Vec<PathBuf>> {
    let buildah = Buildah { store: folder.join("store") };
    base::ensure(layout, folder, &buildah, Image::BASE)?;
    let work = folder.join("work");
    if work.exists() {
        std::fs::remove_dir_all(&work).context("removing what an earlier build left")?;
    }
    images.iter().enumerate().map(|(number, image)| one(&buildah, &work.join(number.to_string()), image)).collect()
}

fn one(buildah: &Buildah, work: &Path, image: &Image) -> Result<PathBuf> {
    let context = work.join("context");
    std::fs::create_dir_all(&context).context("making the context of an image")?;
    for file in &image.files {
        let name = file.file_name().with_context(|| format!("{} names no file", file.display()))?;
        std::fs::copy(file, context.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    let dockerfile = work.join("Dockerfile");
    std::fs::write(&dockerfile, &image.dockerfile).context("writing a Dockerfile")?;
    buildah.build(&image.name, &dockerfile, &context)?;
    let archive = work.join("image.tar");
    buildah.save(&image.name, &archive)?;
    Ok(archive)
}

/// buildah and its store.
pub struct Buildah {
    store: PathBuf,
}

impl Buildah {
    /// Whether the store has an image of that name.
    pub fn has(&self, name: &str) -> Result<bool> {
        let listed = host::run(self.command().args(["images", "--format", "{{.Name}}:{{.Tag}}"]))?;
        Ok(listed.lines().any(|line| line == name))
    }

    /// Makes an image of one layer from a tar archive.
    pub fn import(&self, archive: &Path, name: &str) -> Result<()> {
        let container = host::run(self.command().args(["from", "scratch"]))?;
        let container = container.trim();
        host::run(self.command().args(["add", "--quiet", container]).arg(archive).arg("/"))?;
        host::run(self.command().args(["commit", "--quiet", "--rm", container, name])).map(drop)
    }

    fn build(&self, name: &str, dockerfile: &Path, context: &Path) -> Result<()> {
        let mut build = self.command();
        // `--layers`: what a Dockerfile installs is not installed anew for each change of a program.
        build.args(["build", "--isolation", "chroot", "--pull-never", "--layers", "--timestamp", "0", "--tag", name]);
        host::run(build.arg("--file").arg(dockerfile).arg(context)).map(drop)
    }

    fn save(&self, name: &str, archive: &Path) -> Result<()> {
        let to = format!("docker-archive:{}:{name}", archive.display());
        host::run(self.command().args(["push", "--quiet", name, &to])).map(drop)
    }

    fn command(&self) -> Command {
        let mut buildah = Command::new("buildah");
        buildah.arg("--root").arg(self.store.join("root")).arg("--runroot").arg(self.store.join("run"));
        buildah.args(["--storage-driver", "overlay"]);
        buildah
    }
}
