//! What was written to a disk and when it was flushed, and what the disk may hold after a power cut at any moment of it.
//!
//! The format is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst, and
//! drivers/md/dm-log-writes.c), which QEMU's `blklogwrites` writes too: a sector that says what follows, then for each
//! request a sector that describes it and the data. Requests stand in the order of their completion. So what stands before a flush is
//! on the disk for good, and of what stands after the last flush any part may be lost.

use crate::{Result, host};
use anyhow::{Context, bail, ensure};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// `LOG_FLUSH_FLAG`, `LOG_FUA_FLAG`. A disk without FUA is sent a write and a flush instead.
const FLUSH: u64 = 1;
const FUA: u64 = 2;

/// The requests that a disk completed, oldest first.
#[derive(Debug)]
pub struct WriteLog {
    file: File,
    disk_bytes: u64,
    requests: Vec<Request>,
}

/// One request.
#[derive(Debug, Clone, Copy)]
struct Request {
    /// Bytes: where on the disk, how many, and where in the log they stand.
    at: u64,
    len: u64,
    data: u64,
    is_flush: bool,
}

impl WriteLog {
    pub(super) fn read(path: &Path, disk_bytes: u64) -> Result<WriteLog> {
        let file = File::open(path).with_context(|| format!("opening the log {}", path.display()))?;
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0).context("reading a log's beginning: was the disk ever flushed?")?;
        ensure!(word(&head, 0) == MAGIC && word(&head, 1) == VERSION, "{} is no log of writes", path.display());
        let sector = u64::from(u32::from_le_bytes([head[24], head[25], head[26], head[27]]));
        let mut log = WriteLog { file, disk_bytes, requests: Vec::new() };
        let mut next = sector;
        for _ in 0..word(&head, 2) {
            let (request, end) = log.request(next, sector)?;
            log.requests.push(request);
            next = end;
        }
        Ok(log)
    }

    /// The request described at that byte, and where the next one is.
    fn request(&self, at: u64, sector: u64) -> Result<(Request, u64)> {
        let mut entry = [0; 24];
        self.file.read_exact_at(&mut entry, at).context("reading a log")?;
        let (first, sectors, flags) = (word(&entry, 0), word(&entry, 1), word(&entry, 2));
        let (len, data) = (sectors * sector, at + sector);
        let request = Request { at: first * sector, len, data, is_flush: flags == FLUSH };
        match flags {
            FLUSH => ensure!(len == 0, "a flush with data"),
            0 => ensure!(len > 0 && request.at + len <= self.disk_bytes, "a write of {len} bytes at {}", request.at),
            FUA.. => bail!("a request with flags {flags:#x}: the disk was to take writes and flushes only"),
        }
        Ok((request, data + len))
    }

    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Writes of whole sectors that begin at that byte of the disk: their numbers, and the first `len` bytes of each.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn writes_at(&self, at: u64, len: usize) -> Result<Vec<(usize, Vec<u8>)>> {
        let there = |request: &Request| !request.is_flush && request.at == at && request.len >= len as u64;
        let found = self.requests.iter().enumerate().filter(|(_, request)| there(request));
        found
            .map(|(number, request)| {
                let mut bytes = vec![0; len];
                self.file.read_exact_at(&mut bytes, request.data).context("reading a log")?;
                Ok((number, bytes))
            })
            .collect()
    }

    fn apply(&self, request: &Request, disk: &File) -> Result<()> {
        let mut bytes = vec![0; usize::try_from(request.len).context("a huge write")?];
        self.file.read_exact_at(&mut bytes, request.data).context("reading a log")?;
        disk.write_all_at(&bytes, request.at).context("writing an image")
    }
}

/// A disk that goes through its log, and whose power can be cut on the way.
#[derive(Debug)]
pub struct Replay<'a> {
    log: &'a WriteLog,
    /// All that is on the disk for good so far.
    path: PathBuf,
    disk: File,
    durable: usize,
}

impl<'a> Replay<'a> {
    /// An empty disk, kept at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(log: &'a WriteLog, path: &Path) -> Result<Replay<'a>> {
        let disk = OpenOptions::new().write(true).create(true).truncate(true).open(path);
        let disk = disk.with_context(|| format!("making {}", path.display()))?;
        disk.set_len(log.disk_bytes).context("sizing a replayed disk")?;
        Ok(Replay { log, path: path.to_owned(), disk, durable: 0 })
    }

    /// Cuts the power when `cut` requests were completed, no fewer than the last time. Makes `image` what is on the disk
    /// then: all up to the last flush, and of the later writes those that `survives` says by their number.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn cut(&mut self, cut: usize, image: &Path, mut survives: impl FnMut(usize) -> bool) -> Result<()> {
        let completed = self.log.requests.get(..cut).context("the log is shorter")?;
        let flushed = completed.iter().rposition(|request| request.is_flush).unwrap_or(0);
        while self.durable < flushed {
            if let Some(request) = completed.get(self.durable).filter(|request| !request.is_flush) {
                self.log.apply(request, &self.disk)?;
            }
            self.durable += 1;
        }
        host::run(Command::new("cp").arg("--sparse=always").arg(&self.path).arg(image))?;
        let disk = OpenOptions::new().write(true).open(image).context("opening an image")?;
        for (number, request) in completed.iter().enumerate().skip(flushed) {
            if !request.is_flush && survives(number) {
                self.log.apply(request, &disk)?;
            }
        }
        Ok(())
    }
}

/// A little-endian number of 64 bits.
fn word(bytes: &[u8], number: usize) -> u64 {
    bytes.iter().skip(8 * number).take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 512;

    /// A log of these requests: a write is its sector and the byte that fills it, a flush is nothing.
    fn log_of(folder: &Path, requests: &[Option<(u64, u8)>]) -> WriteLog {
        let mut bytes = sector(&[MAGIC, VERSION, requests.len() as u64, SECTOR as u64]);
        for request in requests {
            match request {
                Some((at, byte)) => {
                    bytes.extend(sector(&[*at, 1, 0, 0]));
                    bytes.extend([*byte; SECTOR]);
                }
                None => bytes.extend(sector(&[0, 0, FLUSH, 0])),
            }
        }
        let path = folder.join("log");
        std::fs::write(&path, bytes).expect("a file");
        WriteLog::read(&path, 8 * SECTOR as u64).expect("a log")
    }

    fn sector(words: &[u64]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(SECTOR, 0);
        bytes
    }

    /// The first byte of each sector.
    fn sectors(image: &Path) -> Vec<u8> {
        std::fs::read(image).expect("an image").chunks(SECTOR).map(|sector| sector[0]).collect()
    }

    #[test]
    fn what_was_flushed_is_there_and_of_the_rest_what_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let requests = [Some((0, 1)), Some((1, 2)), None, Some((0, 3)), Some((2, 4)), None, Some((3, 5))];
        let log = log_of(folder.path(), &requests);
        let image = folder.path().join("image");
        let mut replay = Replay::new(&log, &folder.path().join("disk")).expect("a disk");
        let mut after = |cut, survivors: &[usize]| {
            replay.cut(cut, &image, |number| survivors.contains(&number)).expect("a cut");
            sectors(&image)[..4].to_vec()
        };
        assert_eq!(after(1, &[]), [0, 0, 0, 0]);
        assert_eq!(after(2, &[1]), [0, 2, 0, 0]);
        assert_eq!(after(3, &[]), [1, 2, 0, 0]);
        assert_eq!(after(5, &[4]), [1, 2, 4, 0], "in any order");
        assert_eq!(after(5, &[3, 4]), [3, 2, 4, 0]);
        assert_eq!(after(7, &[]), [3, 2, 4, 0]);
        assert_eq!(after(7, &[6]), [3, 2, 4, 5]);
    }

    #[test]
    fn writes_to_one_place_are_found_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = log_of(folder.path(), &[Some((5, 1)), None, Some((4, 9)), Some((5, 2))]);
        let found = log.writes_at(5 * SECTOR as u64, 2).expect("the log can be read");
        assert_eq!(found, [(0, vec![1, 1]), (3, vec![2, 2])]);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, [0; SECTOR]).expect("a file");
        assert!(WriteLog::read(&path, 0).is_err());
    }
}
