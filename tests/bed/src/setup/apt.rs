//! apt, seen twice: as the machine has it set up, and as a throw-away set-up for one suite that the machine lacks.
//!
//! The throw-away one lives in the cache and takes its mirror from the machine's own sources at run time, so no
//! address is ever written into the project, and the machine's own package lists are not touched.

use super::mirror;
use crate::layout::Layout;
use crate::{Result, host};
use anyhow::Context;
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
    fn of_suite(layout: &Layout, suite: &str) -> Result<Apt> {
        let home = layout.cache().join("apt").join(suite);
        for folder in ["lists/partial", "cache/archives/partial", "none"] {
            std::fs::create_dir_all(home.join(folder)).context("making a folder for apt")?;
        }
        let sources = home.join("sources.list");
        let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        std::fs::write(&sources, format!("deb {signed}{} {suite} main\n", mirror::of_the_machine()?))
            .context("writing apt sources")?;
        let options = vec![
            format!("Dir::Etc::SourceList={}", sources.display()),
            format!("Dir::Etc::SourceParts={}/none", home.display()),
            format!("Dir::State::Lists={}/lists", home.display()),
            format!("Dir::Cache={}/cache", home.display()),
        ];
        Ok(Apt { options, downloads: downloads(layout)? })
    }

    /// The backports of the machine's Debian alone.
    pub fn of_backports(layout: &Layout) -> Result<Apt> {
        Apt::of_suite(layout, &format!("{}-backports", mirror::codename()?))
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

    /// Downloads `package` and unpacks its files into a folder, which is made for that.
    pub fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let archive = self.download(package)?;
        std::fs::create_dir_all(into).with_context(|| format!("making a folder for {package}"))?;
        host::run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(into))?;
        std::fs::remove_file(&archive).context("removing the downloaded package")
    }

    /// Downloads `package` and returns its file.
    fn download(&self, package: &str) -> Result<PathBuf> {
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
