//! Asking again until something has come about.

use std::time::{Duration, Instant};

use crate::Result;

/// How long is let pass between two attempts.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Asks again until there is an answer.
///
/// # Errors
/// The last failure, if there is no answer within `patience`.
pub fn patiently<T>(patience: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match ask() {
            Err(error) if Instant::now() > deadline => return Err(error.context(format!("still after {patience:?}"))),
            Err(_) => std::thread::sleep(ASK_AGAIN),
            answer => return answer,
        }
    }
}
