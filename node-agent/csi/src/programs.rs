//! Programs that may be held up by a disk: each gets a time, and what it prints is kept to its end.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::call::{Call, Ended};
use crate::host::HostError;

/// Longer than any of them takes on a disk that answers.
const PATIENCE: Duration = Duration::from_secs(1500);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// So much of what it prints is kept, of each stream.
const KEPT: usize = 4096;

/// Runs it to its end.
///
/// # Errors
/// When it cannot be run or does not come back; how it ended is in the answer.
pub fn run(call: &Call) -> Result<Ended, HostError> {
    let mut command = Command::new(call.program);
    command.args(&call.arguments).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let not_there = |error| HostError::NotThere { program: call.program, error };
    let mut child = command.spawn().map_err(not_there)?;
    let (out, err) = (child.stdout.take().map(kept), child.stderr.take().map(kept));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(not_there)? {
            Some(status) => break status,
            None if Instant::now() < deadline => sleep(LOOK_AGAIN),
            None => {
                // In the kernel it is stuck for good: then nothing ends it, and nobody waits for it.
                let _ = child.kill();
                return Err(HostError::Stuck { program: call.program, seconds: PATIENCE.as_secs() });
            }
        }
    };
    let said = [out, err].into_iter().flatten().filter_map(|reader| reader.join().ok()).collect();
    Ok(Ended { status: status.code().unwrap_or(-1), said })
}

/// Reads all that comes, so that the program is not held up, and keeps the end.
fn kept(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    spawn(move || {
        let mut kept = Vec::new();
        let mut piece = [0; KEPT];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => {
                    kept.extend_from_slice(&piece[..length]);
                    kept.drain(..kept.len().saturating_sub(KEPT));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_it_says_is_kept_and_it_is_not_held_up() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo last; echo why >&2; exit 3";
        let ended = run(&Call::new("sh", ["-c", script])).expect("it runs");
        assert_eq!(ended.status, 3);
        assert!(ended.said.ends_with("line 19999\nlast\nwhy\n") && ended.said.len() < 2 * KEPT, "{}", ended.said);
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = run(&Call::new("mkfs.nothing", [""; 0])).expect_err("it is not there");
        assert!(error.to_string().starts_with("cannot run mkfs.nothing: "), "{error}");
    }
}
