//! Storage that outlives agents: operations take a few turns before and after they do their work, and the agent can be
//! made to die in any of them.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use lunette_backend::{Backend, Discard, Driver, Durability, Extent, Geometry, Result};
use lunette_iobuf::DataBuf;

use super::{BLOCK, BLOCKS};

/// What agents and the test share.
pub struct Medium {
    bytes: Mutex<Vec<u8>>,
    /// Turns until the agent dies; it never does while this is zero.
    fuse: AtomicU32,
    /// Whence the turns that operations take.
    noise: AtomicU32,
}

impl Medium {
    pub fn new(seed: u32) -> Arc<Self> {
        let bytes = Mutex::new(vec![0; BLOCKS * BLOCK]);
        Arc::new(Self { bytes, fuse: AtomicU32::new(0), noise: AtomicU32::new(seed | 1) })
    }

    /// The agent dies after this many turns of its operations.
    pub fn kill_after(&self, turns: u32) {
        self.fuse.store(turns, Ordering::SeqCst);
    }

    /// An operation lets others go first, for a few turns.
    async fn dawdle(&self) {
        let noise = self.noise.load(Ordering::SeqCst).wrapping_mul(0x9e37_79b9).rotate_left(7);
        self.noise.store(noise, Ordering::SeqCst);
        let mut turns = noise % 4;
        poll_fn(|context| {
            self.burn();
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn burn(&self) {
        match self.fuse.load(Ordering::SeqCst) {
            0 => {}
            1 => {
                self.fuse.store(0, Ordering::SeqCst);
                // As if the process were killed: nothing after this point is done, and nobody is told.
                resume_unwind(Box::new("killed"));
            }
            turns => self.fuse.store(turns - 1, Ordering::SeqCst),
        }
    }

    async fn act<T>(&self, work: impl FnOnce(&mut [u8]) -> T) -> T {
        self.dawdle().await;
        let done = work(&mut self.bytes.lock().unwrap());
        self.dawdle().await;
        done
    }
}

/// The volume as one agent has it open.
pub struct Memory {
    medium: Arc<Medium>,
    geometry: Geometry,
}

impl Memory {
    pub fn open(medium: Arc<Medium>) -> Self {
        let block_size = u32::try_from(BLOCK).unwrap();
        let geometry = Geometry {
            block_size,
            physical_block_size: block_size,
            discard_granularity: block_size,
            preferred_io: 0,
            read_only: false,
            volatile_cache: true,
            discard: Discard::Zeroes,
            thin: true,
        };
        Self { medium, geometry }
    }

    async fn put(&self, at: u64, buf: DataBuf) -> DataBuf {
        let at = usize::try_from(at).unwrap();
        self.medium.act(|bytes| buf.copy_out(0, &mut bytes[at..at + buf.len()])).await;
        buf
    }

    async fn clear(&self, at: u64, len: u64) {
        let (at, len) = (usize::try_from(at).unwrap(), usize::try_from(len).unwrap());
        self.medium.act(|bytes| bytes[at..at + len].fill(0)).await;
    }
}

impl Backend for Memory {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn size(&self) -> u64 {
        (BLOCKS * BLOCK) as u64
    }

    fn refresh_size(&self) -> Result<u64> {
        Ok(self.size())
    }

    async fn read(&self, at: u64, mut buf: DataBuf) -> Result<DataBuf> {
        let at = usize::try_from(at).unwrap();
        let len = buf.len();
        self.medium.act(|bytes| buf.copy_in(0, &bytes[at..at + len])).await;
        Ok(buf)
    }

    async fn write(&self, at: u64, buf: DataBuf, _: Durability) -> Result<DataBuf> {
        Ok(self.put(at, buf).await)
    }

    async fn flush(&self) -> Result<()> {
        self.medium.act(|_| ()).await;
        Ok(())
    }

    async fn discard(&self, at: u64, len: u64) -> Result<()> {
        self.clear(at, len).await;
        Ok(())
    }

    async fn write_zeroes(&self, at: u64, len: u64, _: bool, _: Durability) -> Result<()> {
        self.clear(at, len).await;
        Ok(())
    }

    fn atomic_limit(&self) -> u64 {
        self.size()
    }

    async fn write_atomic(&self, at: u64, buf: DataBuf) -> Result<DataBuf> {
        Ok(self.put(at, buf).await)
    }

    async fn extent(&self, _: u64, len: u64) -> Result<Extent> {
        Ok(Extent { len, mapped: true })
    }

    fn driver(&self) -> Option<&dyn Driver> {
        None
    }
}
