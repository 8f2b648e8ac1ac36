//! A process that outlives this one by a moment, to clear its beds away should it be killed.
//!
//! It blocks on a pipe whose other end only this process holds: however this process ends, the kernel closes that
//! end, and the reaper sweeps. After an orderly end there is nothing left for it to find. It is a group of its own,
//! so that Ctrl-C on a terminal does not reach it, and holds none of our output open.

use super::remains;
use crate::Result;
use crate::layout::Layout;
use anyhow::Context;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The verb of the command line that is [`reap`].
pub const VERB: &str = "reap";

/// The reaper of this process, with our end of the pipe.
static REAPER: Mutex<Option<Child>> = Mutex::new(None);

/// Starts this process's reaper, if it has none yet.
pub(super) fn watch(layout: &Layout) -> Result<()> {
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    if reaper.is_none() {
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).current_dir(layout.checkout()).env(crate::layout::CACHE_VARIABLE, layout.cache());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        *reaper = Some(command.spawn().context("starting the reaper")?);
    }
    Ok(())
}

/// Waits for the end of the process that started this one, then sweeps.
///
/// # Errors
/// When the checkout is gone.
pub fn reap() -> Result<()> {
    let layout = Layout::find()?;
    // Nothing is ever written; a failed read means the same as the end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    remains::sweep(&layout);
    Ok(())
}
