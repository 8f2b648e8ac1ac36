//! The parked operations of one file, in a fixed number of slots whose index is the ring's `user_data`.
//!
//! Invariant: a slot's request, its buffer and its segment list stay where they are from the moment the
//! operation is started until its completion is settled, also when its future is dropped: the slot is
//! then an orphan, which frees itself. So neither a buffer nor a list is ever freed or moved while the
//! kernel may use it. What was not started yet is freed at once.

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use lunette_backend::Result;

use crate::request::{Outcome, Request};
use crate::syscall::{self, Rest};

/// Operations of one file that may be queued or running at once; more wait for room.
pub(crate) const CAPACITY: u16 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    Queued,
    Running,
    /// Running, and nobody waits for it any more.
    Orphan,
    Done,
}

#[derive(Debug)]
struct Slot {
    phase: Phase,
    /// There from insertion until the result is taken, unless a worker has it.
    request: Option<Request>,
    rest: Rest,
    waker: Option<Waker>,
    result: Option<Result<()>>,
}

/// All of one file's parked operations.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Box<[Slot]>,
    free: Vec<u16>,
    queued: VecDeque<u16>,
    running: usize,
    waiting: Vec<Waker>,
}

impl Table {
    pub fn new() -> Self {
        let vacant = || Slot { phase: Phase::Free, request: None, rest: Rest::new(), waker: None, result: None };
        Self {
            slots: (0..CAPACITY).map(|_| vacant()).collect(),
            free: (0..CAPACITY).rev().collect(),
            queued: VecDeque::with_capacity(CAPACITY.into()),
            running: 0,
            waiting: Vec::new(),
        }
    }

    /// Queued or running.
    pub fn in_flight(&self) -> usize {
        self.queued.len() + self.running
    }

    pub fn running(&self) -> usize {
        self.running
    }

    pub fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// A slot to park a request in; without room the caller is woken when there is some.
    pub fn reserve(&mut self, waker: &Waker) -> Option<u16> {
        if self.free.is_empty() {
            self.waiting.push(waker.clone());
        }
        self.free.pop()
    }

    /// Queues a request in a slot that was just reserved.
    pub fn park(&mut self, key: u16, request: Request, waker: &Waker) {
        let slot = &mut self.slots[usize::from(key)];
        slot.phase = Phase::Queued;
        slot.request = Some(request);
        slot.waker = Some(waker.clone());
        self.queued.push_back(key);
    }

    /// Starts the oldest queued operation.
    pub fn start_next(&mut self) -> Option<u16> {
        let key = self.queued.pop_front()?;
        self.slots[usize::from(key)].phase = Phase::Running;
        self.running += 1;
        Some(key)
    }

    /// A started operation and the segments of its next transfer, at addresses that hold until it is
    /// settled.
    pub fn started(&mut self, key: u16) -> Option<(&Request, &[libc::iovec])> {
        let slot = &mut self.slots[usize::from(key)];
        let request = slot.request.as_ref()?;
        Some((request, syscall::segments(&request.buf, request.done, &mut slot.rest)))
    }

    /// Hands a started operation to a worker.
    pub fn lend(&mut self, key: u16) -> Option<Request> {
        self.slots[usize::from(key)].request.take()
    }

    /// Takes in what the kernel said of a started operation; queues it again if it has to go on.
    pub fn settle(&mut self, key: u16, outcome: Outcome, woken: &mut Vec<Waker>) {
        let slot = &mut self.slots[usize::from(key)];
        let Some(request) = slot.request.as_mut() else { return };
        match request.settle(outcome) {
            None if slot.phase == Phase::Running => self.requeue(key),
            None => self.finish(key, Ok(()), woken),
            Some(result) => self.finish(key, result, woken),
        }
    }

    /// Takes a finished operation back from a worker.
    pub fn restore(&mut self, key: u16, request: Request, result: Result<()>, woken: &mut Vec<Waker>) {
        self.slots[usize::from(key)].request = Some(request);
        self.finish(key, result, woken);
    }

    fn requeue(&mut self, key: u16) {
        self.slots[usize::from(key)].phase = Phase::Queued;
        self.running -= 1;
        self.queued.push_front(key);
    }

    fn finish(&mut self, key: u16, result: Result<()>, woken: &mut Vec<Waker>) {
        self.running -= 1;
        let slot = &mut self.slots[usize::from(key)];
        if slot.phase == Phase::Orphan {
            self.release(key, woken);
            return;
        }
        slot.phase = Phase::Done;
        slot.result = Some(result);
        woken.extend(slot.waker.take());
    }

    /// The finished request of `key`, or `None` and a wake-up when it is.
    pub fn poll(&mut self, key: u16, waker: &Waker, woken: &mut Vec<Waker>) -> Option<(Request, Result<()>)> {
        let slot = &mut self.slots[usize::from(key)];
        if slot.phase != Phase::Done {
            match &mut slot.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return None;
        }
        let finished = slot.request.take().zip(slot.result.take());
        self.release(key, woken);
        finished
    }

    /// The future of `key` is gone.
    pub fn abandon(&mut self, key: u16, woken: &mut Vec<Waker>) {
        let slot = &mut self.slots[usize::from(key)];
        slot.waker = None;
        match slot.phase {
            Phase::Running => slot.phase = Phase::Orphan,
            Phase::Queued => {
                self.queued.retain(|queued| *queued != key);
                self.release(key, woken);
            }
            Phase::Done => self.release(key, woken),
            Phase::Free | Phase::Orphan => {}
        }
    }

    fn release(&mut self, key: u16, woken: &mut Vec<Waker>) {
        let slot = &mut self.slots[usize::from(key)];
        slot.phase = Phase::Free;
        slot.request = None;
        slot.result = None;
        slot.waker = None;
        self.free.push(key);
        // All of them look again: those that find no room wait once more.
        woken.append(&mut self.waiting);
    }

    /// Gives up everything that was not started.
    pub fn drop_queued(&mut self) {
        while let Some(key) = self.queued.pop_front() {
            let slot = &mut self.slots[usize::from(key)];
            slot.phase = Phase::Free;
            slot.request = None;
        }
    }

    /// Keeps the memory of operations that never ended for good: the kernel may still use it.
    pub fn leak(&mut self) {
        mem::forget(mem::take(&mut self.slots));
        self.free.clear();
        self.running = 0;
    }
}

#[cfg(test)]
mod tests {
    use lunette_iobuf::DataBuf;

    use super::*;

    fn park(table: &mut Table, request: Request) -> Option<u16> {
        let key = table.reserve(Waker::noop())?;
        table.park(key, request, Waker::noop());
        Some(key)
    }

    fn table_with_one() -> (Table, u16) {
        let mut table = Table::new();
        let key = park(&mut table, Request::read(0, DataBuf::zeroed(8))).unwrap();
        (table, key)
    }

    #[test]
    fn an_operation_goes_from_queued_to_running_to_done() {
        let (mut table, key) = table_with_one();
        assert_eq!(table.start_next(), Some(key));
        assert_eq!((table.in_flight(), table.running()), (1, 1));
        let mut woken = Vec::new();
        assert!(table.poll(key, Waker::noop(), &mut woken).is_none());
        table.settle(key, Ok(8), &mut woken);
        assert_eq!((table.in_flight(), woken.len()), (0, 1));
        let (request, result) = table.poll(key, Waker::noop(), &mut woken).unwrap();
        assert!(result.is_ok());
        assert_eq!(request.done, 8);
    }

    #[test]
    fn a_short_transfer_is_queued_again_with_the_rest_of_its_segments() {
        let (mut table, key) = table_with_one();
        table.start_next();
        table.settle(key, Ok(3), &mut Vec::new());
        assert_eq!((table.in_flight(), table.running()), (1, 0));
        assert_eq!(table.start_next(), Some(key));
        let (request, segments) = table.started(key).unwrap();
        assert_eq!((request.position(), segments[0].iov_len), (3, 5));
    }

    #[test]
    fn an_abandoned_running_operation_keeps_its_memory_until_it_is_settled() {
        let (mut table, key) = table_with_one();
        table.start_next();
        table.abandon(key, &mut Vec::new());
        assert!(table.started(key).is_some());
        assert_eq!(table.in_flight(), 1);
        table.settle(key, Ok(3), &mut Vec::new());
        assert!(table.started(key).is_none());
        assert_eq!((table.in_flight(), table.free.len()), (0, usize::from(CAPACITY)));
    }

    #[test]
    fn an_abandoned_queued_operation_is_never_started() {
        let (mut table, key) = table_with_one();
        table.abandon(key, &mut Vec::new());
        assert_eq!((table.start_next(), table.in_flight()), (None, 0));
        assert_eq!(table.free.len(), usize::from(CAPACITY));
    }

    #[test]
    fn without_room_a_request_waits_and_is_woken_by_the_next_free_slot() {
        let mut table = Table::new();
        for _ in 0..CAPACITY {
            park(&mut table, Request::sync()).unwrap();
        }
        assert!(park(&mut table, Request::sync()).is_none());
        let mut woken = Vec::new();
        table.abandon(5, &mut woken);
        assert_eq!(woken.len(), 1);
        assert!(park(&mut table, Request::sync()).is_some());
    }
}
