//! The base image: this Debian, from the mirror that the machine uses, with apt and little else.

use super::build::Buildah;
use crate::layout::Layout;
use crate::setup::mirror;
use crate::{Result, host};
use anyhow::Context;
use std::path::Path;
use std::process::Command;

/// What nobody reads in an image; the texts of licences stay.
const LEFT_OUT: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
];

/// Makes the base image `name`, if buildah has none.
pub fn ensure(layout: &Layout, folder: &Path, buildah: &Buildah, name: &str) -> Result<()> {
    if buildah.has(name)? {
        return Ok(());
    }
    let (suite, mirror) = (mirror::codename()?, mirror::of_the_machine()?);
    let archive = folder.join("base.tar");
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap.args(["--variant=apt", "--quiet"]).current_dir(layout.cache());
    if mirror.starts_with("https:") {
        bootstrap.arg("--include=ca-certificates");
    }
    for option in LEFT_OUT {
        bootstrap.arg(format!("--dpkgopt={option}"));
    }
    host::run(bootstrap.arg(&suite).arg(&archive).arg(&mirror)).context("making a Debian for images")?;
    buildah.import(&archive, name)?;
    std::fs::remove_file(&archive).context("removing the base's archive")
}
