//! Images and their archives, from Dockerfiles.

use super::Image;
use crate::Result;
use crate::buildah::Buildah;
use crate::layout::Layout;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// Builds each image and returns its archive, in the format of `docker save`.
pub fn archives(layout: &Layout, folder: &Path, images: &[Image]) -> Result<Vec<PathBuf>> {
    let buildah = Buildah::of(layout);
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
