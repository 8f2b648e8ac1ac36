//! The running commands of one LUN: futures in slots that are used again, each polled once at birth.
//!
//! Most commands end at that first poll, and then nothing was allocated: a slot's memory is kept for
//! the next command. The others are polled when their waker says so, from this thread or another.
//! A wakeup may come late and meet another command in the slot: that one is polled once too often.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::alarm::Alarm;
use super::sync::Mutex;

/// Futures of one type, on one thread.
pub struct Tasks<F> {
    slots: Vec<Slot<F>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// Taken out of `woken` in one go, to poll without holding its lock.
    batch: Vec<usize>,
}

struct Slot<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

/// Slots whose futures may go on.
struct Woken {
    slots: Mutex<Vec<usize>>,
    alarm: Arc<Alarm>,
}

struct SlotWaker {
    slot: usize,
    woken: Arc<Woken>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.slots.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
        self.woken.alarm.ring();
    }
}

impl<F: Future> Tasks<F> {
    /// None yet; `alarm` is rung when one of them can go on.
    pub fn new(alarm: Arc<Alarm>) -> Self {
        let woken = Arc::new(Woken { slots: Mutex::default(), alarm });
        Self { slots: Vec::new(), free: Vec::new(), woken, batch: Vec::new() }
    }

    /// How many are running.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Starts one: its output if it ends at once.
    pub fn start(&mut self, future: F) -> Option<F::Output> {
        let index = self.free.pop().unwrap_or_else(|| self.add_slot());
        self.slots[index].future.set(Some(future));
        self.poll(index)
    }

    /// Whether a waker was called since the last [`Tasks::poll_woken`].
    pub fn any_woken(&self) -> bool {
        !self.woken.slots.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Goes on with all that were woken; gives what ended to `done`.
    pub fn poll_woken(&mut self, mut done: impl FnMut(F::Output)) {
        let mut batch = std::mem::take(&mut self.batch);
        std::mem::swap(&mut batch, &mut *self.woken.slots.lock().unwrap_or_else(PoisonError::into_inner));
        for index in batch.drain(..) {
            if self.slots[index].future.is_some()
                && let Some(output) = self.poll(index)
            {
                done(output);
            }
        }
        self.batch = batch;
    }

    fn add_slot(&mut self) -> usize {
        let index = self.slots.len();
        let waker = Waker::from(Arc::new(SlotWaker { slot: index, woken: Arc::clone(&self.woken) }));
        self.slots.push(Slot { future: Box::pin(None), waker });
        index
    }

    fn poll(&mut self, index: usize) -> Option<F::Output> {
        let slot = &mut self.slots[index];
        let mut context = Context::from_waker(&slot.waker);
        let future = slot.future.as_mut().as_pin_mut()?;
        match future.poll(&mut context) {
            Poll::Pending => None,
            Poll::Ready(output) => {
                slot.future.set(None);
                self.free.push(index);
                Some(output)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use futures::channel::oneshot;

    use super::*;

    fn tasks<F: Future>() -> (Tasks<F>, Arc<Alarm>) {
        let alarm = Arc::new(Alarm::new().unwrap());
        (Tasks::new(Arc::clone(&alarm)), alarm)
    }

    #[test]
    fn a_future_that_ends_at_once_leaves_its_slot() {
        let (mut tasks, _) = tasks();
        for n in 0..1000 {
            assert_eq!(tasks.start(async move { n }), Some(n));
        }
        assert_eq!((tasks.len(), tasks.slots.len()), (0, 1));
    }

    #[test]
    fn futures_end_in_the_order_of_their_wakeups() {
        let (mut tasks, _) = tasks();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel::<u32>()).unzip();
        for receiver in receivers {
            assert!(tasks.start(receiver).is_none());
        }
        for (n, sender) in (0..4).zip(senders).rev() {
            sender.send(n).unwrap();
        }
        let mut ended = Vec::new();
        tasks.poll_woken(|output| ended.push(output.unwrap()));
        assert_eq!((ended, tasks.len()), (vec![3, 2, 1, 0], 0));
    }

    #[test]
    fn a_wakeup_from_another_thread_rings_the_alarm_of_a_sleeper() {
        let (mut tasks, alarm) = tasks();
        let (sender, receiver) = oneshot::channel();
        assert!(tasks.start(receiver).is_none());
        alarm.arm();
        let (go, wait) = mpsc::channel::<()>();
        let waker = thread::spawn(move || {
            wait.recv().unwrap();
            sender.send(7).unwrap();
        });
        go.send(()).unwrap();
        let mut fds = [nix::poll::PollFd::new(alarm.as_fd(), nix::poll::PollFlags::POLLIN)];
        assert_eq!(
            nix::poll::poll(&mut fds, nix::poll::PollTimeout::try_from(Duration::from_secs(10)).unwrap()),
            Ok(1)
        );
        alarm.disarm();
        waker.join().unwrap();
        let mut ended = Vec::new();
        tasks.poll_woken(|output| ended.push(output));
        assert_eq!(ended, vec![Ok(7)]);
    }
}
