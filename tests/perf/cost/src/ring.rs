//! What the ring costs per command, against the mock kernel: for a profiler that counts instructions,
//! as a clock would measure the machine's other work.
//!
//! Only the functions named `agent_…` are the ring's own; the rest is the mock. `lunette-bed bench rooms` runs it so:
//! `valgrind --tool=callgrind --toggle-collect='*agent_*' …/cost-ring`, and divides by the commands printed.
//! With a path as its argument it keeps a journal there.

use lunette_tcmu::mock::{Config, Kernel, Request, Tag};
use lunette_tcmu::{Entry, Journal, Reply, Ring};

const BATCHES: usize = 1000;
const DEPTH: usize = 32;

fn main() {
    let mut kernel = Kernel::new(Config { ring_bytes: 1 << 20, ..Config::default() });
    let (_device, mut ring) = match std::env::args_os().nth(1) {
        None => kernel.device(),
        Some(path) => {
            let journal = Journal::open(path.as_ref(), 1).expect("a file on a tmpfs");
            kernel.claim().attach_with(journal).expect("the mock's ring")
        }
    };
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    for _ in 0..BATCHES {
        let tags: Vec<Tag> = (0..DEPTH).map(|_| kernel.submit(Request::reading(&read, 4096))).collect();
        agent_serve(&mut ring);
        kernel.harvest();
        assert!(tags.into_iter().all(|tag| kernel.take(tag).is_some_and(|c| c.status == 0)));
    }
    println!("{} commands of 4 KiB, {DEPTH} a batch", BATCHES * DEPTH);
}

/// Answers what is there with GOOD.
#[inline(never)]
fn agent_serve(ring: &mut Ring) {
    while let Ok(Some(entry)) = ring.next() {
        if let Entry::Command(command) = entry {
            std::hint::black_box(&command.data);
            ring.complete(command.ticket, &Reply::GOOD);
        }
    }
    assert!(ring.publish());
}
