//! Progress lines for work that takes longer than a person likes to wait in silence.
//!
//! One line when a stage begins, one about every ten seconds while it runs, one with the elapsed time when it is
//! done. Lines go to standard error, so that a command's own output stays clean. It is not a logger: nothing here
//! has levels, and nothing is printed that a person watching would not want to see.

use std::fmt::Display;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

/// Says about every ten seconds that something still runs, until it is dropped.
#[derive(Debug)]
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Begins; the first line comes after ten seconds.
    #[must_use]
    pub fn start(what: &str) -> Ticker {
        let (started, line) = (Instant::now(), what.to_owned());
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                eprintln!("bed: {line} ... still running, {}", elapsed(started));
            }
        });
        Ticker { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only prints; if it panicked, there is nothing to save.
            let _ = thread.join();
        }
    }
}

/// A running stage. Dropping it without [`Stage::done`] says that the stage did not finish.
#[derive(Debug)]
pub struct Stage {
    what: String,
    started: Instant,
    ticker: Option<Ticker>,
}

impl Stage {
    /// Prints `what` and goes on printing it, with the elapsed time, until the stage ends.
    #[must_use]
    pub fn begin(what: impl Display) -> Stage {
        let what = what.to_string();
        eprintln!("bed: {what} ...");
        let ticker = Ticker::start(&what);
        Stage { what, started: Instant::now(), ticker: Some(ticker) }
    }

    /// Ends the stage well.
    pub fn done(mut self) {
        self.end("done in");
    }

    fn end(&mut self, verdict: &str) {
        let Some(ticker) = self.ticker.take() else { return };
        drop(ticker);
        eprintln!("bed: {} ... {verdict} {}", self.what, elapsed(self.started));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end("NOT finished after");
    }
}

/// Runs `work` as a stage named `what`; the closing line tells whether it succeeded.
///
/// # Errors
/// Whatever `work` returns.
pub fn stage<T>(what: impl Display, work: impl FnOnce() -> crate::Result<T>) -> crate::Result<T> {
    let stage = Stage::begin(what);
    let value = work()?;
    stage.done();
    Ok(value)
}

/// Seconds since `started`, as people read them: `1.2s` or `3m07s`.
#[must_use]
pub fn elapsed(started: Instant) -> String {
    readable(started.elapsed())
}

/// A duration as people read it: `1.2s` or `3m07s`.
#[must_use]
pub fn readable(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 { format!("{:.1}s", time.as_secs_f64()) } else { format!("{}m{:02}s", whole / 60, whole % 60) }
}

#[cfg(test)]
mod tests {
    use super::readable;
    use std::time::Duration;

    #[test]
    fn durations_read_as_seconds_then_minutes() {
        assert_eq!(readable(Duration::from_millis(1240)), "1.2s");
        assert_eq!(readable(Duration::from_secs(187)), "3m07s");
    }
}
