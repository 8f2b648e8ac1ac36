//! Commands that an initiator has given up while storage is still at them, and those that wait behind them.
//!
//! The kernel answers a task management function (ABORT TASK, LOGICAL UNIT RESET) when the commands that it concerns
//! have been answered, and storage that hangs would not let us: the initiator would drop its session then, and logins to
//! the whole portal would wait for that storage. So such a command is answered at once, and the kernel leaves us its
//! buffers until storage has let go of them. What it still writes may land at any time. Invariants: nothing newer is
//! begun before the last of them has ended; and the device, whose closing would give their buffers away, stays open
//! until then, even if this process dies ([`Driver::hold_open`]). Newer commands are taken from the ring all the
//! same, and wait here, so that they can be given up as well. Only those that need no storage are answered meanwhile:
//! so a unit that is being sanitized says so, though the SANITIZE was given up (SBC-4 4.11.2 has it go on).

use std::collections::VecDeque;
use std::os::fd::AsFd;

use lunette_backend::Driver;
use lunette_tcmu::{Command, Device, Reply, Ring};

/// TASK ABORTED (SAM-5 5.3.1). The kernel sends it only where the control mode page asks for it (TAS).
const TASK_ABORTED: Reply<'static> = Reply { status: 0x40, sense: &[], read_len: None };

/// The kernel's side of a LUN, but for its ring.
#[derive(Clone, Copy)]
pub struct KernelSide<'a> {
    /// Its events.
    pub device: &'a Device,
    /// Gives back what a command that was given up has kept, by its id.
    pub free: &'a dyn Fn(u16),
}

/// One LUN's commands that do not go the usual way.
pub struct Aside<'a> {
    kernel: KernelSide<'a>,
    driver: Option<&'a dyn Driver>,
    /// Given up, and storage is still at them.
    given_up: usize,
    /// Those of them that have ended and whose buffers the kernel has not got back yet.
    ended: Vec<u16>,
    waiting: VecDeque<Command>,
}

impl<'a> Aside<'a> {
    /// None yet.
    pub fn new(kernel: KernelSide<'a>, driver: Option<&'a dyn Driver>) -> Self {
        Self { kernel, driver, given_up: 0, ended: Vec::new(), waiting: VecDeque::new() }
    }

    /// Whether a command that comes now has to wait, if it needs storage.
    #[inline]
    pub fn is_in_use(&self) -> bool {
        self.given_up > 0 || !self.waiting.is_empty()
    }

    /// Whether a command waits that has not begun.
    pub fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets a command wait.
    #[cold]
    pub fn add(&mut self, command: Command) {
        self.waiting.push_back(command);
    }

    /// The command that has waited longest, if any may begin now.
    #[inline]
    pub fn next(&mut self, may_begin: bool) -> Option<Command> {
        if may_begin && self.given_up == 0 { self.waiting.pop_front() } else { None }
    }

    /// An initiator gives these up. Those that the kernel cannot be answered about before they have ended go on.
    pub fn give_up(&mut self, cmd_ids: &[u16], ring: &mut Ring) {
        self.answer_waiting(cmd_ids, ring);
        if self.given_up > 0 || self.hold(true) {
            self.given_up += cmd_ids.iter().filter(|id| ring.give_up(**id, &TASK_ABORTED)).count();
            if self.given_up == 0 {
                self.hold(false);
            }
        }
    }

    /// A command that was given up has ended, and storage does not touch its buffers any more.
    #[cold]
    pub fn ended(&mut self, cmd_id: u16) {
        self.ended.push(cmd_id);
        self.given_up -= 1;
        if self.given_up == 0 {
            self.hold(false);
            tracing::info!(waiting = self.waiting.len(), "what initiators had given up has ended: the LUN goes on");
        }
    }

    /// Gives the kernel back the buffers of those that have ended. It has to have been handed their answers before, which say
    /// that the buffers are kept: it knows of none to be given back otherwise.
    #[inline]
    pub fn give_back(&mut self) {
        for cmd_id in self.ended.drain(..) {
            (self.kernel.free)(cmd_id);
        }
    }

    fn answer_waiting(&mut self, cmd_ids: &[u16], ring: &mut Ring) {
        for command in std::mem::take(&mut self.waiting) {
            if cmd_ids.contains(&command.ticket.id()) {
                ring.complete(command.ticket, &TASK_ABORTED);
            } else {
                self.waiting.push_back(command);
            }
        }
    }

    fn hold(&self, hold: bool) -> bool {
        let device = hold.then(|| self.kernel.device.as_fd());
        self.driver.is_none_or(|driver| driver.hold_open(device))
    }
}
