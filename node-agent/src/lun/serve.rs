//! Serving one ring: commands in, replies out, one kick per batch, sleep when there is nothing to do.
//!
//! This is where the ring's room and the SCSI room meet, and the only place. A turn takes a bounded
//! batch of entries, starts each, goes on with those whose storage has answered, and publishes all that
//! ended with one kick. Invariant: the thread sleeps only after it looked at every source of work since
//! it said that it would sleep; an event that comes after that look ends the sleep ([`Sleep`]).

use std::sync::Arc;

use lunette_backend::Backend;
use lunette_scsi::{Outcome, ScsiDisk};
use lunette_tcmu::{Command, DeviceError, Entry, Reply, Ring, RingError, Ticket};
use thiserror::Error;

use super::aside::{Aside, KernelSide};
use super::inbox::{Inbox, Order};
use super::meter::Mark;
use super::pause::Holds;
use super::sleep::{Sleep, SleepError, Until};
use super::tasks::Tasks;
use super::turnstile::Turnstile;

/// Commands taken from the ring before what has ended is published: the kernel copies their data out
/// under its lock in one kick, and submitters wait meanwhile.
const BATCH: usize = 32;

/// Why a ring is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to stop, and answered all it had taken.
    Stopped,
    /// The backstore was removed.
    Removed,
}

/// A ring cannot be served any more.
#[derive(Debug, Error)]
pub enum ServeError {
    /// What the kernel wrote makes no sense, or someone reset the ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The UIO device failed.
    #[error(transparent)]
    Device(DeviceError),
    /// Sleeping failed.
    #[error(transparent)]
    Sleep(#[from] SleepError),
}

/// Serves `ring` until it is told to stop, or cannot go on. Before anything is taken from it, the commands of
/// `again` are carried out: they are older than all that is in it.
///
/// # Errors
/// The ring has to be reset and attached again.
pub fn serve<B: Backend>(
    unit: &ScsiDisk<B>,
    kernel: KernelSide<'_>,
    ring: &mut Ring,
    inbox: &Inbox,
    again: Vec<Command>,
) -> Result<End, ServeError> {
    match run(unit, kernel, ring, inbox, again) {
        Err(ServeError::Device(DeviceError::Removed) | ServeError::Sleep(SleepError::Device(DeviceError::Removed))) => {
            Ok(End::Removed)
        }
        other => other,
    }
}

fn run<B: Backend>(
    unit: &ScsiDisk<B>,
    kernel: KernelSide<'_>,
    ring: &mut Ring,
    inbox: &Inbox,
    again: Vec<Command>,
) -> Result<End, ServeError> {
    let KernelSide { device, .. } = kernel;
    let mut tasks = Tasks::new(Arc::clone(inbox.alarm()));
    let sleep = Sleep::new(device, inbox.alarm()).map_err(ServeError::Device)?;
    let turnstile = Turnstile::new(inbox.meter());
    let mut aside = Aside::new(kernel, unit.disk().driver());
    let start = |command: Command| start(unit, command, &turnstile);
    let (mut stopping, mut repeating, mut holds) = (false, true, Holds::default());
    again.into_iter().for_each(|command| begin(ring, &mut tasks, start(command), &turnstile, &mut aside));
    loop {
        stopping |= obey(unit, inbox, &turnstile, &mut holds);
        turnstile.begin();
        repeating &= tasks.len() > 0;
        let holding = stopping || repeating || holds.any();
        let mut taken = 0;
        // What was taken has to be answered before the end.
        while let Some(command) = aside.next(stopping || !holds.any()) {
            begin(ring, &mut tasks, start(command), &turnstile, &mut aside);
            taken += 1;
        }
        if !holding {
            taken += take_batch(unit, ring, &mut tasks, start, &turnstile, &mut aside)?;
        }
        let ended = go_on(unit, ring, &mut tasks, &turnstile, &mut aside);
        if ring.publish() {
            device.kick().map_err(ServeError::Device)?;
            turnstile.published();
        }
        aside.give_back();
        turnstile.end(tasks.len());
        if stopping && tasks.len() == 0 && !aside.any_waiting() {
            return Ok(End::Stopped);
        }
        if is_idle(unit, &tasks) {
            holds.settle(inbox);
        }
        // An empty ring needs no turn of its own to be seen.
        let has_more = taken > 0 && (holding || ring.has_entries());
        if !has_more && ended == 0 {
            rest(unit, &sleep, ring, inbox, &tasks, holding, &turnstile)?;
        }
    }
}

/// A command that ended.
type Done = (Ticket, Mark, Outcome);

/// A command that was taken.
enum Begun<F> {
    /// It has ended.
    Ended(Done),
    /// It is still to be polled.
    Runs(F),
}

/// Takes a command, and carries it out if that takes no waiting.
#[inline]
fn start<'a, B: Backend>(
    unit: &'a ScsiDisk<B>,
    mut command: Command,
    turnstile: &Turnstile<'_>,
) -> Begun<impl Future<Output = Done> + use<'a, B>> {
    let mark = turnstile.taken(&command);
    match unit.execute_at_once(&command.cdb, &mut command.data) {
        Some(outcome) => Begun::Ended((command.ticket, mark, outcome)),
        None => Begun::Runs(execute(unit, command, mark)),
    }
}

async fn execute<B: Backend>(unit: &ScsiDisk<B>, command: Command, mark: Mark) -> Done {
    let Command { ticket, cdb, data, bidi: _ } = command;
    (ticket, mark, unit.execute(&cdb, data).await)
}

/// Does what the inbox says; whether that is to stop.
fn obey<B: Backend>(unit: &ScsiDisk<B>, inbox: &Inbox, turnstile: &Turnstile<'_>, holds: &mut Holds) -> bool {
    let mut stop = false;
    while let Some(order) = inbox.take() {
        match order {
            Order::Stop => stop = true,
            Order::Resized => refresh(unit),
            Order::Reached(access) => unit.set_access(access),
            Order::Limit(limits) => turnstile.limit(limits),
            Order::Pause => holds.begin(),
            Order::Watch(watch) => watch.begin(unit.disk()),
            Order::Resume => holds.end().into_iter().for_each(|lasted| turnstile.paused(lasted)),
        }
    }
    stop
}

/// Whether storage has nothing to do for this LUN: no command runs, and no operation that has outlived its command.
fn is_idle<B: Backend, F: Future>(unit: &ScsiDisk<B>, tasks: &Tasks<F>) -> bool {
    tasks.len() == 0 && unit.disk().driver().is_none_or(|driver| driver.in_flight() == 0)
}

fn refresh<B: Backend>(unit: &ScsiDisk<B>) {
    let before = unit.disk().size();
    match unit.refresh_size() {
        Ok(size) if size != before => tracing::info!(size, "the LUN has a new size"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the LUN keeps its size: its volume cannot be asked"),
    }
}

/// Starts up to a batch of commands and answers those that end at once; how many entries there were.
fn take_batch<B: Backend, F: Future<Output = Done>>(
    unit: &ScsiDisk<B>,
    ring: &mut Ring,
    tasks: &mut Tasks<F>,
    start: impl Fn(Command) -> Begun<F>,
    turnstile: &Turnstile<'_>,
    aside: &mut Aside<'_>,
) -> Result<usize, RingError> {
    for taken in 0..BATCH {
        if !turnstile.is_open() {
            return Ok(taken);
        }
        match ring.next()? {
            None => return Ok(taken),
            Some(Entry::Command(command)) if aside.is_in_use() && !unit.needs_no_storage(&command.cdb) => {
                aside.add(command);
            }
            Some(Entry::Command(command)) => begin(ring, tasks, start(command), turnstile, aside),
            Some(Entry::TaskManagement { kind, cmd_ids }) => {
                turnstile.told_of_task_management();
                aside.give_up(&cmd_ids, ring);
                tracing::info!(?kind, commands = cmd_ids.len(), "an initiator gives commands up");
            }
        }
    }
    Ok(BATCH)
}

/// Starts a command, and answers it if it ends at once.
fn begin<F: Future<Output = Done>>(
    ring: &mut Ring,
    tasks: &mut Tasks<F>,
    command: Begun<F>,
    turnstile: &Turnstile<'_>,
    aside: &mut Aside<'_>,
) {
    let done = match command {
        Begun::Ended(done) => Some(done),
        Begun::Runs(future) => tasks.start(future),
    };
    if let Some(done) = done {
        answer(ring, done, turnstile, aside);
    }
}

/// Hands queued operations to the kernel, takes finished ones, and answers the commands that ended.
fn go_on<B: Backend, F: Future<Output = Done>>(
    unit: &ScsiDisk<B>,
    ring: &mut Ring,
    tasks: &mut Tasks<F>,
    turnstile: &Turnstile<'_>,
    aside: &mut Aside<'_>,
) -> usize {
    let driver = unit.disk().driver();
    // An operation can outlive its command: its event would keep the thread from sleeping.
    if is_idle(unit, tasks) {
        return 0;
    }
    if let Some(driver) = driver {
        driver.submit();
        driver.reap();
    }
    let mut ended = 0;
    tasks.poll_woken(|done| {
        answer(ring, done, turnstile, aside);
        ended += 1;
    });
    // A command that went on may have queued its next operation.
    if let Some(driver) = driver {
        driver.submit();
    }
    ended
}

fn answer(ring: &mut Ring, (ticket, mark, outcome): Done, turnstile: &Turnstile<'_>, aside: &mut Aside<'_>) {
    turnstile.ended(mark, &outcome);
    let sense = outcome.sense_bytes();
    let sense = sense.as_ref().map_or(&[][..], |bytes| bytes);
    // The ring cannot say that nothing was read: the buffer holds zeroes then.
    let read_len = outcome.data_in.filter(|bytes| *bytes > 0);
    if let Some(given_up) = ring.complete(ticket, &Reply { status: outcome.status, sense, read_len }) {
        aside.ended(given_up);
    }
}

/// Sleeps until the kernel, the storage, a waker or an order has something, or until the LUN's limits let go of
/// entries that they keep in the ring. While `holding`, what is in the ring is left there.
fn rest<B: Backend, F: Future>(
    unit: &ScsiDisk<B>,
    sleep: &Sleep<'_>,
    ring: &Ring,
    inbox: &Inbox,
    tasks: &Tasks<F>,
    holding: bool,
    turnstile: &Turnstile<'_>,
) -> Result<(), ServeError> {
    let alarm = inbox.alarm();
    alarm.arm();
    let entries = !holding && ring.has_entries();
    if !inbox.is_empty() || tasks.any_woken() || (entries && turnstile.is_open()) {
        alarm.disarm();
        return Ok(());
    }
    let driver = unit.disk().driver().filter(|driver| driver.in_flight() > 0);
    let held = turnstile.rest(entries, || unit.disk().driver()?.engine());
    let until = match (driver, turnstile.patience(&held)) {
        (None, None) if tasks.len() == 0 => Until::Command,
        (driver, patience) => Until::Progress(driver.map(|driver| driver.event_fd()), patience),
    };
    let slept = sleep.until(until);
    turnstile.wake(&held);
    alarm.disarm();
    Ok(slept?)
}
