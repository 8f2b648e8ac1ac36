//! Commands that go well: data, order, batches, wakeups.

use std::collections::VecDeque;
use std::sync::mpsc;

use super::*;

#[test]
fn what_is_written_is_read() {
    let mut bench = Bench::new();
    let (one, two) = (bench.write(1, 0xaa), bench.write(2, 0xbb));
    assert_eq!((bench.answer(one).status, bench.answer(two).status), (0, 0));
    for (block, byte) in [(1, 0xaa), (2, 0xbb), (3, 0)] {
        let tag = bench.read(block);
        assert_eq!(bench.answer(tag).data, [byte; BLOCK], "block {block}");
    }
    assert_eq!((bench.kernel.running(), bench.kernel.blocks_in_use()), (0, 0));
}

#[test]
fn a_slow_command_does_not_hold_a_quick_one_up() {
    let mut bench = Bench::new();
    let go = bench.script.hold(1);
    let slow = bench.read(1);
    for _ in 0..100 {
        let quick = bench.read(2);
        assert_eq!(bench.answer(quick).status, 0);
    }
    assert_eq!(bench.kernel.take(slow), None);
    go.send(()).unwrap();
    assert_eq!(bench.answer(slow).status, 0);
}

#[test]
fn a_batch_is_published_with_one_kick() {
    for (commands, kicks) in [(1, 1), (32, 1), (33, 2)] {
        let mut tags = Vec::new();
        let mut bench = Bench::with_queued(Layout::default(), |kernel| {
            tags = (0..commands).map(|_| kernel.submit(read(1))).collect();
        });
        for tag in tags {
            assert_eq!(bench.answer(tag).status, 0);
        }
        bench.lun.order(Order::Stop);
        assert_eq!(bench.ended(), Ended::Stopped);
        bench.kernel.handle_kick();
        assert_eq!(bench.kernel.kicks(), kicks, "{commands} commands");
    }
}

#[test]
fn a_wakeup_from_another_thread_completes_a_command_of_a_sleeping_lun() {
    let mut bench = Bench::new();
    let go = bench.script.hold(5);
    let tag = bench.read(5);
    bench.script.wait_for_operations(1);
    bench.wait_until_asleep();
    thread::spawn(move || go.send(()).unwrap()).join().unwrap();
    assert_eq!(bench.answer(tag).status, 0);
}

/// Storage that answers from four threads, early, late and out of order, under a full queue: a wakeup that
/// was lost would leave a command without its answer.
#[test]
fn no_wakeup_is_lost_under_load() {
    const COMMANDS: u32 = 4000;
    const DEPTH: usize = 48;
    let mut bench = Bench::new();
    let (workers, queues): (Vec<_>, Vec<_>) = (0..4).map(storage_thread).unzip();
    let mut running = VecDeque::new();
    for number in 0..COMMANDS {
        if running.len() == DEPTH {
            let tag = running.pop_front().unwrap();
            assert_eq!(bench.answer(tag).status, 0);
        }
        // A block is used again only after its last command was answered.
        let block = number % 64;
        queues[number as usize % 4].send((bench.script.hold(block), number)).unwrap();
        running.push_back(bench.read(block));
    }
    for tag in running {
        assert_eq!(bench.answer(tag).status, 0);
    }
    drop(queues);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    bench.lun.order(Order::Stop);
    assert_eq!(bench.ended(), Ended::Stopped);
}

type Held = (futures::channel::oneshot::Sender<()>, u32);

/// Lets commands go on, sometimes at once, sometimes when the LUN's thread has long gone to sleep.
fn storage_thread(_: u32) -> (JoinHandle<()>, mpsc::Sender<Held>) {
    let (sender, held) = mpsc::channel::<Held>();
    let body = move || {
        for (go, number) in held {
            match number.wrapping_mul(0x9e37_79b9) >> 29 {
                0 => thread::sleep(Duration::from_micros(u64::from(number % 300))),
                1 | 2 => thread::yield_now(),
                _ => {}
            }
            // The command may not have begun yet: then it does not wait.
            go.send(()).unwrap();
        }
    };
    (thread::spawn(body), sender)
}
