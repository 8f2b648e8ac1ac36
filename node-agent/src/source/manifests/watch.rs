//! inotify on the directory of manifests: a nudge for each change, nothing more.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::Notify;

/// How long a directory that is not there is left alone.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Nudges `changed` whenever something in `directory` may have changed, for as long as the process lives.
/// Where inotify is not to be had, the caller's own rescan must do.
pub fn notify_of_changes(directory: PathBuf, changed: Arc<Notify>) {
    let body = move || {
        loop {
            if let Err(error) = watch(&directory, &changed) {
                tracing::debug!(%error, "inotify");
            }
            thread::sleep(LOOK_AGAIN);
        }
    };
    if let Err(error) = thread::Builder::new().name("manifests".to_owned()).spawn(body) {
        tracing::warn!(%error, "no thread to watch the manifests: changes are seen a few seconds late");
    }
}

fn watch(directory: &PathBuf, changed: &Notify) -> nix::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let events = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF;
    inotify.add_watch(directory, events)?;
    changed.notify_one();
    loop {
        let gone = inotify.read_events()?.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED));
        changed.notify_one();
        if gone {
            return Ok(());
        }
    }
}
