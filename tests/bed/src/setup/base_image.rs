//! What container images begin with: this Debian, from the mirror that the machine uses, with apt and little else.

use super::mirror;
use crate::buildah::Buildah;
use crate::layout::Layout;
use crate::progress::stage;
use crate::{Result, host};
use anyhow::Context;
use std::process::Command;

/// Its name in Dockerfiles.
pub const NAME: &str = "docker.io/library/debian:12-slim";

/// What nobody reads in an image; the texts of licences stay.
const LEFT_OUT: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
];

/// Makes it, if buildah has none.
pub fn ensure(layout: &Layout) -> Result<()> {
    let buildah = Buildah::of(layout);
    std::fs::create_dir_all(layout.images()).context("making the folder for images")?;
    if buildah.has(NAME)? {
        return Ok(());
    }
    stage("making a Debian for container images", || make(layout, &buildah))
}

fn make(layout: &Layout, buildah: &Buildah) -> Result<()> {
    let (suite, mirror) = (mirror::codename()?, mirror::of_the_machine()?);
    let archive = layout.images().join("base.tar");
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap.args(["--variant=apt", "--quiet"]).current_dir(layout.cache());
    if mirror.starts_with("https:") {
        bootstrap.arg("--include=ca-certificates");
    }
    for option in LEFT_OUT {
        bootstrap.arg(format!("--dpkgopt={option}"));
    }
    host::run(bootstrap.arg(&suite).arg(&archive).arg(&mirror)).context("making a Debian for images")?;
    buildah.import(&archive, NAME)?;
    std::fs::remove_file(&archive).context("removing the base's archive")
}
