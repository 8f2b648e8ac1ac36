//! buildah, which builds container images without an engine, with a store of the bed's own.

use crate::layout::Layout;
use crate::{Result, host};
use std::path::{Path, PathBuf};
use std::process::Command;

/// buildah and its store.
pub struct Buildah {
    store: PathBuf,
}

impl Buildah {
    /// The bed's own.
    pub fn of(layout: &Layout) -> Buildah {
        Buildah { store: layout.images().join("store") }
    }

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

    /// Builds the image `name` in a chroot.
    pub fn build(&self, name: &str, dockerfile: &Path, context: &Path) -> Result<()> {
        let mut build = self.command();
        // `--layers`: what a Dockerfile installs is not installed anew for each change of a program.
        build.args(["build", "--isolation", "chroot", "--pull-never", "--layers", "--timestamp", "0", "--tag", name]);
        host::run(build.arg("--file").arg(dockerfile).arg(context)).map(drop)
    }

    /// Writes an image to an archive, in the format of `docker save`.
    pub fn save(&self, name: &str, archive: &Path) -> Result<()> {
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
