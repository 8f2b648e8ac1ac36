//! The first root file system of a guest: a static busybox, the modules it takes to reach the host's root, a script.
//!
//! It is the same for every VM of a kernel: who the guest is comes on the kernel's command line. Written straight
//! as a "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst), and kept beside the kernel
//! under a name that tells its content, so a changed script is not mistaken for an old one.

use crate::setup::KernelFiles;
use crate::{Result, host};
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the guest of a trial of KVM says.
pub const TRIAL_WORD: &str = "bed-trial-passed";

const INIT: &str = include_str!("init.sh");
const BUSYBOX: &str = "/bin/busybox";
/// Loaded in this order, each after what it depends on. One that a kernel has built in is no module of it.
const MODULES: &[&str] = &["virtio_pci", "virtio_rng", "9pnet_virtio", "9p", "overlay", "virtio_net", "virtio_blk"];

/// The initramfs for a kernel, made if it is not there.
pub fn ensure(kernel: &KernelFiles) -> Result<PathBuf> {
    let busybox = std::fs::read(BUSYBOX).with_context(|| format!("reading {BUSYBOX}"))?;
    let mut key = Sha256::new();
    for part in [INIT.as_bytes(), &busybox, MODULES.join(" ").as_bytes()] {
        key.update(part);
    }
    let key: String = key.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let path = kernel.folder().join(format!("initramfs-{key}.cpio"));
    if !path.exists() {
        // Several VMs may boot at once: each writes its own file, and the last one named stays.
        let unfinished = path.with_extension(format!("{:?}", std::thread::current().id()));
        std::fs::write(&unfinished, archive(kernel, &busybox)?).context("writing an initramfs")?;
        std::fs::rename(&unfinished, &path).context("naming the finished initramfs")?;
    }
    Ok(path)
}

fn archive(kernel: &KernelFiles, busybox: &[u8]) -> Result<Vec<u8>> {
    let mut archive = Newc::default();
    for folder in ["bin", "dev", "proc", "sys", "modules", "lower", "memory", "newroot"] {
        archive.add(folder, 0o040_755, b"");
    }
    archive.add("bin/busybox", 0o100_755, busybox);
    archive.add("init", 0o100_755, INIT.as_bytes());
    for (number, module) in in_load_order(kernel)?.iter().enumerate() {
        let content = uncompressed(&kernel.modules().join(module))?;
        archive.add(&format!("modules/{number:02}.ko"), 0o100_644, &content);
    }
    Ok(archive.finish())
}

/// [`MODULES`] and what they need, as paths in the kernel's folder, each after what it needs.
fn in_load_order(kernel: &KernelFiles) -> Result<Vec<String>> {
    let path = kernel.modules().join("modules.dep");
    let table = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let order = load_order(&table);
    ensure!(!order.is_empty(), "{} has none of the modules that a guest needs", path.display());
    Ok(order)
}

/// modules.dep lists, after a module, everything it needs, nearest first: modules.dep(5).
fn load_order(table: &str) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for wanted in MODULES {
        let found =
            table.lines().filter_map(|line| line.split_once(':')).find(|(path, _)| module_name(path) == *wanted);
        let Some((path, needs)) = found else { continue };
        for module in needs.split_whitespace().rev().chain([path]) {
            if !order.iter().any(|earlier| earlier == module) {
                order.push(module.to_owned());
            }
        }
    }
    order
}

fn module_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

/// busybox loads plain modules only.
fn uncompressed(module: &Path) -> Result<Vec<u8>> {
    let content = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    if module.extension().is_none_or(|extension| extension != "xz") {
        return Ok(content);
    }
    let output = host::capture(Command::new("xz").args(["-d", "-c"]), &content)?;
    ensure!(output.status.success(), "xz cannot decompress {}", module.display());
    Ok(output.stdout)
}

/// A cpio archive in the making.
#[derive(Default)]
struct Newc {
    bytes: Vec<u8>,
    entries: u32,
}

impl Newc {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("modules and programs are far below 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        // inode, mode, uid, gid, links, time, size, device twice two, name size, checksum
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need_and_once() {
        let table = "kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/fs/netfs.ko:
";
        let order = load_order(table);
        let at = |name: &str| order.iter().position(|module| module_name(module) == name).expect("it is there");
        assert_eq!(order.len(), 6, "{order:?}");
        assert!(at("virtio") < at("virtio_ring") && at("virtio_ring") < at("9pnet_virtio"));
        assert!(at("netfs") < at("9p") && at("9pnet") < at("9p"));
    }

    #[test]
    fn cpio_reads_what_we_write() {
        let mut archive = Newc::default();
        archive.add("a", 0o100_644, b"content");
        archive.add("longer-name", 0o100_755, b"");
        let listed = host::run_with_input(Command::new("busybox").args(["cpio", "-t"]), &archive.finish());
        // Where busybox is not installed yet, set-up has not run: the VM tests cover it there.
        if let Ok(listed) = listed {
            assert_eq!(listed, "a\nlonger-name\n");
        }
    }
}
