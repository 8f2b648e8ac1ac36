//! What passes between a LUN's thread and the agent's control side: orders in, figures out.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

use lunette_backend::{Backend, Changes, Disk};
use lunette_scsi::Access;

use super::alarm::Alarm;
use super::gate::Rates;
use super::meter::Meter;
use super::sync::{AtomicU64, Mutex, watch};

/// What a LUN's thread can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take no more commands, answer those taken, and end. The ring stays: initiators wait.
    Stop,
    /// The volume has grown: look.
    Resized,
    /// It is reached in another way than before.
    Reached(Access),
    /// Keep these limits from now on, or none.
    Limit(Option<Rates>),
    /// Take no more commands, and say when those taken have ended ([`Inbox::is_still`]).
    Pause,
    /// As many of these as of [`Order::Pause`], and commands are taken again.
    Resume,
    /// Note from now on what is written.
    Watch(Watch),
}

/// Where to note what is written, and whom to tell when that has begun.
#[derive(Clone, Debug)]
pub struct Watch {
    changes: Weak<Changes>,
    begun: watch::Sender<bool>,
}

impl Watch {
    /// Has them noted there.
    pub fn begin<B: Backend>(self, disk: &Disk<B>) {
        disk.watch(self.changes);
        self.begun.send_replace(true);
    }
}

impl PartialEq for Watch {
    fn eq(&self, other: &Self) -> bool {
        self.changes.ptr_eq(&other.changes)
    }
}

impl Eq for Watch {}

/// Orders not yet obeyed, and what the thread counts.
#[derive(Debug)]
pub struct Inbox {
    orders: Mutex<VecDeque<Order>>,
    alarm: Arc<Alarm>,
    meter: Arc<Meter>,
    /// How many orders to pause were left so far; it changes with `orders` locked.
    pauses: AtomicU64,
    /// The last of them that is obeyed, while it is.
    still: watch::Sender<u64>,
}

impl Inbox {
    /// None yet.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> nix::Result<Self> {
        Ok(Self {
            orders: Mutex::default(),
            alarm: Arc::new(Alarm::new()?),
            meter: Arc::default(),
            pauses: AtomicU64::new(0),
            still: watch::Sender::default(),
        })
    }

    /// Leaves an order and wakes the thread.
    pub fn send(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.alarm.ring();
    }

    /// Has what is written noted in `changes`, for as long as anybody has those; `true` once that has begun.
    pub fn watch(&self, changes: &Arc<Changes>) -> watch::Receiver<bool> {
        let (begun, told) = watch::channel(false);
        self.send(Order::Watch(Watch { changes: Arc::downgrade(changes), begun }));
        told
    }

    /// Orders a pause; its number.
    pub fn pause(&self) -> u64 {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.pauses.fetch_add(1, Ordering::Relaxed) + 1;
        orders.push_back(Order::Pause);
        drop(orders);
        self.alarm.ring();
        number
    }

    /// The thread says that nothing runs, and that nothing will begin until the pause of that number, the last that it
    /// has heard of, is over.
    pub fn is_still(&self, number: u64) {
        self.still.send_if_modified(|still| std::mem::replace(still, number) != number);
    }

    /// Follows the number of the last pause for which the thread was still. Whoever has ordered a pause, and has not
    /// ended it, sees a number that is no less only while the thread is still for it.
    pub fn stillness(&self) -> watch::Receiver<u64> {
        self.still.subscribe()
    }

    /// The oldest order.
    pub fn take(&self) -> Option<Order> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether there is nothing to obey.
    pub fn is_empty(&self) -> bool {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whether the thread is told to stop; the order stays.
    pub fn says_stop(&self) -> bool {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).contains(&Order::Stop)
    }

    /// Where the thread counts.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// What wakes the thread.
    pub fn alarm(&self) -> &Arc<Alarm> {
        &self.alarm
    }
}
