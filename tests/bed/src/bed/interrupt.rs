//! SIGINT, SIGTERM and SIGHUP: everything is cleared away, then the process ends.
//!
//! Signals arrive on a thread of their own, so clearing may take its time and use locks. A second signal while
//! clearing ends the process at once; the next run sweeps up.

use super::remains;
use crate::{Result, setup};
use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// From now on these signals clear this process's beds before they end it.
///
/// # Errors
/// When the handler cannot be installed.
pub fn clear_up_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("taking over the signals")?;
    std::thread::spawn(move || {
        let mut arrived = signals.forever();
        let Some(signal) = arrived.next() else { return };
        std::thread::spawn(move || end(signal));
        if let Some(second) = arrived.next() {
            std::process::exit(128 + second);
        }
    });
    Ok(())
}

fn end(signal: i32) {
    eprintln!("\nbed: signal {signal}: clearing up");
    setup::finish_installing();
    // With its VMs gone the main thread fails too, and would report that and end the process first: it waits here.
    let _out = std::io::stdout().lock();
    let _err = std::io::stderr().lock();
    remains::clear_all();
    std::process::exit(128 + signal);
}
