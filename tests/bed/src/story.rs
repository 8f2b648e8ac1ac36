//! A story: steps that a person could follow, each with the command a user would type, its real output, and whether
//! what it claims came true.
//!
//! A step that fails ends the story's success but not the process: the teller decides whether later steps make
//! sense. Nothing is printed that did not happen.

use crate::Result;
use crate::exec::Output;
use crate::progress::{Ticker, elapsed};
use anyhow::bail;
use std::time::Instant;

/// The teller's book: counts steps, prints as it goes.
#[derive(Debug)]
pub struct Story {
    started: Instant,
    steps: u32,
    failed: Vec<String>,
}

/// A step in the telling: what it types and prints.
#[derive(Debug)]
pub struct Step {
    _private: (),
}

impl Story {
    /// Prints the title and begins.
    #[must_use]
    pub fn begin(title: &str) -> Story {
        println!("== {title}");
        Story { started: Instant::now(), steps: 0, failed: Vec::new() }
    }

    /// Tells one step. Its value, or `None` where it failed.
    pub fn step<T>(&mut self, title: &str, tell: impl FnOnce(&Step) -> Result<T>) -> Option<T> {
        self.steps += 1;
        println!("\n-- {}. {title}", self.steps);
        let started = Instant::now();
        let ticker = Ticker::start(title);
        let told = tell(&Step { _private: () });
        drop(ticker);
        match told {
            Ok(value) => {
                println!("   [ok] {title} ({})", elapsed(started));
                Some(value)
            }
            Err(error) => {
                println!("   [FAILED] {title} ({}): {error:#}", elapsed(started));
                self.failed.push(title.to_owned());
                None
            }
        }
    }

    /// As [`Story::step`], for a step without which the story cannot go on.
    ///
    /// # Errors
    /// When it failed; it has been printed then.
    pub fn must<T>(&mut self, title: &str, tell: impl FnOnce(&Step) -> Result<T>) -> Result<T> {
        match self.step(title, tell) {
            Some(value) => Ok(value),
            None => bail!("the story cannot go on without this step: {title}"),
        }
    }

    /// Prints the outcome.
    ///
    /// # Errors
    /// When a step failed.
    pub fn end(self) -> Result<()> {
        println!("\n== {} steps in {}, {} failed", self.steps, elapsed(self.started), self.failed.len());
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join("; "));
        }
        Ok(())
    }
}

impl Step {
    /// Prints a remark.
    pub fn say(&self, remark: &str) {
        remark.lines().for_each(|line| println!("   {line}"));
    }

    /// Prints the command a user would type at `prompt` (such as `client#`), runs it by `run`, prints what it
    /// printed, and returns that.
    ///
    /// # Errors
    /// When it cannot be run. Its status is for the step to judge: see [`Output::ok`] and [`Output::refused`].
    pub fn types(&self, prompt: &str, command: &str, run: impl FnOnce() -> Result<Output>) -> Result<Output> {
        println!("   {prompt} {command}");
        let output = run()?;
        output.printed().lines().for_each(|line| println!("   | {line}"));
        if !output.success() {
            println!("   | (status {})", output.status);
        }
        Ok(output)
    }

    /// As [`Step::types`], for a command that has to succeed; returns its trimmed standard output.
    ///
    /// # Errors
    /// When it fails.
    pub fn does(&self, prompt: &str, command: &str, run: impl FnOnce() -> Result<Output>) -> Result<String> {
        self.types(prompt, command, run)?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_fails_the_story_and_later_ones_are_told() {
        let mut story = Story::begin("a test");
        assert_eq!(story.step("works", |_| Ok(1)), Some(1));
        assert_eq!(story.step("breaks", |_| -> Result<()> { bail!("a reason") }), None);
        assert_eq!(story.step("goes on", |_| Ok(2)), Some(2));
        let error = story.end().expect_err("one failed").to_string();
        assert_eq!(error, "failed: breaks");
    }

    #[test]
    fn a_step_that_is_needed_stops_the_teller() {
        let mut story = Story::begin("a test");
        assert!(story.must("breaks", |_| -> Result<()> { bail!("a reason") }).is_err());
        assert!(story.end().is_err());
    }
}
