//! How the steps of configfs ended, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// The kernel did it.
    Done,
    /// The kernel refused.
    Failed,
    /// The kernel has not come back from it in time.
    Stuck,
}

/// Steps of configfs since the agent was started.
#[derive(Debug, Default)]
pub struct Steps {
    done: AtomicU64,
    failed: AtomicU64,
    stuck: AtomicU64,
}

impl Steps {
    /// Notes how one ended.
    pub fn note(&self, end: StepEnd) {
        self.counter(end).fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended that way.
    pub fn count(&self, end: StepEnd) -> u64 {
        self.counter(end).load(Ordering::Relaxed)
    }

    fn counter(&self, end: StepEnd) -> &AtomicU64 {
        match end {
            StepEnd::Done => &self.done,
            StepEnd::Failed => &self.failed,
            StepEnd::Stuck => &self.stuck,
        }
    }
}
