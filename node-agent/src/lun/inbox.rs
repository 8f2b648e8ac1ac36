//! What passes between a LUN's thread and the agent's control side: orders in, figures out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use lunette_scsi::Access;

use super::alarm::Alarm;
use super::gate::Rates;
use super::meter::Meter;

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
}

/// Orders not yet obeyed, and what the thread counts.
#[derive(Debug)]
pub struct Inbox {
    orders: Mutex<VecDeque<Order>>,
    alarm: Arc<Alarm>,
    meter: Arc<Meter>,
}

impl Inbox {
    /// None yet.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new() -> nix::Result<Self> {
        Ok(Self { orders: Mutex::default(), alarm: Arc::new(Alarm::new()?), meter: Arc::default() })
    }

    /// Leaves an order and wakes the thread.
    pub fn send(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
        self.alarm.ring();
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
