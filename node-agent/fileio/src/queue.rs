//! Operations that may block: parked in the table, run by a ring or by workers, awaited by futures.
//!
//! The engine is chosen and built at the first operation that needs it, on the thread that polls it. The
//! queue is the file's [`Driver`]: the LUN's thread submits, sleeps and reaps.

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Waker};

use lunette_backend::{Driver, IoError, IoErrorKind, Result};
use lunette_iobuf::DataBuf;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::Engine;
use crate::policy::Policy;
use crate::request::Request;
use crate::ring::Ring;
use crate::table::Table;
use crate::workers::Workers;

/// The queue of one file.
pub(crate) struct Queue {
    file: Arc<File>,
    engine: Engine,
    /// Told how soon operations are over.
    policy: Rc<Policy>,
    /// What there is to sleep on before the engine exists, and the workers' signal.
    signal: Arc<EventFd>,
    running: OnceCell<Running>,
}

/// The engine at work.
struct Running {
    state: RefCell<State>,
    /// What to sleep on instead of the signal.
    ring_event: Option<OwnedFd>,
}

struct State {
    table: Table,
    device: Device,
    policy: Rc<Policy>,
    /// Wakers to call once nothing is borrowed.
    woken: Vec<Waker>,
}

enum Device {
    Ring(Box<Ring>),
    Workers(Workers),
}

impl Queue {
    pub fn new(file: Arc<File>, engine: Engine, policy: Rc<Policy>) -> io::Result<Self> {
        let signal = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { file, engine, policy, signal: Arc::new(signal), running: OnceCell::new() })
    }

    /// Runs `request` to its end and gives its buffer back.
    pub fn run(&self, request: Request) -> Queued<'_> {
        Queued { queue: self, stage: Stage::New(request) }
    }

    /// Whether there is an engine yet.
    #[cfg(test)]
    pub fn has_started(&self) -> bool {
        self.running.get().is_some()
    }

    fn running(&self) -> Result<&Running> {
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let running = self.start().map_err(|error| IoError::new(IoErrorKind::Internal, error))?;
        Ok(self.running.get_or_init(|| running))
    }

    fn start(&self) -> io::Result<Running> {
        if self.engine == Engine::Threads {
            return Ok(self.workers());
        }
        match self.ring() {
            Err(error) if self.engine == Engine::Auto => {
                note_fallback(&error);
                Ok(self.workers())
            }
            ring => ring,
        }
    }

    fn ring(&self) -> io::Result<Running> {
        let ring = Ring::new(self.file.as_fd())?;
        let event = ring.event_fd()?;
        Ok(self.run_by(Device::Ring(Box::new(ring)), Some(event)))
    }

    fn workers(&self) -> Running {
        let workers = Workers::new(Arc::clone(&self.file), Arc::clone(&self.signal));
        self.run_by(Device::Workers(workers), None)
    }

    fn run_by(&self, device: Device, ring_event: Option<OwnedFd>) -> Running {
        let state = State { table: Table::new(), device, policy: Rc::clone(&self.policy), woken: Vec::new() };
        Running { state: RefCell::new(state), ring_event }
    }
}

/// Said once per process: it is true of all files.
fn note_fallback(error: &io::Error) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %error,
            "io_uring cannot be used here, threads do its work at a higher cost; \
             see the sysctl kernel.io_uring_disabled and the container's seccomp profile"
        );
    });
}

impl Running {
    /// Does something with the state, and calls the wakers that this brought up when it is free again:
    /// a waker may poll, and so come back here.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.borrow_mut();
        let result = act(&mut state);
        if state.woken.is_empty() {
            return result;
        }
        let mut woken = mem::take(&mut state.woken);
        drop(state);
        woken.drain(..).for_each(Waker::wake);
        // The list keeps its memory for the next time.
        let mut state = self.state.borrow_mut();
        if state.woken.capacity() < woken.capacity() && state.woken.is_empty() {
            state.woken = woken;
        }
        result
    }
}

impl State {
    fn submit(&mut self) {
        if !self.table.has_queued() {
            return;
        }
        match &mut self.device {
            Device::Workers(workers) => workers.submit(&mut self.table),
            Device::Ring(ring) => {
                let transfers = ring.submit(&mut self.table);
                // Beside anything else that runs, what has ended says nothing of these.
                if transfers == self.table.running() {
                    self.policy.handed_over(transfers, ring.ended());
                }
            }
        }
    }

    fn reap(&mut self) -> usize {
        let reaped = match &mut self.device {
            Device::Ring(ring) => ring.reap(&mut self.table, &mut self.woken),
            Device::Workers(workers) => workers.reap(&mut self.table, &mut self.woken),
        };
        // Short transfers go on at once.
        self.submit();
        reaped
    }
}

impl Drop for State {
    fn drop(&mut self) {
        match &mut self.device {
            Device::Workers(workers) => workers.drain(&mut self.table),
            Device::Ring(ring) => {
                if !ring.drain(&mut self.table) {
                    tracing::error!("I/O requests could not be waited for: their memory is given up");
                    self.table.leak();
                }
            }
        }
    }
}

impl Driver for Queue {
    fn submit(&self) {
        if let Some(running) = self.running.get() {
            running.with(State::submit);
        }
    }

    fn reap(&self) -> usize {
        self.running.get().map_or(0, |running| running.with(State::reap))
    }

    fn in_flight(&self) -> usize {
        self.running.get().map_or(0, |running| running.state.borrow().table.in_flight())
    }

    fn hold_open(&self, file: Option<BorrowedFd<'_>>) -> bool {
        let Some(running) = self.running.get() else { return true };
        match &mut running.state.borrow_mut().device {
            Device::Ring(ring) => {
                ring.hold_open(file).inspect_err(|error| tracing::warn!(%error, "the ring holds no file")).is_ok()
            }
            // A thread in a system call keeps the process's files.
            Device::Workers(_) => true,
        }
    }

    fn engine(&self) -> Option<&'static str> {
        let name = |running: &Running| match running.state.borrow().device {
            Device::Ring(_) => "io_uring",
            Device::Workers(_) => "threads",
        };
        self.running.get().map(name)
    }

    fn event_fd(&self) -> BorrowedFd<'_> {
        match self.running.get().and_then(|running| running.ring_event.as_ref()) {
            Some(ring) => ring.as_fd(),
            None => self.signal.as_fd(),
        }
    }
}

/// An operation that is queued; dropping it leaves the operation to itself.
pub(crate) struct Queued<'a> {
    queue: &'a Queue,
    stage: Stage,
}

enum Stage {
    New(Request),
    Parked(u16),
    Over,
}

impl Future for Queued<'_> {
    type Output = Result<DataBuf>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let running = match self.queue.running() {
            Ok(running) => running,
            Err(error) => return Poll::Ready(Err(error)),
        };
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(request) => {
                self.stage = running.with(|state| match state.table.reserve(context.waker()) {
                    None => Stage::New(request),
                    Some(key) => {
                        state.table.park(key, request, context.waker());
                        Stage::Parked(key)
                    }
                });
            }
            Stage::Parked(key) => {
                let poll = |state: &mut State| state.table.poll(key, context.waker(), &mut state.woken);
                if let Some((request, result)) = running.with(poll) {
                    return Poll::Ready(request.handed_back(result));
                }
                self.stage = Stage::Parked(key);
            }
            Stage::Over => {}
        }
        Poll::Pending
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let (Stage::Parked(key), Some(running)) = (&self.stage, self.queue.running.get()) {
            running.with(|state| state.table.abandon(*key, &mut state.woken));
        }
    }
}
