//! When a lane may begin its next test: only while processors are not short.
//!
//! More tests at once end sooner only as long as they wait for something else than a processor. Past that each takes
//! longer, until what is patient enough on any machine by itself is not: a guest that gets a quarter of a processor
//! does not start a pod within minutes.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Threads that run or could, per processor, above which nobody begins: each gets two thirds of what it would use.
const CROWDED: f64 = 1.5;
/// How often, and how long apart, they are counted for one look.
const SAMPLES: u32 = 30;
const APART: Duration = Duration::from_millis(50);

/// Lanes pass one at a time.
#[derive(Debug, Default)]
pub struct Turnstile {
    turn: Mutex<()>,
    busy: AtomicUsize,
}

/// A lane that passed and runs a test.
#[derive(Debug)]
pub struct Passed<'a>(&'a Turnstile);

impl Turnstile {
    /// Waits until no lane runs a test, or processors have time for another.
    pub fn pass(&self) -> Passed<'_> {
        let _turn = super::lock(&self.turn);
        while self.busy.load(Ordering::Relaxed) > 0 && is_crowded(runnable(), processors()) {}
        self.busy.fetch_add(1, Ordering::Relaxed);
        Passed(self)
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_crowded(runnable: f64, processors: usize) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "there are not that many processors")]
    let room = processors as f64 * CROWDED;
    runnable > room
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many threads ran or could on average, over a second or two; none where that cannot be told.
fn runnable() -> f64 {
    let counts = (0..SAMPLES).map(|_| {
        std::thread::sleep(APART);
        fs::read_to_string("/proc/loadavg").ok().and_then(|text| others(&text)).unwrap_or_default()
    });
    f64::from(counts.sum::<u32>()) / f64::from(SAMPLES)
}

/// The threads beside the one that reads, by the fourth field of /proc/loadavg (`runnable/all`: proc_loadavg(5)).
fn others(loadavg: &str) -> Option<u32> {
    let (runnable, _) = loadavg.split_whitespace().nth(3)?.split_once('/')?;
    Some(runnable.parse::<u32>().ok()?.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_itself_is_not_counted() {
        assert_eq!(others("8.21 7.96 6.72 9/190 17282\n"), Some(8));
        assert_eq!(others("8.21 7.96"), None);
    }

    #[test]
    fn two_processors_are_crowded_by_more_than_three() {
        assert!(!is_crowded(3.0, 2));
        assert!(is_crowded(3.1, 2));
    }

    #[test]
    fn the_first_passes_at_once_however_crowded_it_is() {
        let turnstile = Turnstile::default();
        let passed = turnstile.pass();
        assert_eq!(turnstile.busy.load(Ordering::Relaxed), 1);
        drop(passed);
        assert_eq!(turnstile.busy.load(Ordering::Relaxed), 0);
    }
}
