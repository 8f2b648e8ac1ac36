//! apt, seen twice: as the machine has it set up, and as a throw-away set-up for one suite that the machine lacks.
//!
//! The throw-away one lives in the cache and takes its mirror from the machine's own sources at run time, so no
//! address is ever written into the project, and the machine's own package lists are not touched.

use crate::layout::Layout;
use crate::{Result, host};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One set-up of apt.
pub struct Apt {
    options: Vec<String>,
    downloads: PathBuf,
}

impl Apt {
    /// As the machine has it.
    pub fn of_the_machine(layout: &Layout) -> Result<Apt> {
        Ok(Apt { options: Vec::new(), downloads: downloads(layout)? })
    }

    /// One `suite` of Debian alone, from the mirror that the machine uses.
    pub fn of_suite(layout: &Layout, suite: &str) -> Result<Apt> {
        let home = layout.cache().join("apt").join(suite);
        for folder in ["lists/partial", "cache/archives/partial", "none"] {
            std::fs::create_dir_all(home.join(folder)).context("making a folder for apt")?;
        }
        let sources = home.join("sources.list");
        let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        std::fs::write(&sources, format!("deb {signed}{} {suite} main\n", mirror()?)).context("writing apt sources")?;
        let options = vec![
            format!("Dir::Etc::SourceList={}", sources.display()),
            format!("Dir::Etc::SourceParts={}/none", home.display()),
            format!("Dir::State::Lists={}/lists", home.display()),
            format!("Dir::Cache={}/cache", home.display()),
        ];
        Ok(Apt { options, downloads: downloads(layout)? })
    }

    /// `apt-get`, ready for a verb.
    pub fn get(&self) -> Command {
        let mut command = self.command("apt-get");
        command.arg("-q").args(["-o", "DPkg::Lock::Timeout=300"]);
        command
    }

    /// Fetches the package lists.
    pub fn update(&self) -> Result<()> {
        host::run(self.get().arg("update")).map(drop)
    }

    /// The packages that `package` depends on, first alternatives only.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let listing = host::run(self.command("apt-cache").args(["depends", "--important", package]))?;
        Ok(listing.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned).collect())
    }

    /// Downloads `package` and returns its file.
    pub fn download(&self, package: &str) -> Result<PathBuf> {
        let mut get = self.get();
        // The sandbox user may not enter the checkout.
        get.args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(&self.downloads);
        host::run(&mut get)?;
        let prefix = format!("{package}_");
        let folder = std::fs::read_dir(&self.downloads).context("listing the downloads")?;
        folder
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
            .with_context(|| format!("apt-get download {package} left no file in {}", self.downloads.display()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C.UTF-8");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

fn downloads(layout: &Layout) -> Result<PathBuf> {
    let folder = layout.cache().join("apt/downloads");
    std::fs::create_dir_all(&folder).context("making the folder for downloads")?;
    Ok(folder)
}

/// The code name of the running Debian: `bookworm`.
pub fn codename() -> Result<String> {
    let release = std::fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.context("/etc/os-release names no VERSION_CODENAME: is this a Debian machine?")?;
    Ok(name.trim_matches('"').to_owned())
}

/// The mirror from which the machine takes the main suite of its release.
fn mirror() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(RELEASE) $(CODENAME) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    ]);
    let listing = host::run(&mut targets)?;
    let Some(mirror) = mirror_in(&listing, &codename()?) else {
        bail!("the machine's apt sources name no mirror for Debian {}: add one and try again", codename()?);
    };
    Ok(mirror)
}

fn mirror_in(listing: &str, codename: &str) -> Option<String> {
    listing.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[release, name, "main", uri] = words.as_slice() else { return None };
        (release == codename || name == codename).then(|| uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    const LISTING: &str = "bookworm-security bookworm-security main http://mirror.example/security/
bookworm bookworm contrib http://mirror.example/other/
oldstable bookworm main http://mirror.example/debian/
";

    #[test]
    fn the_mirror_is_that_of_the_release_itself_not_of_its_updates() {
        assert_eq!(mirror_in(LISTING, "bookworm").as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(mirror_in(LISTING, "trixie"), None);
    }
}
