//! Lanes: tests side by side, each lane a process of this program that is told one test after another.
//!
//! A test mostly waits: for a VM to boot, for a time to pass. Two at once take little longer than one, as long as
//! processors are not short: see [`turnstile`]. A process for each lane keeps what a process has to itself apart: what
//! is printed, the beds to be cleared, a test that hangs. The lane is asked for a test by a line `KERNEL NAME` and
//! answers with the test's own lines, then a verdict.

mod schedule;
mod turnstile;

use crate::Result;
use crate::runner::{self, Context, Due, Outcome, Report, Test};
use crate::setup::{Ground, Kernel};
use anyhow::{Context as _, anyhow, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use schedule::Schedule;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use turnstile::Turnstile;

/// The verb of the command line that is [`serve`].
pub const VERB: &str = "lane";
/// Begins the line that ends a test's lines: no test prints this character (the ASCII record separator).
const VERDICT: char = '\u{1e}';

/// Runs every test on every kernel that it is about, up to `lanes` of them at a time, and prints the lines of each
/// when it ends.
///
/// # Errors
/// When a lane cannot be started.
pub fn run(tests: &[Test], kernels: &[Kernel], lanes: usize) -> Result<Report> {
    let schedule = Mutex::new(Schedule::new(tests, kernels));
    let report = Mutex::new(Report::default());
    let turnstile = Turnstile::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes).map(|_| scope.spawn(|| follow(&schedule, &turnstile, &report))).collect();
        running.into_iter().try_for_each(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// One lane, until nothing is due.
fn follow(schedule: &Mutex<Schedule>, turnstile: &Turnstile, report: &Mutex<Report>) -> Result<()> {
    let mut lane: Option<Lane> = None;
    let mut last = None;
    loop {
        let Some(due) = lock(schedule).next(last.as_ref()) else { break };
        let _passed = turnstile.pass();
        let running = match lane.take() {
            Some(lane) => lane,
            None => Lane::start()?,
        };
        let (answer, left) = running.ask(&due);
        lane = left;
        settle(&mut lock(report), &due, &answer);
        last = Some(due);
    }
    lane.map_or(Ok(()), Lane::end)
}

/// Prints a test's lines, whole, and counts it.
fn settle(report: &mut Report, due: &Due, answer: &Answer) {
    print!("{}", answer.lines);
    // Whoever watches wants the line now; a closed output is found out at the end.
    let _ = std::io::stdout().flush();
    report.count(due, &answer.outcome);
}

/// What a lane said of one test.
#[derive(Debug)]
struct Answer {
    lines: String,
    outcome: Outcome,
}

/// A lane's process.
#[derive(Debug)]
struct Lane {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Lane {
    fn start() -> Result<Lane> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("starting a lane")?;
        let requests = process.stdin.take().context("the line above pipes it")?;
        let answers = BufReader::new(process.stdout.take().context("the line above pipes it")?);
        Ok(Lane { process, requests, answers })
    }

    /// Has the lane run a test. A lane that ends before its verdict failed it, and is gone.
    fn ask(mut self, due: &Due) -> (Answer, Option<Lane>) {
        eprintln!("bed: {} ...", due.title());
        let mut lines = String::new();
        match self.exchange(due, &mut lines) {
            Ok(outcome) => (Answer { lines, outcome }, Some(self)),
            Err(error) => {
                let reason = format!("its process ended: {error:#}");
                lines += &format!("\n     {} FAILED: {reason}\n", due.title());
                // It ended, or is of no use.
                let _ = self.process.kill().and_then(|()| self.process.wait());
                (Answer { lines, outcome: Err(reason) }, None)
            }
        }
    }

    fn exchange(&mut self, due: &Due, lines: &mut String) -> Result<Outcome> {
        writeln!(self.requests, "{} {}", due.kernel, due.test.name())?;
        loop {
            let from = lines.len();
            ensure!(self.answers.read_line(lines)? > 0, "it said no verdict");
            if let Some(verdict) = lines[from..].strip_prefix(VERDICT) {
                let outcome = outcome_of(verdict.trim());
                lines.truncate(from);
                return Ok(outcome);
            }
        }
    }

    /// Lets it clear what its last tests shared.
    fn end(self) -> Result<()> {
        let Lane { mut process, requests, .. } = self;
        drop(requests);
        process.wait().context("waiting for a lane's end").map(drop)
    }
}

/// The process of a lane: runs the tests that standard input names.
///
/// # Errors
/// When it is told something else than a test.
pub fn serve(ground: &Ground, tests: &[Test]) -> Result<()> {
    // Whoever started it may be killed: nobody would want the rest.
    set_pdeathsig(Signal::SIGTERM).context("asking for a signal")?;
    let mut context: Option<(Context, &str)> = None;
    for line in std::io::stdin().lines() {
        let line = line.context("reading what to run")?;
        let (kernel, test) = parse(&line, tests)?;
        let room = schedule::room(&test);
        // What the tests of one room share is of no use to the next.
        context.take_if(|(context, of)| context.kernel() != kernel || *of != room);
        let (context, _) = context.get_or_insert_with(|| (Context::new(ground.clone(), kernel), room));
        println!("{VERDICT}{}", verdict_of(&runner::run_one(context, &test)));
    }
    Ok(())
}

/// `passed`, or `failed` and why.
fn verdict_of(outcome: &Outcome) -> String {
    outcome.as_ref().map_or_else(|reason| format!("failed {reason}"), |()| "passed".to_owned())
}

fn outcome_of(verdict: &str) -> Outcome {
    match verdict.strip_prefix("failed") {
        None if verdict == "passed" => Ok(()),
        reason => Err(reason.unwrap_or(verdict).trim().to_owned()),
    }
}

fn parse(line: &str, tests: &[Test]) -> Result<(Kernel, Test)> {
    let Some((kernel, name)) = line.split_once(' ') else { bail!("not a kernel and a test: {line:?}") };
    let kernel = kernel.parse().map_err(|error| anyhow!("{kernel:?}: {error}"))?;
    let test = tests.iter().find(|test| test.name() == name).with_context(|| format!("no test {name}"))?;
    Ok((kernel, *test))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_what_a_test_came_to() {
        for outcome in [Ok(()), Err("still after 120s: there is no LUN".to_owned())] {
            assert_eq!(outcome_of(&verdict_of(&outcome)), outcome);
        }
        assert!(outcome_of("something else").is_err());
    }
}
