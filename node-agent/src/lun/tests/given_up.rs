//! Commands that initiators give up while storage is still at them.

use std::sync::mpsc::{Receiver, channel, sync_channel};

use super::*;
use ram::Act;

const TASK_ABORTED: u8 = 0x40;
/// Flags of a mailbox without `TCMU_MAILBOX_FLAG_CAP_KEEP_BUF`: Linux 5.10.
const WITHOUT_KEEP_BUF: u16 = 7;

/// A bench, and the ids that its thread gives back to the kernel.
fn bench(flags: u16) -> (Bench, Receiver<u16>) {
    let mut kernel = Kernel::new(Layout { flags, ..Layout::default() });
    let (claim, script) = (kernel.claim(), Script::new());
    let (storage, (free, freed)) = (Arc::clone(&script), channel());
    let lun = LunThread::spawn("bench", tracing::Span::none(), move |inbox, progress| {
        let free = Box::new(move |id| free.send(id).unwrap());
        attend(unit(storage), inbox, progress, || Ok(Taken { free, ..claim.attach()?.into() }))
    });
    (Bench { kernel, script, lun: lun.unwrap() }, freed)
}

impl Bench {
    /// ABORT TASK.
    fn give_up(&mut self, tag: Tag) -> u16 {
        let id = self.kernel.cmd_id(tag).expect("it runs");
        assert!(self.kernel.task_management(1, &[id]));
        id
    }

    fn status(&mut self, tag: Tag) -> u8 {
        self.answer(tag).status
    }
}

#[test]
fn it_is_answered_at_once_and_its_buffers_stay_in_use_until_storage_lets_go() {
    let (mut bench, freed) = bench(0xf);
    let go = bench.script.hold(1);
    let stuck = bench.write(1, 0xaa);
    bench.script.wait_for_operations(1);
    let id = bench.give_up(stuck);
    assert_eq!(bench.status(stuck), TASK_ABORTED);
    assert_eq!((bench.kernel.kept(), bench.kernel.blocks_in_use()), (1, 1));
    go.send(()).unwrap();
    assert_eq!(freed.recv_timeout(PATIENCE), Ok(id));
    assert!(bench.kernel.free_kept_buf(id));
    let next = bench.read(1);
    assert_eq!(bench.answer(next).data, [0xaa; BLOCK], "its write landed, late");
    assert!(!bench.kernel.is_broken());
}

#[test]
fn its_buffers_are_given_back_after_the_kernel_was_told_that_they_are_kept() {
    let mut kernel = Kernel::new(Layout::default());
    let (script, (free, freed)) = (Script::new(), sync_channel(0));
    script.on(1, Act::Yield);
    // Both are in the ring from the start, so that it is given up and ends in one turn.
    let tag = kernel.submit(read(1));
    let id = kernel.cmd_id(tag).expect("it is in the ring");
    assert!(kernel.task_management(1, &[id]));
    let (claim, storage) = (kernel.claim(), Arc::clone(&script));
    let lun = LunThread::spawn("bench", tracing::Span::none(), move |inbox, progress| {
        let free = Box::new(move |id| free.send(id).unwrap());
        attend(unit(storage), inbox, progress, || Ok(Taken { free, ..claim.attach()?.into() }))
    });
    let mut bench = Bench { kernel, script, lun: lun.unwrap() };
    // The thread stands still where it gives them back until somebody takes the id.
    assert_eq!(bench.status(tag), TASK_ABORTED);
    assert_eq!(freed.recv_timeout(PATIENCE), Ok(id));
}

#[test]
fn nothing_newer_is_begun_before_it_has_ended() {
    let (mut bench, _freed) = bench(0xf);
    let go = bench.script.hold(1);
    let stuck = bench.write(1, 0xaa);
    bench.script.wait_for_operations(1);
    bench.give_up(stuck);
    assert_eq!(bench.status(stuck), TASK_ABORTED);
    let (newer, other) = (bench.write(1, 0xbb), bench.write(2, 0xcc));
    // Giving the last of them up shows that both were taken.
    bench.give_up(other);
    assert_eq!(bench.status(other), TASK_ABORTED);
    assert_eq!((bench.script.operations(), bench.kernel.kept()), (1, 1), "neither of them was begun");
    go.send(()).unwrap();
    assert_eq!(bench.status(newer), 0);
    let (first, second) = (bench.read(1), bench.read(2));
    assert_eq!(bench.answer(first).data, [0xbb; BLOCK], "the newer write is the last");
    assert_eq!(bench.answer(second).data, [0; BLOCK], "what was given up before it began is never carried out");
}

#[test]
fn a_unit_that_is_being_sanitized_says_so_though_the_command_was_given_up() {
    let (mut bench, freed) = bench(0xf);
    let go = bench.script.hold(0);
    let list = [1, 0, 0, 1, 0x5a];
    let sanitize = bench.kernel.submit(Request::writing(&[0x48, 1, 0, 0, 0, 0, 0, 0, 5, 0], &list));
    bench.script.wait_for_operations(1);
    let id = bench.give_up(sanitize);
    assert_eq!(bench.status(sanitize), TASK_ABORTED);
    let ready = bench.kernel.submit(Request::reading(&[0; 6], 0));
    let answer = bench.answer(ready);
    assert_eq!((sense(&answer), answer.sense[13]), ((2, 4), 0x1b), "sanitize in progress");
    let inquiry = bench.kernel.submit(Request::reading(&[0x12, 0, 0, 0, 36, 0], 36));
    assert_eq!(bench.status(inquiry), 0);
    go.send(()).unwrap();
    assert_eq!(freed.recv_timeout(PATIENCE), Ok(id));
    let next = bench.read(7);
    assert_eq!(bench.answer(next).data, [0x5a; BLOCK], "it went on to its end");
}

#[test]
fn a_thread_told_to_stop_waits_for_it_and_answers_what_waited_behind_it() {
    let (mut bench, freed) = bench(0xf);
    let go = bench.script.hold(1);
    let stuck = bench.read(1);
    bench.script.wait_for_operations(1);
    let id = bench.give_up(stuck);
    assert_eq!(bench.status(stuck), TASK_ABORTED);
    let (waiting, last) = (bench.read(2), bench.read(3));
    bench.give_up(last);
    assert_eq!(bench.status(last), TASK_ABORTED);
    bench.lun.order(Order::Stop);
    go.send(()).unwrap();
    assert_eq!(bench.status(waiting), 0);
    assert_eq!(bench.ended(), Ended::Stopped);
    assert_eq!(freed.try_recv(), Ok(id));
}

#[test]
fn a_pause_waits_for_it_and_what_waits_behind_it_waits_for_the_pause() {
    let (mut bench, _freed) = bench(0xf);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let go = bench.script.hold(1);
    let stuck = bench.read(1);
    bench.script.wait_for_operations(1);
    bench.give_up(stuck);
    assert_eq!(bench.status(stuck), TASK_ABORTED);
    let (waiting, last) = (bench.read(2), bench.read(3));
    bench.give_up(last);
    assert_eq!(bench.status(last), TASK_ABORTED);
    let pauser = bench.lun.pauser();
    let asked = runtime.spawn(async move { pauser.pause(PATIENCE).await });
    runtime.block_on(tokio::task::yield_now());
    bench.wait_until_asleep();
    assert!(!asked.is_finished(), "a read runs, for nobody");
    go.send(()).unwrap();
    let pause = runtime.block_on(asked).unwrap().expect("it is served");
    assert_eq!((bench.script.operations(), bench.kernel.take(waiting)), (1, None));
    assert!(pause.end());
    assert_eq!(bench.status(waiting), 0);
}

#[test]
fn a_kernel_that_cannot_leave_buffers_waits_for_storage() {
    let (mut bench, freed) = bench(WITHOUT_KEEP_BUF);
    let go = bench.script.hold(1);
    let stuck = bench.read(1);
    bench.script.wait_for_operations(1);
    bench.give_up(stuck);
    let other = bench.read(2);
    assert_eq!(bench.status(other), 0, "others go on");
    assert_eq!(bench.kernel.take(stuck), None);
    go.send(()).unwrap();
    assert_eq!((bench.status(stuck), freed.try_recv().ok()), (0, None));
}

#[test]
fn one_that_has_been_answered_meanwhile_is_no_matter() {
    let (mut bench, _freed) = bench(0xf);
    let tag = bench.read(1);
    let id = bench.kernel.cmd_id(tag).expect("it is in the ring");
    assert_eq!(bench.status(tag), 0);
    assert!(bench.kernel.task_management(1, &[id]));
    let next = bench.read(2);
    assert_eq!((bench.status(next), bench.kernel.kept()), (0, 0));
}
