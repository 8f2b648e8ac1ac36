//! What happens, in no particular order: the scheduler tries orders out.

use std::sync::Arc;
use std::time::Duration;

use lunette_backend::Changes;
use shuttle::future::block_on;
use shuttle::thread::{self, yield_now};

use crate::inbox::Order;
use crate::pause::{NoPause, Pause};
use crate::server::{Server, kernel, submit, wait_for_all};
use crate::state::{Ended, State};

/// Bytes of the volume, of which one block is written to.
const VOLUME: u64 = 1 << 20;
/// It decides nothing here: see [`crate::sync::timeout`].
const PATIENCE: Duration = Duration::from_secs(1);

/// Commands, storage that answers from elsewhere, and orders that change nothing: every command is answered.
pub fn traffic() {
    let (mut kernel, operations) = kernel();
    let server = Server::start(&mut kernel, &operations);
    let inbox = Arc::clone(&server.inbox);
    let orders = thread::spawn(move || {
        inbox.send(Order::Resized);
        inbox.send(Order::Limit(None));
    });
    let tags = submit(&mut kernel, 6);
    wait_for_all(&mut kernel, tags);
    orders.join().expect("it only orders");
    server.stop(&mut kernel, &operations);
    assert_eq!(operations.all(), 6);
}

/// Two who pause it, whatever their patience, while commands come: nothing runs in a pause that was granted, and all is
/// answered after the last.
pub fn pauses() {
    let (mut kernel, operations) = kernel();
    let server = Server::start(&mut kernel, &operations);
    let pausing = (0..2).map(|_| {
        let (pauser, operations) = (server.pauser(), Arc::clone(&operations));
        thread::spawn(move || match block_on(pauser.pause(PATIENCE)) {
            Ok(pause) => {
                operations.hold_still();
                yield_now();
                operations.let_go();
                assert!(pause.end(), "nobody has told it to stop");
            }
            Err(NoPause::Busy | NoPause::NotServed) => {}
        })
    });
    let pausing: Vec<_> = pausing.collect();
    let tags = submit(&mut kernel, 5);
    wait_for_all(&mut kernel, tags);
    pausing.into_iter().for_each(|thread| thread.join().expect("its pause holds"));
    server.stop(&mut kernel, &operations);
    assert_eq!(operations.all(), 5);
}

/// One who copies while commands come: what the copy lacks is noted, so that at the end, in a pause, it lacks nothing.
pub fn copies() {
    let (mut kernel, operations) = kernel();
    let server = Server::start(&mut kernel, &operations);
    let (pauser, source) = (server.pauser(), Arc::clone(&operations));
    let copying = thread::spawn(move || {
        let changes = Arc::new(Changes::of(VOLUME));
        // Its patience may have ended.
        let Ok(()) = block_on(pauser.watch(&changes, PATIENCE)) else { return };
        let mut copy = source.content();
        let mut again = || {
            if !changes.take(VOLUME).is_empty() {
                copy = source.content();
            }
            copy
        };
        for _ in 0..2 {
            again();
            yield_now();
        }
        if let Ok(pause) = block_on(pauser.pause(PATIENCE)) {
            assert_eq!(again(), source.content(), "a write is not in the copy");
            assert!(pause.end(), "nobody has told it to stop");
        }
    });
    let tags = submit(&mut kernel, 6);
    wait_for_all(&mut kernel, tags);
    copying.join().expect("its copy is whole");
    server.stop(&mut kernel, &operations);
    assert_eq!(operations.all(), 6);
}

/// A stop while someone waits for a pause or has it: the thread ends, and what it left is for the next.
pub fn stop_in_a_pause() {
    let (mut kernel, operations) = kernel();
    let server = Server::start(&mut kernel, &operations);
    let pauser = server.pauser();
    let pausing = thread::spawn(move || {
        let pause = block_on(pauser.pause(PATIENCE));
        pause.map(Pause::end)
    });
    let tags = submit(&mut kernel, 3);
    let state = server.state.clone();
    server.stop(&mut kernel, &operations);
    let held = pausing.join().expect("it only waits");
    assert!(matches!(held, Ok(_) | Err(NoPause::Busy | NoPause::NotServed)));
    assert_eq!(*state.borrow(), State::Ended(Ended::Stopped));
    // What it left in the ring is for the next.
    let next = Server::start(&mut kernel, &operations);
    wait_for_all(&mut kernel, tags);
    next.stop(&mut kernel, &operations);
    assert_eq!(operations.all(), 3);
}

/// A ring from one to the next by its journal, with commands coming all the while: each is carried out once.
pub fn succession() {
    let (mut kernel, operations) = kernel();
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal");
    let mut server = Server::begin(&mut kernel, &operations, &journal);
    let mut tags = Vec::new();
    for _ in 0..3 {
        tags.extend(submit(&mut kernel, 3));
        server.stop(&mut kernel, &operations);
        server = Server::go_on(&mut kernel, &operations, &journal);
    }
    wait_for_all(&mut kernel, tags);
    server.stop(&mut kernel, &operations);
    assert_eq!(operations.all(), 9);
}

/// A device that is removed under a thread at rest.
pub fn removal() {
    let (mut kernel, operations) = kernel();
    let server = Server::start(&mut kernel, &operations);
    let tags = submit(&mut kernel, 2);
    wait_for_all(&mut kernel, tags);
    kernel.remove();
    server.thread.join().expect("it ends");
    assert_eq!(*server.state.borrow(), State::Ended(Ended::Removed));
}
