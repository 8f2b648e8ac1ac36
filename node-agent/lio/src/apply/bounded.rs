//! Steps with a deadline each, on a thread of their own.
//!
//! A thread that sleeps in the kernel cannot be ended. So it is left behind when its step is overdue, with the promise
//! that it does nothing more after that step; the caller reports it and does not start another over it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::{Applied, StepError, run};
use crate::configfs::Configfs;
use crate::step::Step;

/// Why a bounded run ended early.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel refused a step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A step did not come back in time.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// No thread could be started.
    #[error("cannot start a thread for configfs: {0}; raise the limit of tasks (pids)")]
    Thread(std::io::Error),
}

/// A step that is overdue; its thread still sleeps in the kernel.
#[derive(Debug, thiserror::Error)]
#[error("{step} has not come back for {} s: the kernel waits for something, see `cat /proc/*/stack` of thread {:?} and `dmesg`; it is not tried again while it waits", since.elapsed().as_secs(), THREAD)]
pub struct Stuck {
    /// The step.
    pub step: Step,
    /// When it was begun.
    pub since: Instant,
    worker: JoinHandle<()>,
}

impl Stuck {
    /// Whether the kernel let go of the step after all: then read and plan again.
    pub fn is_over(&self) -> bool {
        self.worker.is_finished()
    }
}

const THREAD: &str = "lio-apply";

enum Progress {
    Begun(usize),
    Ended(Result<Applied, StepError>),
}

/// Runs the steps on a new thread; returns when all are done, one failed, or one took longer than `deadline`.
pub fn apply_bounded(
    fs: Arc<dyn Configfs>,
    steps: &[Step],
    deadline: Duration,
    mut report: impl FnMut(&Step, &Result<Applied, StepError>),
) -> Result<(), ApplyError> {
    let (tell, progress) = channel();
    let plan = steps.to_vec();
    let worker =
        Builder::new().name(THREAD.to_owned()).spawn(move || work(&*fs, &plan, &tell)).map_err(ApplyError::Thread)?;
    match supervise(steps, &progress, deadline, &mut report) {
        Ok(result) => result.map_err(ApplyError::from),
        Err((step, since)) => Err(Stuck { step, since, worker }.into()),
    }
}

/// Stops as soon as nobody listens any more.
fn work(fs: &dyn Configfs, steps: &[Step], tell: &Sender<Progress>) {
    for (index, step) in steps.iter().enumerate() {
        if tell.send(Progress::Begun(index)).is_err() {
            return;
        }
        let result = run(fs, step);
        let failed = result.is_err();
        if tell.send(Progress::Ended(result)).is_err() || failed {
            return;
        }
    }
}

/// The outcome, or the step that is overdue and since when.
fn supervise(
    steps: &[Step],
    progress: &Receiver<Progress>,
    deadline: Duration,
    report: &mut impl FnMut(&Step, &Result<Applied, StepError>),
) -> Result<Result<(), StepError>, (Step, Instant)> {
    let mut current = 0;
    let mut since = Instant::now();
    loop {
        match progress.recv_timeout(deadline) {
            Ok(Progress::Begun(index)) => (current, since) = (index, Instant::now()),
            Ok(Progress::Ended(result)) => {
                report(&steps[current], &result);
                if let Err(error) = result {
                    return Ok(Err(error));
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(Ok(())),
            Err(RecvTimeoutError::Timeout) => return Err((steps[current].clone(), since)),
        }
    }
}
