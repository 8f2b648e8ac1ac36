//! Debian's stock kernels, downloaded and unpacked into the cache, never installed.
//!
//! Each gets a folder with `vmlinux` (the ELF image out of the compressed one: QEMU enters it directly, by PVH,
//! which spares several seconds of decompression under emulation), `release` and `modules/`. A folder that is
//! there is complete: it is made under another name and renamed at the end.

use super::apt::Apt;
use crate::layout::Layout;
use crate::progress::stage;
use crate::{Result, host};
use anyhow::{Context, bail, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// The kernels that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Kernel {
    /// Debian 12's own.
    #[default]
    V6_1,
    /// That of Debian 12's backports.
    V6_12,
}

impl Kernel {
    /// All of them, oldest first.
    pub const ALL: [Kernel; 2] = [Kernel::V6_1, Kernel::V6_12];
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kernel::V6_1 => "6.1",
            Kernel::V6_12 => "6.12",
        })
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Kernel, String> {
        Kernel::ALL
            .into_iter()
            .find(|kernel| kernel.to_string() == name)
            .ok_or_else(|| format!("there is no kernel {name:?} here: say 6.1 or 6.12"))
    }
}

/// Where the parts of a kernel lie.
#[derive(Debug, Clone)]
pub struct KernelFiles {
    folder: PathBuf,
    release: String,
}

impl KernelFiles {
    /// The ELF image to boot.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// What `uname -r` prints under it.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// What is to be seen as `/lib/modules/RELEASE` in the guest.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.folder.join("modules")
    }

    /// A folder for what is derived from it, such as an initramfs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Downloads and unpacks the kernels that are missing.
pub fn ensure(layout: &Layout) -> Result<()> {
    for kernel in Kernel::ALL {
        if !folder(layout, kernel).exists() {
            stage(format!("fetching and unpacking Debian's Linux {kernel}"), || fetch(layout, kernel))?;
        }
    }
    Ok(())
}

/// The parts of a kernel that [`ensure`] has fetched.
pub fn files(layout: &Layout, kernel: Kernel) -> Result<KernelFiles> {
    let folder = folder(layout, kernel);
    let release = std::fs::read_to_string(folder.join("release"));
    let release = release.with_context(|| format!("Linux {kernel} is not unpacked: run `lunette-bed setup`"))?;
    Ok(KernelFiles { folder, release: release.trim().to_owned() })
}

fn folder(layout: &Layout, kernel: Kernel) -> PathBuf {
    layout.cache().join("kernels").join(kernel.to_string())
}

fn fetch(layout: &Layout, kernel: Kernel) -> Result<()> {
    let apt = match kernel {
        Kernel::V6_1 => Apt::of_the_machine(layout)?,
        Kernel::V6_12 => Apt::of_backports(layout)?,
    };
    apt.update()?;
    let package = image_package(&apt, kernel)?;
    let finished = folder(layout, kernel);
    let unpacked = layout.cache().join("kernels").join(format!("{kernel}-unpacking"));
    remove_if_there(&unpacked)?;
    apt.unpack(&package, &unpacked.join("package"))?;
    lay_out(&unpacked, package.trim_start_matches("linux-image-"))?;
    std::fs::rename(&unpacked, &finished).context("naming the finished kernel folder")
}

/// The package with the image itself, which `linux-image-amd64` depends on.
fn image_package(apt: &Apt, kernel: Kernel) -> Result<String> {
    let wanted = format!("linux-image-{kernel}.");
    let depends = apt.depends("linux-image-amd64")?;
    match depends.iter().find(|package| package.starts_with(&wanted)) {
        Some(package) => Ok(package.clone()),
        None => {
            bail!("this Debian's linux-image-amd64 depends on {depends:?}, not on Linux {kernel}: Debian 12 is needed")
        }
    }
}

/// From the package's own tree to `vmlinux`, `modules` and `release`.
fn lay_out(folder: &Path, release: &str) -> Result<()> {
    let package = folder.join("package");
    host::run(Command::new("depmod").arg("--basedir").arg(&package).arg(release))?;
    let compressed = package.join("boot").join(format!("vmlinuz-{release}"));
    let image = std::fs::read(&compressed).with_context(|| format!("reading {}", compressed.display()))?;
    std::fs::write(folder.join("vmlinux"), decompress(payload(&image)?)?).context("writing vmlinux")?;
    std::fs::rename(package.join("lib/modules").join(release), folder.join("modules")).context("moving the modules")?;
    std::fs::write(folder.join("release"), release).context("writing the release")?;
    remove_if_there(&package)
}

fn remove_if_there(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

/// The compressed ELF image within a bzImage: `setup_sects`, `payload_offset` and `payload_length` of the setup
/// header, Documentation/arch/x86/boot.rst. The last four bytes hold its length when decompressed.
fn payload(image: &[u8]) -> Result<&[u8]> {
    ensure!(image.get(0x202..0x206) == Some(b"HdrS".as_slice()), "the kernel image has no x86 boot header");
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the kernel image ends within its header")?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("the slice is four bytes long")) as usize)
    };
    let protected_mode = (usize::from(image[0x1f1]) + 1) * 512;
    let start = protected_mode + word(0x248)?;
    let end = (start + word(0x24c)?).saturating_sub(4);
    image.get(start..end).context("the kernel image ends within its payload")
}

fn decompress(payload: &[u8]) -> Result<Vec<u8>> {
    let program = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        other => bail!(
            "the kernel image is compressed in an unknown way: it begins with {:02x?}",
            &other[..8.min(other.len())]
        ),
    };
    let output = host::capture(Command::new(program).args(["-d", "-c"]), payload)?;
    ensure!(
        output.stdout.starts_with(b"\x7fELF"),
        "{program} made no ELF image of the kernel: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_go_by_their_version() {
        assert_eq!("6.12".parse(), Ok(Kernel::V6_12));
        assert!("5.10".parse::<Kernel>().is_err_and(|message| message.contains("6.1 or 6.12")));
    }

    #[test]
    fn the_payload_is_where_the_boot_header_says() {
        let mut image = vec![0_u8; 4096];
        image[0x1f1] = 3;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&9_u32.to_le_bytes());
        image[2064..2069].copy_from_slice(b"hello");
        assert_eq!(payload(&image).expect("it is whole"), b"hello");
    }

    #[test]
    fn a_truncated_image_is_refused() {
        assert!(payload(&[0; 100]).is_err());
        let mut image = vec![0_u8; 600];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24c..0x250].copy_from_slice(&4096_u32.to_le_bytes());
        assert!(payload(&image).is_err());
    }
}
