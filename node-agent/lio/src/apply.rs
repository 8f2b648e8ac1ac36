//! Runs steps, one after the other, and says of each how it ended.
//!
//! Idempotent: what is already as the step would make it counts as done. The first failure ends the run; the caller
//! reads and plans again. Any step may sleep in the kernel, uninterruptibly: [`apply_bounded`] gives each one a
//! deadline, by running them on a thread that is left behind if one does not come back.

mod advice;
mod bounded;

use nix::errno::Errno;

pub use bounded::{ApplyError, Stuck, apply_bounded};

use crate::configfs::Configfs;
use crate::node::Node;
use crate::step::Step;

/// How a step ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The step changed something, or wrote a value.
    Done,
    /// It was so already.
    Already,
}

/// How a step ended badly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {step}: {errno}: {advice}")]
pub struct StepError {
    /// The step; prints without secrets.
    pub step: Step,
    /// The kernel's answer.
    pub errno: Errno,
    /// What it means here, and what to do.
    pub advice: String,
}

/// Runs the steps on this thread until one fails. Blocks for as long as the kernel does.
pub fn apply(
    fs: &dyn Configfs,
    steps: &[Step],
    mut report: impl FnMut(&Step, &Result<Applied, StepError>),
) -> Result<(), StepError> {
    for step in steps {
        let result = run(fs, step);
        report(step, &result);
        result?;
    }
    Ok(())
}

/// Runs one step.
fn run(fs: &dyn Configfs, step: &Step) -> Result<Applied, StepError> {
    let result = match step {
        Step::Mkdir(node) => already(fs.mkdir(node), Errno::EEXIST),
        Step::Rmdir(node) => already(fs.rmdir(node), Errno::ENOENT),
        Step::Write { attr, value, optional } => write(fs, attr, value.bytes(), *optional),
        Step::Link { link, to } => link_to(fs, link, to),
        Step::Unlink(link) => already(fs.unlink(link), Errno::ENOENT),
        Step::Enable(node) => switch(fs, node, "1"),
        Step::Disable(node) => switch(fs, node, "0"),
    };
    result.map_err(|errno| StepError { step: step.clone(), errno, advice: advice::advice(fs, step, errno) })
}

fn already(result: Result<(), Errno>, harmless: Errno) -> Result<Applied, Errno> {
    match result {
        Ok(()) => Ok(Applied::Done),
        Err(errno) if errno == harmless => Ok(Applied::Already),
        Err(errno) => Err(errno),
    }
}

fn write(fs: &dyn Configfs, attr: &Node, bytes: &[u8], optional: bool) -> Result<Applied, Errno> {
    match fs.write_once(attr, bytes) {
        Err(Errno::ENOENT) if optional => Ok(Applied::Already),
        result => result.map(|()| Applied::Done),
    }
}

fn link_to(fs: &dyn Configfs, link: &Node, to: &Node) -> Result<Applied, Errno> {
    match fs.symlink(link, to) {
        Err(Errno::EEXIST) if fs.read_link(link).as_ref() == Ok(to) => Ok(Applied::Already),
        result => result.map(|()| Applied::Done),
    }
}

/// A device that is enabled answers a second 1 with EEXIST, an older kernel's TPG with EINVAL: so look.
fn switch(fs: &dyn Configfs, node: &Node, to: &str) -> Result<Applied, Errno> {
    let attr = node.child("enable");
    match fs.write_once(&attr, to.as_bytes()) {
        Ok(()) => Ok(Applied::Done),
        Err(Errno::ENOENT) if to == "0" => Ok(Applied::Already),
        Err(Errno::EEXIST | Errno::EINVAL) if fs.read(&attr).is_ok_and(|text| text.trim() == to) => {
            Ok(Applied::Already)
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests;
