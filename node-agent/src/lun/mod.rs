//! One LUN being served: its own thread, its own storage, its own ring, nothing shared.
//!
//! [`LunThread`] is what the rest of the process holds of it. Inside: open the volume (which takes the
//! writer's lock), take the ring over, serve until told to stop. A panic is caught here: the commands
//! that ran are answered with ABORTED COMMAND, which initiators repeat, and the thread ends, to be
//! started again by whoever holds it. No other LUN notices.

mod alarm;
mod aside;
mod gate;
mod inbox;
pub mod meter;
mod pause;
mod serve;
mod sleep;
mod state;
mod sync;
mod takeover;
mod tasks;
#[cfg(test)]
mod tests;
mod turnstile;

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lunette_backend::{Backend, Disk, OpenOptions, Pool, VolumeId};
use lunette_lio::{Configfs, Found};
use lunette_scsi::{Config, ScsiDisk};
use lunette_tcmu::{Command, Device, Reply, Ring};
use tokio::sync::watch;

use aside::KernelSide;
pub use gate::Rates;
use inbox::Inbox;
pub use inbox::Order;
pub use pause::{NoPause, Pause, Pauser};
use serve::{End, serve};
pub use state::{Ended, State};
pub use takeover::Kernel;
use takeover::{Taken, TakeoverError, take_over};

/// Enough for the deepest command handler; a thousand LUNs then cost a thousand of these at most.
const STACK: usize = 256 << 10;

/// What a LUN's thread is to serve.
pub struct Job {
    /// Whose ring, and where its backstore stands.
    pub found: Found,
    /// The volume behind it.
    pub volume: VolumeId,
    /// How to open that.
    pub options: OpenOptions,
    /// What the LUN tells initiators of itself; made on the thread.
    pub config: Box<dyn FnOnce() -> Config + Send>,
    /// LIO's configfs.
    pub configfs: Arc<dyn Configfs>,
    /// Where the kernel's devices are.
    pub kernel: Kernel,
    /// Where what is in flight is written down for the next agent.
    pub journal: PathBuf,
}

/// A running LUN, for the rest of the process.
pub struct LunThread {
    inbox: Arc<Inbox>,
    state: watch::Receiver<State>,
    thread: Option<JoinHandle<()>>,
}

impl LunThread {
    /// Starts serving. `name` becomes the thread's, cut to what the kernel shows.
    ///
    /// # Errors
    /// The process has no threads or file descriptors left.
    pub fn start<P: Pool>(name: &str, pool: Arc<P>, job: Job) -> io::Result<Self> {
        let span = tracing::info_span!("lun", uid = %job.found.uid);
        Self::spawn(name, span, move |inbox, progress| live(pool.as_ref(), job, inbox, progress))
    }

    /// Runs `body` on a thread of its own; what it comes to, or its panic, is the last state.
    fn spawn(
        name: &str,
        span: tracing::Span,
        body: impl FnOnce(&Inbox, &watch::Sender<State>) -> Ended + Send + 'static,
    ) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::new()?);
        let (progress, state) = watch::channel(State::Starting);
        let orders = Arc::clone(&inbox);
        let run = move || {
            let _entered = span.enter();
            let ended = catch_unwind(AssertUnwindSafe(|| body(&orders, &progress)));
            let ended = ended.unwrap_or_else(|panic| Ended::Failed(describe(panic.as_ref())));
            progress.send_replace(State::Ended(ended));
        };
        let name: String = format!("lun-{name}").chars().take(15).collect();
        let thread = thread::Builder::new().name(name).stack_size(STACK).spawn(run)?;
        Ok(Self { inbox, state, thread: Some(thread) })
    }

    /// Leaves an order.
    pub fn order(&self, order: Order) {
        self.inbox.send(order);
    }

    /// What can hold it still.
    pub fn pauser(&self) -> Pauser {
        Pauser::new(&self.inbox, self.state.clone())
    }

    /// What it counts.
    pub fn meter(&self) -> Arc<meter::Meter> {
        Arc::clone(self.inbox.meter())
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Follows how far it has come.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Tells it to stop and waits until it has answered what it took: whether it did within `patience`.
    /// If not, the thread is left to itself; its storage does not answer.
    pub async fn stop(mut self, patience: Duration) -> bool {
        self.inbox.send(Order::Stop);
        let ended = self.state.wait_for(|state| matches!(state, State::Ended(_)));
        if tokio::time::timeout(patience, ended).await.is_err() {
            return false;
        }
        if let Some(thread) = self.thread.take() {
            // It has nothing left to do but to return, and its panics were caught.
            let _ = thread.join();
        }
        true
    }
}

fn live<P: Pool>(pool: &P, job: Job, inbox: &Inbox, progress: &watch::Sender<State>) -> Ended {
    let backend = match pool.open(&job.volume, &job.options) {
        Ok(backend) => backend,
        Err(error) => return Ended::Failed(error.to_string()),
    };
    let unit = ScsiDisk::new(Disk::new(backend), (job.config)());
    attend(unit, inbox, progress, || take_over(&job.configfs, &job.kernel, &job.found, &job.journal))
}

/// Takes the ring over and serves it, unless it was told to stop while the volume took long to open: the
/// LUN may be under removal then, and its ring must not be let go again.
fn attend<B: Backend>(
    unit: ScsiDisk<B>,
    inbox: &Inbox,
    progress: &watch::Sender<State>,
    take_over: impl FnOnce() -> Result<Taken, TakeoverError>,
) -> Ended {
    if inbox.says_stop() {
        return Ended::Stopped;
    }
    match take_over() {
        Ok(Taken { device, mut ring, again, free }) => {
            progress.send_replace(State::Serving);
            tracing::debug!("its ring is served");
            let kernel = KernelSide { device: &device, free: free.as_ref() };
            serve_guarded(unit, kernel, &mut ring, inbox, again)
        }
        Err(error) => Ended::Failed(error.to_string()),
    }
}

/// Serves, and cleans up after a panic: storage first, since its late reads must not land in memory that
/// an answer has handed back to the kernel.
fn serve_guarded<B: Backend>(
    unit: ScsiDisk<B>,
    kernel: KernelSide<'_>,
    ring: &mut Ring,
    inbox: &Inbox,
    again: Vec<Command>,
) -> Ended {
    match catch_unwind(AssertUnwindSafe(|| serve(&unit, kernel, ring, inbox, again))) {
        Ok(Ok(End::Stopped)) => Ended::Stopped,
        Ok(Ok(End::Removed)) => Ended::Removed,
        Ok(Err(error)) => Ended::Failed(error.to_string()),
        Err(panic) => {
            let reason = describe(panic.as_ref());
            let drained = catch_unwind(AssertUnwindSafe(move || drop(unit))).is_ok();
            if drained {
                abort_commands(kernel.device, ring);
            }
            Ended::Failed(reason)
        }
    }
}

/// ABORTED COMMAND, INTERNAL TARGET FAILURE (SPC-5 D.2, 0Bh 44h/00h), in fixed format: initiators repeat.
const ABORTED: [u8; 18] = [0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0];

fn abort_commands(device: &Device, ring: &mut Ring) {
    let count = ring.abandon(&Reply { status: 2, sense: &ABORTED, read_len: None });
    if ring.publish() && device.kick().is_err() {
        tracing::warn!("the device did not take the answers of the commands that ran");
    }
    tracing::error!(count, "commands that ran were answered with ABORTED COMMAND");
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the thread that serves it panicked ({}): this is a bug of Lunette's", text.unwrap_or("no message"))
}
