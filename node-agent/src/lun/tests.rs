//! The LUN's thread against the mock kernel: what an initiator would see of its stops and failures.
//!
//! Storage is [`ram::Ram`], which does what a test scripts for a block: wait, fail, panic. The thread is a
//! real one, started as for a real ring; only opening the UIO device is left out.

mod failures;
mod figures;
mod given_up;
mod model;
mod orders;
mod pauses;
mod ram;
mod resumed;
mod traffic;

use std::time::Duration;

use lunette_scsi::{Config, Identity, ScsiDisk};
use lunette_tcmu::mock::{Completion, Config as Layout, Kernel, Request, Tag};

use super::*;
use ram::{BLOCK, Ram, Script};

/// Far longer than anything here takes: it ends a test that would hang, and decides nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kernel, storage, and the thread between them.
struct Bench {
    kernel: Kernel,
    script: Arc<Script>,
    lun: LunThread,
}

impl Bench {
    /// A thread that serves.
    fn new() -> Self {
        Self::with_queued(Layout::default(), |_| ())
    }

    /// The same, with what `queue` submits already in the ring when the thread starts.
    fn with_queued(layout: Layout, queue: impl FnOnce(&mut Kernel)) -> Self {
        let mut kernel = Kernel::new(layout);
        let claim = kernel.claim();
        queue(&mut kernel);
        let script = Script::new();
        let storage = Arc::clone(&script);
        let lun = LunThread::spawn("bench", tracing::Span::none(), move |inbox, progress| {
            attend(unit(storage), inbox, progress, || Ok(claim.attach()?.into()))
        });
        Self { kernel, script, lun: lun.unwrap() }
    }

    fn read(&mut self, block: u32) -> Tag {
        self.kernel.submit(read(block))
    }

    fn write(&mut self, block: u32, byte: u8) -> Tag {
        let cdb = cdb(0x2a, block);
        self.kernel.submit(Request::writing(&cdb, &[byte; BLOCK]))
    }

    fn answer(&mut self, tag: Tag) -> Completion {
        self.kernel.wait(tag, PATIENCE).expect("an answer: a wakeup was lost")
    }

    /// Waits until the thread sleeps in poll, or would but for something that it is about to see.
    fn wait_until_asleep(&self) {
        while !self.lun.inbox.alarm().is_armed() {
            thread::yield_now();
        }
    }

    /// Waits until the thread is over; why it is.
    fn ended(&mut self) -> Ended {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let over = self.lun.state.wait_for(|state| matches!(state, State::Ended(_)));
        let state = runtime.block_on(async { tokio::time::timeout(PATIENCE, over).await.unwrap().unwrap().clone() });
        let State::Ended(why) = state else { unreachable!("waited for") };
        why
    }
}

fn unit(script: Arc<Script>) -> ScsiDisk<Ram> {
    ScsiDisk::new(Disk::new(Ram::new(script)), Config::new(Identity::new([0x60; 16], "bench")))
}

/// A ten-byte CDB for one block.
fn cdb(operation: u8, block: u32) -> [u8; 10] {
    let [a, b, c, d] = block.to_be_bytes();
    [operation, 0, a, b, c, d, 0, 0, 1, 0]
}

fn read(block: u32) -> Request {
    Request::reading(&cdb(0x28, block), BLOCK)
}

/// Sense key and additional sense code, in fixed format.
fn sense(completion: &Completion) -> (u8, u8) {
    (completion.sense[2], completion.sense[12])
}
