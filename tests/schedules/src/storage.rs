//! Storage whose operations end at once, or later by another thread; and what tells whether any of them runs.

use std::sync::Arc;

use futures::channel::oneshot;
use lunette_backend::{Backend, Driver, Durability, Geometry, IoErrorKind, Result};
use lunette_iobuf::DataBuf;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Mutex;
use shuttle::thread;

/// What is known of the operations of a LUN, whoever serves it.
#[derive(Default)]
pub struct Operations(Mutex<Known>);

#[derive(Default)]
struct Known {
    running: u32,
    begun: u32,
    /// Writes that have reached the medium.
    written: u32,
    /// Someone relies on there being none.
    still: u32,
}

impl Operations {
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.lock().expect("nobody panics in it"))
    }

    fn begin(&self) {
        self.change(|known| {
            assert_eq!(known.still, 0, "an operation begins in a pause");
            known.running += 1;
            known.begun += 1;
        });
    }

    fn end(&self) {
        self.change(|known| {
            assert_eq!(known.still, 0, "an operation ran in a pause");
            known.running -= 1;
        });
    }

    fn write(&self) {
        self.change(|known| known.written += 1);
    }

    /// What is on the medium: of how many writes.
    pub fn content(&self) -> u32 {
        self.change(|known| known.written)
    }

    /// From here on there must be none.
    pub fn hold_still(&self) {
        self.change(|known| {
            assert_eq!(known.running, 0, "an operation runs in a pause");
            known.still += 1;
        });
    }

    /// There may be some again.
    pub fn let_go(&self) {
        self.change(|known| known.still -= 1);
    }

    /// How many there were, none of which runs.
    pub fn all(&self) -> u32 {
        self.change(|known| {
            assert_eq!(known.running, 0, "an operation has outlived its thread");
            known.begun
        })
    }
}

/// A volume of nothing.
pub struct Storage {
    operations: Arc<Operations>,
    geometry: Geometry,
}

impl Storage {
    pub fn new(operations: Arc<Operations>) -> Self {
        Self { operations, geometry: Geometry::plain(512) }
    }

    async fn operate(&self) {
        self.operations.begin();
        wait_for_another().await;
        self.operations.end();
    }
}

/// Perhaps, until another thread has had its turn.
async fn wait_for_another() {
    if thread_rng().gen_bool(0.5) {
        let (done, ends) = oneshot::channel();
        // Whoever waited may have left.
        thread::spawn(move || {
            let _ = done.send(());
        });
        let _ = ends.await;
    }
}

impl Backend for Storage {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn size(&self) -> u64 {
        1 << 20
    }

    fn refresh_size(&self) -> Result<u64> {
        Ok(self.size())
    }

    async fn read(&self, _: u64, buf: DataBuf) -> Result<DataBuf> {
        self.operate().await;
        Ok(buf)
    }

    async fn write(&self, _: u64, buf: DataBuf, _: Durability) -> Result<DataBuf> {
        self.operations.begin();
        wait_for_another().await;
        self.operations.write();
        wait_for_another().await;
        self.operations.end();
        Ok(buf)
    }

    async fn flush(&self) -> Result<()> {
        self.operate().await;
        Ok(())
    }

    async fn discard(&self, _: u64, _: u64) -> Result<()> {
        Err(IoErrorKind::Unsupported.into())
    }

    async fn write_zeroes(&self, _: u64, _: u64, _: bool, _: Durability) -> Result<()> {
        Err(IoErrorKind::Unsupported.into())
    }

    fn driver(&self) -> Option<&dyn Driver> {
        None
    }
}
