//! The journal's file and its mapping: words that are read and stored atomically, and room made ahead.
//!
//! A page that a full tmpfs cannot give is a SIGBUS at the store, so no word is touched that was not allocated
//! before: [`Words::grow`] asks for more room when an id needs it, and then a full tmpfs is an error code.

// UNSAFETY: one slice of atomics over a mapping of a file that another process might write.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};

use super::Journal;
use super::layout::{
    BACKED, HEAD, LOG, LOG_LEN, LOG_WORDS, MAGIC, MAX_RECORDS, RECORD, VERSION, WORDS, bytes_of, record,
};

/// Records there is room for at first: more commands than a queue depth of the usual 128 has.
const FIRST: u32 = 256;

/// There is no journal: a crash will end in BUSY for what was in flight.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the journal {path}: check that it is on a tmpfs with room, and writable")]
pub struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

pub struct Words {
    file: File,
    map: MmapRaw,
    backed: u32,
}

impl Journal {
    /// Opens the journal at `path`, or makes an empty one, which is of no ring yet. `boot` tells this boot of
    /// the machine from others. Only whoever has claimed the device may do this.
    ///
    /// # Errors
    /// The file cannot be made or mapped.
    pub fn open(path: &Path, boot: u128) -> Result<Self, JournalError> {
        let words = Words::open(path).map_err(|source| JournalError { path: path.into(), source })?;
        Ok(Self { words, boot, fetched: 0, completed: 0, next: 0 })
    }
}

impl Words {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
        let len = 8 * WORDS;
        if file.metadata()?.len() != len as u64 {
            // New, or not of this layout: nothing in it is worth keeping.
            file.set_len(0)?;
            file.set_len(len as u64)?;
        }
        allocate(&file, 0, bytes_of(FIRST))?;
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        let mut words = Self { file, map, backed: FIRST };
        words.recognise();
        Ok(words)
    }

    /// Finds out how many records there are; a file that says something else than we would starts anew.
    fn recognise(&mut self) {
        if (self.get(HEAD), self.get(HEAD + 1)) == (MAGIC, VERSION) {
            let said = u32::try_from(self.get(BACKED)).unwrap_or(0);
            let backed = said.clamp(FIRST, MAX_RECORDS);
            if allocate(&self.file, bytes_of(FIRST), bytes_of(backed) - bytes_of(FIRST)).is_ok() {
                self.backed = backed;
                return;
            }
        }
        self.release(super::layout::VALID, 0);
        self.set(HEAD, MAGIC);
        self.set(HEAD + 1, VERSION);
        self.set(BACKED, u64::from(self.backed));
    }

    /// Records that may be touched: those of ids below this.
    pub fn backed(&self) -> u32 {
        self.backed
    }

    /// Makes room for the record of `id`; whether there is.
    #[cold]
    pub fn grow(&mut self, id: u16) -> bool {
        let wanted = (u32::from(id) + 1).next_power_of_two().clamp(FIRST, MAX_RECORDS);
        let (from, to) = (bytes_of(self.backed), bytes_of(wanted));
        if wanted <= self.backed || allocate(&self.file, from, to - from).is_err() {
            return wanted <= self.backed;
        }
        self.backed = wanted;
        self.release(BACKED, u64::from(wanted));
        true
    }

    #[inline]
    fn all(&self) -> &[AtomicU64] {
        // SAFETY: `open` mapped WORDS words, page-aligned, for reading and writing, and the mapping lives as long
        // as `self`; every access to it in this process is through these atomics. What another process did to
        // the file changes values, which are checked, and no validity: any bits are a u64.
        unsafe { slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), WORDS) }
    }

    /// The record of an id, if there is room for it.
    #[inline]
    pub fn record(&self, id: u16) -> Option<Record<'_>> {
        if u32::from(id) >= self.backed {
            return None;
        }
        self.all().get(record(u32::from(id))..)?.first_chunk().map(Record)
    }

    /// Puts two words into the log, as its entry of that number.
    #[inline]
    pub fn log(&self, number: u64, words: [u64; 2]) {
        let Some(log) = self.all().get(LOG..).and_then(|rest| rest.first_chunk::<LOG_WORDS>()) else { return };
        let at = 2 * (number % LOG_LEN) as usize;
        Record::store(&log[at], words[0], Ordering::Relaxed);
        Record::store(&log[at + 1], words[1], Ordering::Relaxed);
    }

    #[inline]
    pub fn get(&self, at: usize) -> u64 {
        self.all()[at].load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set(&self, at: usize, word: u64) {
        self.store(at, word, Ordering::Relaxed);
    }

    /// Stores after everything that was stored before, here and in the ring.
    #[inline]
    pub fn release(&self, at: usize, word: u64) {
        self.store(at, word, Ordering::Release);
    }

    #[inline]
    fn store(&self, at: usize, word: u64, order: Ordering) {
        Record::store(&self.all()[at], word, order);
    }
}

/// The words of one record, which are in the mapping and have memory.
#[derive(Clone, Copy)]
pub struct Record<'a>(&'a [AtomicU64; RECORD]);

impl Record<'_> {
    #[inline]
    pub fn get(self, at: usize) -> u64 {
        self.0[at].load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set(self, at: usize, word: u64) {
        Self::store(&self.0[at], word, Ordering::Relaxed);
    }

    /// Stores the record's first word after everything that was stored before, here and in the ring.
    #[inline]
    pub fn release(self, state: u64) {
        Self::store(&self.0[0], state, Ordering::Release);
    }

    #[inline]
    fn store(word: &AtomicU64, value: u64, order: Ordering) {
        #[cfg(test)]
        crate::fuse::burn();
        word.store(value, order);
    }
}

fn allocate(file: &File, at: u64, len: u64) -> io::Result<()> {
    let (at, len) = (i64::try_from(at).unwrap_or(i64::MAX), i64::try_from(len).unwrap_or(i64::MAX));
    match fallocate(file, FallocateFlags::empty(), at, len) {
        Ok(()) => Ok(()),
        // Nothing to allocate.
        Err(Errno::EINVAL) if len == 0 => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
