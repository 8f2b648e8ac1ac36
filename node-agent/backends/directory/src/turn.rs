//! Whose turn it is, among the threads of this process, to change a pool's directory.
//!
//! Other processes are kept out by the kernel's lock on the directory. That is asked for again and again until it is free:
//! where hundreds of LUNs are made at once, hundreds of threads would do so, and whoever has luck goes first. So threads of
//! one process wait here, asleep, and one of them at a time asks the kernel.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// The waiting lines of all directories, by device and inode: each pool has its own, so that one that hangs holds up
/// nobody else's.
static LINES: Mutex<BTreeMap<(u64, u64), Weak<Line>>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    taken: bool,
    /// Turns that have ended.
    count: u64,
}

/// A turn; it ends with this value.
pub(crate) struct Turn(Arc<Line>);

impl Turn {
    /// Waits for a turn at this directory, however long the line is; `None` once no turn has ended for `patience`.
    ///
    /// # Errors
    /// When it is not known which directory it is.
    pub fn take(dir: &File, patience: Duration) -> io::Result<Option<Self>> {
        let about = dir.metadata()?;
        Ok(Line::of((about.dev(), about.ino())).wait(patience))
    }
}

impl Line {
    fn of(directory: (u64, u64)) -> Arc<Self> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&directory).and_then(Weak::upgrade) {
            return line;
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::<Self>::default();
        lines.insert(directory, Arc::downgrade(&line));
        line
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(self: Arc<Self>, patience: Duration) -> Option<Turn> {
        let mut state = self.state();
        while state.taken {
            let count = state.count;
            let woken = self.ended.wait_timeout_while(state, patience, |state| state.taken);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            if state.taken && state.count == count {
                return None;
            }
        }
        state.taken = true;
        drop(state);
        Some(Turn(self))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.taken = false;
        state.count += 1;
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn open(dir: &tempfile::TempDir) -> File {
        File::open(dir.path()).unwrap()
    }

    #[test]
    fn one_thread_at_a_time_has_its_turn_and_each_comes_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, came) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    let turn = Turn::take(&open(&dir), LONG).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    came.fetch_add(1, Ordering::SeqCst);
                    drop(turn.unwrap());
                });
            }
        });
        assert_eq!(came.into_inner(), 32);
    }

    #[test]
    fn who_waits_gives_up_only_when_no_turn_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = Turn::take(&open(&dir), LONG).unwrap();
        assert!(Turn::take(&open(&dir), Duration::from_millis(10)).unwrap().is_none());
        drop(first);
        assert!(Turn::take(&open(&dir), Duration::ZERO).unwrap().is_some());
    }

    #[test]
    fn each_directory_has_a_line_of_its_own() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _held = Turn::take(&open(&one), LONG).unwrap();
        assert!(Turn::take(&open(&other), Duration::ZERO).unwrap().is_some());
    }
}
