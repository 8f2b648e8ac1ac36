//! One that serves a ring, and a kernel that gives it commands.

use std::path::Path;
use std::sync::Arc;

use lunette_backend::Disk;
use lunette_scsi::{Config, Identity, ScsiDisk};
use lunette_tcmu::mock::{Config as Layout, Kernel, Request, Tag};
use lunette_tcmu::{Device, Journal, Ring};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle, yield_now};

use crate::aside::KernelSide;
use crate::inbox::{Inbox, Order};
use crate::pause::Pauser;
use crate::serve::{End, serve};
use crate::state::{Ended, State};
use crate::storage::{Operations, Storage};
use crate::sync::watch;

/// One that serves a ring, and what others hold of it.
pub struct Server {
    pub inbox: Arc<Inbox>,
    pub state: watch::Receiver<State>,
    pub thread: JoinHandle<()>,
}

impl Server {
    /// One that begins at the ring's tail.
    pub fn start(kernel: &mut Kernel, operations: &Arc<Operations>) -> Self {
        let claim = kernel.claim();
        Self::on(move || claim.attach().expect("the mock's ring"), operations)
    }

    /// One that goes on where the journal's last keeper stopped, which left nothing to be done again.
    pub fn go_on(kernel: &mut Kernel, operations: &Arc<Operations>, journal: &Path) -> Self {
        let claim = kernel.claim();
        let journal = Journal::open(journal, 1).expect("a file");
        let resume = move || {
            let Ok(resumed) = claim.resume(journal) else { panic!("journal and ring do not agree") };
            assert!(resumed.interrupted.is_empty(), "whoever stops has answered what it took");
            (resumed.device, resumed.ring)
        };
        Self::on(resume, operations)
    }

    /// The first that keeps that journal.
    pub fn begin(kernel: &mut Kernel, operations: &Arc<Operations>, journal: &Path) -> Self {
        let claim = kernel.claim();
        let journal = Journal::open(journal, 1).expect("a file");
        Self::on(move || claim.attach_with(journal).expect("the mock's ring"), operations)
    }

    fn on(attach: impl FnOnce() -> (Device, Ring) + Send + 'static, operations: &Arc<Operations>) -> Self {
        let inbox = Arc::new(Inbox::new().expect("descriptors"));
        let (progress, state) = watch::channel(State::Starting);
        let (orders, operations) = (Arc::clone(&inbox), Arc::clone(operations));
        let thread = thread::spawn(move || {
            let unit =
                ScsiDisk::new(Disk::new(Storage::new(operations)), Config::new(Identity::new([0x60; 16], "bench")));
            let (device, mut ring) = attach();
            progress.send_replace(State::Serving);
            // Nobody here gives commands up.
            let side = KernelSide { device: &device, free: &|_| () };
            let end = serve(&unit, side, &mut ring, &orders, Vec::new()).expect("an honest kernel");
            let ended = if end == End::Stopped { Ended::Stopped } else { Ended::Removed };
            progress.send_replace(State::Ended(ended));
        });
        Self { inbox, state, thread }
    }

    pub fn pauser(&self) -> Pauser {
        Pauser::new(&self.inbox, self.state.clone())
    }

    /// Told to stop, it must end, with nothing running. The kernel has then seen all that it answered.
    pub fn stop(self, kernel: &mut Kernel, operations: &Operations) {
        self.inbox.send(Order::Stop);
        self.thread.join().expect("it ends");
        assert_eq!(*self.state.borrow(), State::Ended(Ended::Stopped));
        operations.all();
        kernel.handle_kick();
    }
}

fn request() -> Request {
    let mut cdb = [0; 10];
    match thread_rng().gen_range(0..4_u8) {
        0 => {
            (cdb[0], cdb[8]) = (0x2a, 1);
            Request::writing(&cdb, &[7; 512])
        }
        1 => {
            cdb[0] = 0x35;
            Request::bare(&cdb)
        }
        _ => {
            (cdb[0], cdb[8]) = (0x28, 1);
            Request::reading(&cdb, 512)
        }
    }
}

/// Submits commands, one after another or together, with pauses in which others may come.
pub fn submit(kernel: &mut Kernel, count: u32) -> Vec<Tag> {
    let submit = |_| {
        if thread_rng().gen_bool(0.5) {
            yield_now();
            kernel.handle_kick();
        }
        kernel.submit(request())
    };
    (0..count).map(submit).collect()
}

/// Takes the answer to each: GOOD.
pub fn wait_for_all(kernel: &mut Kernel, tags: Vec<Tag>) {
    for tag in tags {
        loop {
            kernel.handle_kick();
            match kernel.take(tag) {
                Some(answer) => break assert_eq!(answer.status, 0),
                None => yield_now(),
            }
        }
    }
}

pub fn kernel() -> (Kernel, Arc<Operations>) {
    let layout = Layout { ring_bytes: 8 << 10, blocks: 16, ..Layout::default() };
    (Kernel::new(layout), Arc::default())
}
