//! Running a program of the host's to its end, with an error that says what failed and what it printed.
//!
//! It is not for what keeps running (see `bed::Daemon`) nor for commands in a guest (see `vm`).

use crate::Result;
use anyhow::{Context, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Runs `command` and returns its standard output.
///
/// # Errors
/// When it cannot be started or ends with a status other than 0; the message has the last lines it printed.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, b"")
}

/// As [`run`], with `input` on its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    let output = capture(command, input)?;
    if !output.status.success() {
        let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        bail!("{} ended with {}:\n{}", shown(command), output.status, tail(&String::from_utf8_lossy(&printed), 20));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` with `input` and returns all that it printed and its status, whatever that is.
///
/// # Errors
/// When it cannot be started.
pub fn capture(command: &mut Command, input: &[u8]) -> Result<std::process::Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {}", shown(command)))?;
    let mut stdin = child.stdin.take().expect("the line above pipes it");
    let output = std::thread::scope(|scope| {
        // A program that ends without reading its input closes the pipe: no error of ours.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output()
    });
    output.with_context(|| format!("waiting for {}", shown(command)))
}

/// Runs `command` until it prints a line that `wanted` accepts, then kills it. Returns what it printed until then.
///
/// # Errors
/// When it cannot be started, ends before, or prints no such line within `patience`.
pub fn run_until(command: &mut Command, patience: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().with_context(|| format!("starting {}", shown(command)))?;
    let lines = lines_of(child.stdout.take().expect("the line above pipes it"));
    let deadline = Instant::now() + patience;
    let mut printed = String::new();
    let outcome = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                printed.push_str(&line);
                printed.push('\n');
                if wanted(&line) {
                    break Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) => break Err(format!("did not after {patience:?}")),
            Err(RecvTimeoutError::Disconnected) => break Err("ended before it did".to_owned()),
        }
    };
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().with_context(|| format!("waiting for {}", shown(command)))?;
    match outcome {
        Ok(()) => Ok(printed),
        Err(why) => bail!("{} should print a certain line and {why}:\n{}", shown(command), tail(&printed, 20)),
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The command as a person would type it.
#[must_use]
pub fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The last `lines` lines of `text`.
#[must_use]
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_reported_with_what_it_printed() {
        let error = run(Command::new("sh").args(["-c", "echo out; echo reason >&2; exit 3"])).expect_err("status 3");
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("reason"), "{text}");
    }

    #[test]
    fn input_larger_than_a_pipe_reaches_the_program() {
        let input = vec![b'x'; 300_000];
        let counted = run_with_input(Command::new("wc").arg("-c"), &input).expect("wc runs");
        assert_eq!(counted.trim(), "300000");
    }

    #[test]
    fn a_watching_program_is_ended_at_the_line_waited_for() {
        let watch = |script: &str, patience| {
            run_until(Command::new("sh").args(["-c", script]), Duration::from_millis(patience), |line| line == "Ready")
        };
        assert_eq!(watch("echo Pending; echo Ready; exec sleep 99", 60_000).expect("it comes"), "Pending\nReady\n");
        let early = watch("echo Pending", 60_000).expect_err("it never comes").to_string();
        assert!(early.contains("ended before") && early.contains("Pending"), "{early}");
        assert!(watch("exec sleep 99", 50).expect_err("it never comes").to_string().contains("did not after 50ms"));
    }

    #[test]
    fn the_tail_of_a_short_text_is_the_text() {
        assert_eq!(tail("a\nb", 5), "a\nb");
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
    }
}
