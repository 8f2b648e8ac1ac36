//! A few threads that run blocking system calls, for kernels that forbid io_uring.
//!
//! They come when there is work and leave after some idle seconds. A request moves to the worker with its
//! buffer and comes back through `done`, so a dropped future frees nothing early; the LUN's thread learns
//! of it by the eventfd.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lunette_backend::Result;
use nix::sys::eventfd::EventFd;

use crate::request::Request;
use crate::syscall;
use crate::table::Table;

/// Threads for one file: enough to keep a disk busy, few enough for a thousand files.
const MAX_THREADS: usize = 8;
const IDLE: Duration = Duration::from_secs(5);

struct Job {
    key: u16,
    request: Request,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    done: Vec<(Job, Result<()>)>,
    threads: usize,
    idle: usize,
    stop: bool,
}

struct Shared {
    file: Arc<File>,
    signal: Arc<EventFd>,
    state: Mutex<State>,
    work: Condvar,
}

/// The threads of one file.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    collected: Vec<(Job, Result<()>)>,
}

impl Workers {
    /// Workers for `file` that write `signal`; no thread yet.
    pub fn new(file: Arc<File>, signal: Arc<EventFd>) -> Self {
        let shared = Shared { file, signal, state: Mutex::new(State::default()), work: Condvar::new() };
        Self { shared: Arc::new(shared), threads: Vec::new(), collected: Vec::new() }
    }

    /// Hands over everything that is queued.
    pub fn submit(&mut self, table: &mut Table) {
        while let Some(key) = table.start_next() {
            let Some(request) = table.lend(key) else { continue };
            self.push(Job { key, request });
        }
    }

    fn push(&mut self, job: Job) {
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < MAX_THREADS {
            drop(state);
            self.spawn();
        } else {
            self.shared.work.notify_one();
        }
    }

    fn spawn(&mut self) {
        self.threads.retain(|thread| !thread.is_finished());
        self.shared.lock().threads += 1;
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name("lunette-io".to_owned()).spawn(move || shared.work()) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.without_thread(&error),
        }
    }

    /// No thread is to be had: an existing one will come to it, else this one has to.
    fn without_thread(&self, error: &std::io::Error) {
        tracing::warn!(%error, "no further I/O thread can be started");
        let mut state = self.shared.lock();
        state.threads -= 1;
        if state.threads == 0
            && let Some(job) = state.jobs.pop_front()
        {
            drop(state);
            self.shared.run(job);
        }
    }

    /// Takes back what is done; returns how many.
    pub fn reap(&mut self, table: &mut Table, woken: &mut Vec<Waker>) -> usize {
        // Before looking: what is done after the look signals again.
        let _ = self.shared.signal.read();
        std::mem::swap(&mut self.collected, &mut self.shared.lock().done);
        let reaped = self.collected.len();
        for (job, result) in self.collected.drain(..) {
            table.restore(job.key, job.request, result, woken);
        }
        reaped
    }

    /// Waits for everything that runs and ends the threads; what was not begun is dropped.
    pub fn drain(&mut self, table: &mut Table) {
        table.drop_queued();
        {
            let mut state = self.shared.lock();
            state.stop = true;
            state.jobs.clear();
        }
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A worker does not panic; if one did, its request is gone with it.
            let _ = thread.join();
        }
        self.reap(table, &mut Vec::new());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            self.run(job);
        }
    }

    /// The next job; `None` when the thread may end, which is then already accounted for.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.stop {
                break;
            }
            state.idle += 1;
            let (back, timeout) = self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = back;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }

    fn run(&self, mut job: Job) {
        let result = loop {
            let outcome = syscall::run(self.file.as_fd(), &job.request, 0);
            if let Some(result) = job.request.settle(outcome) {
                break result;
            }
        };
        let mut state = self.lock();
        state.done.push((job, result));
        if state.done.len() == 1 {
            // Non-blocking, and a full counter is a signal already.
            let _ = self.signal.write(1);
        }
    }
}
