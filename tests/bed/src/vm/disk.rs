//! Disks of a VM: files on the host that outlive a power cut of the guest, seen there as virtio block devices.
//!
//! A power cut here ends QEMU, not the host: what the guest's kernel has handed to the disk stays, what it still
//! held in its own memory is lost. So a missing flush of the guest's caches shows, and one of the disk's own does not:
//! for that there are disks whose writes are [logged](DiskSpec::logged).

use crate::{Result, host};
use anyhow::Context;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How QEMU caches a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskCache {
    /// The guest sees a disk with a write cache, and must flush.
    #[default]
    WriteBack,
    /// The guest sees a disk without one: a write is durable when it is done.
    WriteThrough,
    /// As `WriteBack`, and flushes are dropped: fast, for disks that no test cuts the power of.
    Unsafe,
}

/// One disk of a VM.
#[derive(Debug, Clone)]
pub struct DiskSpec {
    name: String,
    bytes: u64,
    cache: DiskCache,
    base: Option<PathBuf>,
    logged: bool,
}

impl DiskSpec {
    /// An empty disk of `bytes` bytes, named `name` (also its serial number). It takes room as it is written.
    #[must_use]
    pub fn empty(name: &str, bytes: u64) -> DiskSpec {
        DiskSpec { name: name.to_owned(), bytes, cache: DiskCache::default(), base: None, logged: false }
    }

    /// A copy-on-write disk over the raw image `base`, which is not written.
    #[must_use]
    pub fn over(name: &str, base: &Path) -> DiskSpec {
        DiskSpec {
            name: name.to_owned(),
            bytes: 0,
            cache: DiskCache::default(),
            base: Some(base.to_path_buf()),
            logged: false,
        }
    }

    /// How QEMU caches it.
    #[must_use]
    pub fn cache(mut self, cache: DiskCache) -> DiskSpec {
        self.cache = cache;
        self
    }

    /// Has every write and flush written down, in their order, for a [`WriteLog`](super::WriteLog). The guest sees a
    /// disk with a write cache that neither discards nor writes zeroes by command, so that a log has nothing but data. The log grows as it
    /// is written.
    #[must_use]
    pub fn logged(mut self) -> DiskSpec {
        self.logged = true;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file.
    pub(super) fn create(&self, folder: &Path) -> Result<()> {
        let path = self.path(folder);
        if let Some(base) = &self.base {
            let mut create = Command::new("qemu-img");
            create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(&path);
            return host::run(&mut create).map(drop);
        }
        let file = File::create(&path).with_context(|| format!("making the disk {}", path.display()))?;
        file.set_len(self.bytes).with_context(|| format!("sizing the disk {}", path.display()))?;
        if self.logged {
            File::create(self.log(folder)).context("making the log of a disk")?;
        }
        Ok(())
    }

    /// Where its writes are logged.
    pub(super) fn log(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.log", self.name))
    }

    /// What QEMU is told.
    pub(super) fn qemu_arguments(&self, folder: &Path) -> Vec<String> {
        if self.logged {
            return self.logged_arguments(folder);
        }
        let format = if self.base.is_some() { "qcow2" } else { "raw" };
        let cache = match self.cache {
            DiskCache::WriteBack => "writeback",
            DiskCache::WriteThrough => "writethrough",
            DiskCache::Unsafe => "unsafe",
        };
        let (name, path) = (&self.name, self.path(folder));
        [
            "-drive".to_owned(),
            format!("if=none,id={name},file={},format={format},cache={cache},discard=unmap", path.display()),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive={name},serial={name}"),
        ]
        .to_vec()
    }

    /// The log is what counts: neither file is flushed on the host.
    ///
    /// Requests that wait are not merged: up to `IOV_MAX` pieces are merged into one, and with the header that blklogwrites
    /// adds to each there would be more than the host writes at once. Such a write fails, and leaves a hole in the log.
    fn logged_arguments(&self, folder: &Path) -> Vec<String> {
        let (name, path, log) = (&self.name, self.path(folder), self.log(folder));
        let file = |node: &str, path: &Path| {
            format!("driver=file,node-name={node},filename={},cache.no-flush=on", path.display())
        };
        [
            "-blockdev".to_owned(),
            file(&format!("{name}-data"), &path),
            "-blockdev".to_owned(),
            file(&format!("{name}-log"), &log),
            "-blockdev".to_owned(),
            format!("driver=blklogwrites,node-name={name},file={name}-data,log={name}-log"),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive={name},serial={name},discard=off,write-zeroes=off,write-cache=on,request-merging=off"),
        ]
        .to_vec()
    }

    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.disk", self.name))
    }
}
