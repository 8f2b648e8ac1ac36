//! Writes that a power cut leaves whole or undone: the bytes are durable in a file beside the data before the
//! first of them reaches the data, and that file is invalid again before anything else may be written there.
//!
//! ```text
//! POOL/<uid>/journal   magic, place, length, checksum; from byte 4096 on the bytes themselves
//! ```
//!
//! Whoever opens the volume next finds a valid journal only where the last write did not come to its end, and
//! ends it. All of it runs on a thread of its own, one write at a time: every step waits for the disk. That
//! thread shares the volume's lock, so that it never writes after another opener has begun.

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};

use lunette_backend::{IoError, IoErrorKind, PoolError, Result};
use nix::errno::Errno;

use crate::message::failed;
use crate::volume::Volume;

/// Bytes of one write at most: as many as one command brings.
pub(crate) const LIMIT: u64 = 1 << 20;

const MAGIC: [u8; 8] = *b"LUNATOM1";
/// Bytes before the data.
const HEADER: usize = 4096;

/// The journal of an open volume.
pub(crate) struct Journal {
    files: Arc<Files>,
    threads: RefCell<Vec<JoinHandle<()>>>,
}

struct Files {
    /// The volume's directory, where the journal is made at the first write.
    dir: File,
    /// The data, through the page cache whatever the engine does.
    data: File,
    /// Keeps the volume's lock.
    _lock: File,
    /// Held during a write.
    journal: Mutex<Option<File>>,
}

impl Journal {
    /// Opens the journal of a volume whose writer's lock `locked` holds, and ends what is in it.
    pub fn open(volume: &Volume<'_>, locked: &File) -> std::result::Result<Self, PoolError> {
        let fail = |error: io::Error| failed("ending an interrupted write in", &volume.path(), error);
        let (dir, lock) = (volume.dir().try_clone().map_err(fail)?, locked.try_clone().map_err(fail)?);
        let data = volume.open_data(false)?;
        let journal = volume.open_journal()?;
        if let Some(journal) = &journal {
            replay(journal, &data).map_err(fail)?;
        }
        let files = Files { dir, data, _lock: lock, journal: Mutex::new(journal) };
        Ok(Self { files: Arc::new(files), threads: RefCell::default() })
    }

    /// Writes `bytes` at byte `at` of the data.
    pub async fn write(&self, at: u64, bytes: Vec<u8>) -> Result<()> {
        let ended = Arc::new(Ended::default());
        let (files, end) = (Arc::clone(&self.files), Arc::clone(&ended));
        let work = move || end.is(files.write(at, &bytes));
        let thread = thread::Builder::new().name("lunette-atomic".to_owned()).spawn(work);
        let thread = thread.map_err(|error| IoError::new(IoErrorKind::Busy, error))?;
        self.note(thread);
        poll_fn(|context| ended.poll(context.waker())).await.map_err(|error| {
            let full = error.raw_os_error() == Some(Errno::ENOSPC as i32);
            IoError::new(if full { IoErrorKind::NoSpace } else { IoErrorKind::MediumWrite }, error)
        })
    }
}

impl Journal {
    /// Remembers a thread that is to be waited for.
    fn note(&self, thread: JoinHandle<()>) {
        let mut threads = self.threads.borrow_mut();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        for thread in self.threads.get_mut().drain(..) {
            // It does not panic; if it did, there is nothing of it to wait for.
            let _ = thread.join();
        }
    }
}

impl Files {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = match &mut *journal {
            Some(journal) => journal,
            none => none.insert(self.make()?),
        };
        journal.write_all_at(bytes, HEADER as u64)?;
        journal.write_all_at(&header(at, bytes), 0)?;
        journal.sync_data()?;
        apply(journal, &self.data, at, bytes)
    }

    fn make(&self) -> io::Result<File> {
        let journal = crate::volume::make_journal(&self.dir)?;
        self.dir.sync_all()?;
        Ok(journal)
    }
}

/// Brings the bytes to their place, and makes the journal invalid before anybody hears of it.
fn apply(journal: &File, data: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    data.write_all_at(bytes, at)?;
    data.sync_data()?;
    journal.write_all_at(&[0; HEADER], 0)?;
    journal.sync_data()
}

/// Ends the write that a valid journal holds.
fn replay(journal: &File, data: &File) -> io::Result<()> {
    let Some((at, bytes)) = read(journal)? else { return Ok(()) };
    let inside = at.checked_add(bytes.len() as u64).is_some_and(|end| data.metadata().is_ok_and(|m| end <= m.len()));
    if !inside {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its journal speaks of bytes that it does not have"));
    }
    tracing::info!(at, len = bytes.len(), "an atomic write that was interrupted is brought to its end");
    apply(journal, data, at, &bytes)
}

/// Place and bytes, if the journal is whole.
fn read(journal: &File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut head = [0; 24];
    if journal.metadata()?.len() < HEADER as u64 {
        return Ok(None);
    }
    journal.read_exact_at(&mut head, 0)?;
    let number = |at: usize| head[at..at + 8].iter().fold(0, |n: u64, byte| n << 8 | u64::from(*byte));
    let (at, len) = (number(8), number(16));
    if head[..8] != MAGIC || len > LIMIT || journal.metadata()?.len() < HEADER as u64 + len {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    journal.read_exact_at(&mut bytes, HEADER as u64)?;
    let mut found = [0; 32];
    journal.read_exact_at(&mut found, 0)?;
    Ok((header(at, &bytes)[..32] == found).then_some((at, bytes)))
}

fn header(at: u64, bytes: &[u8]) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&at.to_be_bytes());
    head[16..24].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
    let sum = checksum(&head[..24], bytes);
    head[24..32].copy_from_slice(&sum.to_be_bytes());
    head
}

/// A whole journal.
#[cfg(test)]
pub(crate) fn record(at: u64, bytes: &[u8]) -> Vec<u8> {
    [&header(at, bytes)[..], bytes].concat()
}

/// FNV-1a, 64 bits: it tells a record that is whole from one that a power cut tore.
fn checksum(head: &[u8], bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    head.iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325, step)
}

/// What a thread came to, and who waits for it.
#[derive(Default)]
struct Ended {
    state: Mutex<(Option<io::Result<()>>, Option<Waker>)>,
}

impl Ended {
    fn is(&self, result: io::Result<()>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = Some(result);
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, waker: &Waker) -> Poll<io::Result<()>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.0.take() {
            return Poll::Ready(result);
        }
        state.1 = Some(waker.clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (File, File) {
        let data = tempfile::tempfile().unwrap();
        data.set_len(1 << 20).unwrap();
        (tempfile::tempfile().unwrap(), data)
    }

    /// A power cut may come after any byte of the journal was written.
    #[test]
    fn a_torn_journal_is_no_journal() {
        let (journal, data) = files();
        let record = record(8192, &[7; 4096]);
        for len in [0, 8, 31, 32, 4096, 4097, 8191] {
            journal.set_len(0).unwrap();
            journal.write_all_at(&record[..len], 0).unwrap();
            replay(&journal, &data).unwrap();
        }
        for broken in [0, 9, 17, 30, 4096, 8191] {
            let mut other = record.clone();
            other[broken] ^= 1;
            journal.write_all_at(&other, 0).unwrap();
            replay(&journal, &data).unwrap();
        }
        let mut bytes = [1; 4096];
        data.read_exact_at(&mut bytes, 8192).unwrap();
        assert_eq!(bytes, [0; 4096]);
    }

    #[test]
    fn a_whole_journal_is_brought_to_its_end_once() {
        let (journal, data) = files();
        journal.write_all_at(&record(8192, &[7; 4096]), 0).unwrap();
        data.write_all_at(&[7; 100], 8192).unwrap();
        replay(&journal, &data).unwrap();
        let mut bytes = [0; 4096];
        data.read_exact_at(&mut bytes, 8192).unwrap();
        assert_eq!(bytes, [7; 4096]);
        assert_eq!(read(&journal).unwrap(), None, "a later write there is not undone");
    }

    #[test]
    fn a_journal_of_bytes_that_are_not_there_is_refused() {
        let (journal, data) = files();
        journal.write_all_at(&record(1 << 20, &[7; 4096]), 0).unwrap();
        assert!(replay(&journal, &data).is_err());
    }
}
