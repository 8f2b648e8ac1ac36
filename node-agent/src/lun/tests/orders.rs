//! Being told to stop, and to look at a new size.

use super::*;

#[test]
fn stop_answers_what_was_taken_and_leaves_the_rest_in_the_ring() {
    let mut bench = Bench::new();
    let go = bench.script.hold(1);
    let taken = bench.read(1);
    bench.script.wait_for_operations(1);
    bench.wait_until_asleep();
    bench.lun.order(Order::Stop);
    let left = bench.read(2);
    go.send(()).unwrap();
    assert_eq!(bench.answer(taken).status, 0);
    assert_eq!(bench.ended(), Ended::Stopped);
    bench.kernel.handle_kick();
    assert_eq!(bench.kernel.take(left), None);
    assert_eq!(bench.kernel.running(), 1, "its initiator waits for the next agent");
}

#[test]
fn stop_waits_for_storage_only_as_long_as_it_is_told() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let Bench { mut kernel, script, lun } = Bench::new();
    let go = script.hold(1);
    let tag = kernel.submit(read(1));
    script.wait_for_operations(1);
    let mut state = lun.watch();
    assert!(!runtime.block_on(lun.stop(Duration::from_millis(20))), "storage does not answer");
    assert_eq!(*state.borrow_and_update(), State::Serving);
    go.send(()).unwrap();
    assert_eq!(kernel.wait(tag, PATIENCE).unwrap().status, 0, "the thread that was left alone still answers");
}

#[test]
fn a_lun_told_to_stop_before_its_volume_opened_leaves_the_ring_alone() {
    let mut kernel = Kernel::new(Layout::default());
    let claim = kernel.claim();
    let waiting = kernel.submit(read(1));
    let (open, opened) = std::sync::mpsc::channel::<()>();
    let lun = LunThread::spawn("bench", tracing::Span::none(), move |inbox, progress| {
        opened.recv().unwrap();
        attend(unit(Script::new()), inbox, progress, || Ok(claim.attach()?.into()))
    });
    let lun = lun.unwrap();
    lun.order(Order::Stop);
    open.send(()).unwrap();
    let mut bench = Bench { kernel, script: Script::new(), lun };
    assert_eq!(bench.ended(), Ended::Stopped);
    assert_eq!((bench.kernel.handle_kick(), bench.kernel.take(waiting)), (false, None));
}

#[test]
fn a_larger_volume_is_shown_after_the_order_and_initiators_are_told_once() {
    let mut bench = Bench::new();
    let last_block = |bench: &mut Bench| {
        let tag = bench.kernel.submit(Request::reading(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8));
        let answer = bench.answer(tag);
        (answer.status, answer.data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)))
    };
    assert_eq!(last_block(&mut bench), (0, Some(63)));
    bench.script.resize(128);
    assert_eq!(last_block(&mut bench), (0, Some(63)), "nobody has said so yet");
    bench.lun.order(Order::Resized);
    let told = bench.read(100);
    let told = bench.answer(told);
    assert_eq!((told.status, sense(&told)), (2, (6, 0x2a)), "UNIT ATTENTION, CAPACITY DATA HAS CHANGED");
    assert_eq!(last_block(&mut bench), (0, Some(127)));
    let beyond_the_old_end = bench.read(100);
    assert_eq!(bench.answer(beyond_the_old_end).status, 0);
}
