//! What was counted of a LUN by all threads that have served it, one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Buckets, Count, ERRORS, KINDS, Meter};

/// Figures of one LUN at one moment: the fields are those of [`Meter`]. All but `in_flight` only grow while the
/// agent runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Commands answered, by kind.
    pub operations: [u64; KINDS.len()],
    /// Bytes read from the LUN.
    pub read_bytes: u64,
    /// Bytes written to it.
    pub written_bytes: u64,
    /// Commands that failed, by what their initiators were told.
    pub errors: [u64; ERRORS.len()],
    /// Commands that run.
    pub in_flight: u64,
    /// Batches of answers handed to the kernel.
    pub kicks: u64,
    /// Task management functions that the kernel told of.
    pub task_management: u64,
    /// Nanoseconds during which limits kept commands in the ring.
    pub held: u64,
    /// How long the LUN was held still, each time.
    pub pauses: Buckets,
    /// What the storage works with, if that is chosen.
    pub engine: Option<&'static str>,
    /// How long commands took from being taken to being answered, by kind.
    pub backend: [Buckets; KINDS.len()],
    /// How long handing a batch of answers to the kernel took.
    pub completion: Buckets,
    /// Threads that were started after the first.
    pub restarts: u64,
}

impl Snapshot {
    fn add(&mut self, meter: &Meter) {
        sum(&mut self.operations, &meter.operations);
        sum(&mut self.errors, &meter.errors);
        self.read_bytes += meter.read_bytes.get();
        self.written_bytes += meter.written_bytes.get();
        self.in_flight += meter.in_flight.get();
        self.kicks += meter.kicks.get();
        self.task_management += meter.task_management.get();
        self.held += meter.held.get();
        self.engine = meter.engine.get().copied().or(self.engine);
        for (mine, more) in self.backend.iter_mut().zip(&meter.backend) {
            mine.add(&more.read());
        }
        self.completion.add(&meter.completion.read());
        self.pauses.add(&meter.pauses.read());
    }
}

fn sum(mine: &mut [u64], more: &[Count]) {
    for (mine, more) in mine.iter_mut().zip(more) {
        *mine += more.get();
    }
}

/// All that was counted of one LUN.
#[derive(Debug, Default)]
pub struct Ledger {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// Of threads that are over.
    closed: Snapshot,
    /// Of threads that run: more than one only where storage keeps one from ending.
    open: Vec<Arc<Meter>>,
    started: u64,
}

impl Ledger {
    /// Reads from now on what another thread counts, too.
    pub fn open(&self, meter: Arc<Meter>) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.open.push(meter);
        books.started += 1;
    }

    /// The figures of now.
    pub fn read(&self) -> Snapshot {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.close();
        let mut all = books.closed.clone();
        books.open.iter().for_each(|meter| all.add(meter));
        all.restarts = books.started.saturating_sub(1);
        all
    }
}

impl Books {
    /// Draws the line under threads that are over: nobody else has their meter any more.
    fn close(&mut self) {
        let closed = &mut self.closed;
        self.open.retain_mut(|meter| {
            let over = Arc::get_mut(meter).is_some();
            if over {
                closed.add(meter);
                // What it had taken was answered, or will be by the kernel.
                closed.in_flight = 0;
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_outlive_the_threads_that_counted_them() {
        let ledger = Ledger::default();
        for (count, restarts) in [(1, 0), (2, 1), (3, 2)] {
            let meter = Arc::new(Meter::default());
            ledger.open(Arc::clone(&meter));
            meter.operations[0].add(10);
            meter.in_flight.set(1);
            let during = ledger.read();
            assert_eq!((during.operations[0], during.in_flight), (10 * count, 1));
            drop(meter);
            let after = ledger.read();
            assert_eq!((after.operations[0], after.in_flight, after.restarts), (10 * count, 0, restarts));
        }
    }
}
