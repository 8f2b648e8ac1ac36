//! Storage for the thread's tests: a little memory that waits, fails or panics where it is told to.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::task::Poll;

use futures::channel::oneshot;
use lunette_backend::{Driver, Durability, Geometry, IoErrorKind, Result};
use lunette_iobuf::DataBuf;

use super::*;

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Blocks at first.
pub const BLOCKS: usize = 64;

/// What the next operation on a block does before it is carried out.
pub enum Act {
    /// Waits until the sender is used, on whichever thread.
    Wait(oneshot::Receiver<()>),
    /// Lets others have a turn first.
    Yield,
    /// Fails.
    Fail(IoErrorKind),
    /// Is a bug.
    Panic,
}

/// What a test and its storage share.
pub struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    acts: HashMap<u64, Act>,
    /// Bytes that a look at the volume finds.
    size: u64,
    /// Operations begun.
    begun: usize,
    /// Whether the end of the backend waits for [`Script::let_drain`].
    holds: bool,
    draining: bool,
}

impl Script {
    pub fn new() -> Arc<Self> {
        let state = State { size: (BLOCKS * BLOCK) as u64, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn on(&self, block: u32, act: Act) {
        self.lock().acts.insert(u64::from(block) * BLOCK as u64, act);
    }

    /// Has the next operation on that block wait; what lets it go on.
    pub fn hold(&self, block: u32) -> oneshot::Sender<()> {
        let (go, wait) = oneshot::channel();
        self.on(block, Act::Wait(wait));
        go
    }

    pub fn resize(&self, blocks: usize) {
        self.lock().size = (blocks * BLOCK) as u64;
    }

    /// Has the backend take its time to end.
    pub fn hold_draining(&self) {
        self.lock().holds = true;
    }

    pub fn let_drain(&self) {
        self.lock().holds = false;
        self.changed.notify_all();
    }

    pub fn wait_for_draining(&self) {
        drop(self.changed.wait_while(self.lock(), |state| !state.draining).unwrap());
    }

    pub fn wait_for_operations(&self, count: usize) {
        drop(self.changed.wait_while(self.lock(), |state| state.begun < count).unwrap());
    }

    /// Operations begun.
    pub fn operations(&self) -> usize {
        self.lock().begun
    }

    fn begin(&self, at: u64) -> Option<Act> {
        let mut state = self.lock();
        state.begun += 1;
        self.changed.notify_all();
        state.acts.remove(&at)
    }
}

/// The volume.
pub struct Ram {
    script: Arc<Script>,
    geometry: Geometry,
    bytes: RefCell<Vec<u8>>,
    size: Cell<u64>,
}

impl Ram {
    pub fn new(script: Arc<Script>) -> Self {
        let bytes = RefCell::new(vec![0; 2 * BLOCKS * BLOCK]);
        Self { script, geometry: Geometry::plain(512), bytes, size: Cell::new((BLOCKS * BLOCK) as u64) }
    }

    async fn act(&self, at: u64) -> Result<()> {
        match self.script.begin(at) {
            None => Ok(()),
            Some(Act::Wait(go)) => go.await.map_err(|_| IoErrorKind::Internal.into()),
            Some(Act::Yield) => yielded().await,
            Some(Act::Fail(kind)) => Err(kind.into()),
            Some(Act::Panic) => panic!("block {} was scripted to be a bug", at / BLOCK as u64),
        }
    }
}

/// Is ready the second time that it is asked.
async fn yielded() -> Result<()> {
    let mut asked = false;
    std::future::poll_fn(move |context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut asked, true) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

impl Drop for Ram {
    fn drop(&mut self) {
        let mut state = self.script.lock();
        state.draining = true;
        self.script.changed.notify_all();
        drop(self.script.changed.wait_while(state, |state| state.holds));
    }
}

impl Backend for Ram {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn size(&self) -> u64 {
        self.size.get()
    }

    fn refresh_size(&self) -> Result<u64> {
        self.size.set(self.script.lock().size);
        Ok(self.size.get())
    }

    async fn read(&self, at: u64, mut buf: DataBuf) -> Result<DataBuf> {
        self.act(at).await?;
        let at = usize::try_from(at).unwrap();
        buf.copy_in(0, &self.bytes.borrow()[at..at + buf.len()]);
        Ok(buf)
    }

    async fn write(&self, at: u64, buf: DataBuf, _: Durability) -> Result<DataBuf> {
        self.act(at).await?;
        let at = usize::try_from(at).unwrap();
        buf.copy_out(0, &mut self.bytes.borrow_mut()[at..at + buf.len()]);
        Ok(buf)
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn discard(&self, _: u64, _: u64) -> Result<()> {
        Err(IoErrorKind::Unsupported.into())
    }

    async fn write_zeroes(&self, at: u64, len: u64, _: bool, durability: Durability) -> Result<()> {
        self.write(at, DataBuf::zeroed(usize::try_from(len).unwrap()), durability).await.map(drop)
    }

    fn driver(&self) -> Option<&dyn Driver> {
        None
    }
}
