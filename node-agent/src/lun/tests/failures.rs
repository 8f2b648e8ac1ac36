//! What goes wrong: storage, our own code, the ring, the backstore.

use lunette_backend::IoErrorKind;
use ram::Act;

use super::*;

const ABORTED_COMMAND: u8 = 0x0b;
const MEDIUM_ERROR: u8 = 3;

#[test]
fn a_failed_read_is_a_medium_error_and_the_lun_goes_on() {
    let mut bench = Bench::new();
    bench.script.on(7, Act::Fail(IoErrorKind::MediumRead));
    let tag = bench.read(7);
    let failed = bench.answer(tag);
    assert_eq!((failed.status, sense(&failed)), (2, (MEDIUM_ERROR, 0x11)), "UNRECOVERED READ ERROR");
    let again = bench.read(7);
    assert_eq!(bench.answer(again).status, 0);
    assert_eq!(bench.lun.state(), State::Serving);
}

#[test]
fn a_panic_answers_what_ran_with_aborted_command_once_storage_has_drained() {
    let mut bench = Bench::new();
    let _never = bench.script.hold(1);
    let ran = bench.read(1);
    bench.script.wait_for_operations(1);
    bench.script.hold_draining();
    bench.script.on(2, Act::Panic);
    let culprit = bench.read(2);
    bench.script.wait_for_draining();
    assert_eq!(bench.kernel.wait(ran, Duration::from_millis(20)), None, "storage may still write to its memory");
    bench.script.let_drain();
    for tag in [ran, culprit] {
        let answer = bench.answer(tag);
        assert_eq!((answer.status, sense(&answer)), (2, (ABORTED_COMMAND, 0x44)), "initiators repeat it");
    }
    let text = "the thread that serves it panicked (block 2 was scripted to be a bug): this is a bug of Lunette's";
    assert_eq!(bench.ended(), Ended::Failed(text.to_owned()));
    assert!(!bench.kernel.is_broken());
}

#[test]
fn after_a_panic_another_thread_serves_the_same_ring() {
    let mut bench = Bench::new();
    bench.script.on(2, Act::Panic);
    let culprit = bench.read(2);
    assert_eq!(bench.answer(culprit).status, 2);
    assert!(matches!(bench.ended(), Ended::Failed(_)));
    bench.kernel.reset_ring(1);
    let (claim, script) = (bench.kernel.claim(), Script::new());
    let next = LunThread::spawn("bench", tracing::Span::none(), move |inbox, progress| {
        attend(unit(script), inbox, progress, || Ok(claim.attach()?.into()))
    });
    bench.lun = next.unwrap();
    let repeated = bench.read(2);
    assert_eq!(bench.answer(repeated).status, 0);
}

#[test]
fn a_panic_before_the_ring_is_taken_is_a_failure_like_any_other() {
    let lun = LunThread::spawn("bench", tracing::Span::none(), |_, _| panic!("no luck"));
    let mut bench = Bench { kernel: Kernel::new(Layout::default()), script: Script::new(), lun: lun.unwrap() };
    assert!(matches!(bench.ended(), Ended::Failed(why) if why.contains("no luck")));
}

#[test]
fn a_removed_backstore_ends_the_thread() {
    let mut bench = Bench::new();
    let tag = bench.write(1, 1);
    assert_eq!(bench.answer(tag).status, 0);
    bench.wait_until_asleep();
    bench.kernel.remove();
    assert_eq!(bench.ended(), Ended::Removed);
}

#[test]
fn a_backstore_removed_under_running_commands_ends_the_thread() {
    let mut bench = Bench::new();
    let go = bench.script.hold(1);
    let _lost = bench.read(1);
    bench.script.wait_for_operations(1);
    bench.kernel.remove();
    // Whichever the thread notices first.
    let _ = go.send(());
    assert_eq!(bench.ended(), Ended::Removed);
}

#[test]
fn a_ring_that_makes_no_sense_is_a_failure_that_says_so() {
    let mut bench = Bench::with_queued(Layout::default(), |kernel| {
        kernel.submit(read(1));
        let entry = kernel.last_entry().map(|at| kernel.base(at)).unwrap();
        // An entry of no length.
        kernel.poke32(entry, 1);
    });
    let Ended::Failed(why) = bench.ended() else { panic!("it must fail") };
    assert!(why.contains("length"), "{why}");
    assert_eq!(bench.kernel.running(), 1, "the reset of the next start answers it BUSY");
}
