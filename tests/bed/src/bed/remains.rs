//! What a bed leaves behind, and how it goes: its processes, its network namespace, its folder.
//!
//! A bed's name says which process made it (`bed-PID-STARTTIME-N`, the start time because process ids come again),
//! and everything of a bed can be found from its name alone: so the same few lines serve the bed's own end, the
//! signal handler and the sweep after a killed run. Clearing twice is harmless.

use crate::host;
use crate::layout::Layout;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const NAMESPACES: &str = "/run/netns";
const KEPT_LOGS: usize = 40;

static MADE: AtomicU32 = AtomicU32::new(0);
static LIVE: Mutex<BTreeMap<String, Remains>> = Mutex::new(BTreeMap::new());
/// The logs of this process's beds that are gone, oldest first.
static CLOSED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

#[derive(Debug, Clone)]
pub(super) struct Remains {
    name: String,
    layout: Layout,
}

impl Remains {
    /// Those of one more bed of this process, cleared on SIGINT and SIGTERM from now on.
    pub fn of_this_process(layout: &Layout) -> Remains {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let name = format!("bed-{pid}-{}-{number}", start_time(pid).unwrap_or_default());
        let remains = Remains { name: name.clone(), layout: layout.clone() };
        lock(&LIVE).insert(name, remains.clone());
        remains
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn folder(&self) -> PathBuf {
        self.layout.runs().join(&self.name)
    }

    pub fn logs(&self) -> PathBuf {
        self.folder().join("logs")
    }

    /// Ends every process of the bed and removes all of it but its logs.
    pub fn clear(&self) {
        lock(&LIVE).remove(&self.name);
        let namespace = Path::new(NAMESPACES).join(&self.name);
        if namespace.exists() {
            end_processes(&namespace);
            // The kernel takes the bridge and the taps down with the namespace.
            if let Err(error) = host::run(Command::new("ip").args(["netns", "delete", &self.name])) {
                eprintln!("bed: {error}");
            }
        }
        self.keep_logs();
        let folder = self.folder();
        if folder.exists()
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            eprintln!("bed: removing {}: {error}", folder.display());
        }
    }

    fn keep_logs(&self) {
        let kept = self.layout.logs().join(&self.name);
        let moved = std::fs::create_dir_all(self.layout.logs()).and_then(|()| std::fs::rename(self.logs(), &kept));
        if moved.is_ok() {
            lock(&CLOSED).push(kept);
            forget_old_logs(&self.layout);
        }
    }
}

/// Clears every bed of this process.
pub fn clear_all() {
    let live: Vec<Remains> = lock(&LIVE).values().cloned().collect();
    live.iter().for_each(Remains::clear);
}

/// Clears the beds of processes that are gone.
pub fn sweep(layout: &Layout) {
    let folders = [layout.runs(), PathBuf::from(NAMESPACES)];
    let names = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    for entry in names {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_orphan(&name) {
            eprintln!("bed: clearing what a killed run left: {name}");
            Remains { name, layout: layout.clone() }.clear();
        }
    }
}

/// The log folders of this process's beds, both the live ones and those that ended since the last call.
#[must_use]
pub fn recent_logs() -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = lock(&CLOSED).drain(..).collect();
    logs.extend(lock(&LIVE).values().map(Remains::logs));
    logs
}

/// Whether `name` is that of a bed whose process is gone.
fn is_orphan(name: &str) -> bool {
    let mut parts = name.splitn(4, '-');
    let (Some("bed"), Some(pid), Some(started)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (Ok(pid), Ok(started)) = (pid.parse::<u32>(), started.parse::<u64>()) else { return false };
    start_time(pid) != Some(started)
}

/// When the process started, in ticks since boot: field 22 of /proc/PID/stat, proc(5). A zombie is gone already.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may itself hold spaces and parentheses.
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    if fields.first() == Some(&"Z") { None } else { fields.get(19)?.parse().ok() }
}

fn end_processes(namespace: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = processes_in(namespace);
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            eprintln!("bed: processes {left:?} of {} do not end", namespace.display());
            return;
        }
        for pid in left {
            // It may be gone already, which is what we want.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes, zombies aside, whose network is `namespace`.
fn processes_in(namespace: &Path) -> Vec<i32> {
    let Ok(wanted) = std::fs::metadata(namespace) else { return Vec::new() };
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|pid: &i32| {
            let own = std::fs::metadata(format!("/proc/{pid}/ns/net"));
            own.is_ok_and(|own| (own.dev(), own.ino()) == (wanted.dev(), wanted.ino()))
        })
        .collect()
}

fn forget_old_logs(layout: &Layout) {
    let Ok(entries) = std::fs::read_dir(layout.logs()) else { return };
    let mut kept: Vec<_> =
        entries.flatten().filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    kept.sort();
    let surplus = kept.len().saturating_sub(KEPT_LOGS);
    for (_, path) in &kept[..surplus] {
        // Old logs that stay take a little room, no more.
        let _ = std::fs::remove_dir_all(path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are whole between any two statements, so a panic elsewhere cannot have broken them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{is_orphan, start_time};

    #[test]
    fn a_bed_belongs_to_a_process_and_its_start_time() {
        let pid = std::process::id();
        let started = start_time(pid).expect("we are running");
        assert!(!is_orphan(&format!("bed-{pid}-{started}-0")));
        assert!(is_orphan(&format!("bed-{pid}-{}-0", started + 1)), "the id came again");
        assert!(is_orphan("bed-4194305-1-0"), "no such process: beyond the kernel's highest id");
    }

    #[test]
    fn other_namespaces_are_not_ours_to_clear() {
        for name in ["bed", "bed-room", "bed-1-x-0", "cni-1234", "bed--1-0"] {
            assert!(!is_orphan(name), "{name}");
        }
    }
}
