//! What the whole room does on real files: both engines, both caching modes, dropped futures, endings.

use std::env;
use std::fs::OpenOptions;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Weak;
use std::sync::atomic::AtomicU8;
use std::task::{Context, Waker};
use std::time::Instant;

use libc::iovec;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;

const SIZE: u64 = 1 << 20;
const ENGINES: [Engine; 2] = [Engine::Uring, Engine::Threads];
const MEMORY: &str = "/dev/shm";
/// Milliseconds that no flush of a test takes.
const OVERSLEPT: u16 = 30_000;

/// Where this test was built: a disk, as a rule.
fn disk() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn options(engine: Engine, io: IoMode) -> FileOptions {
    FileOptions { engine, io, block_size: 4096 }
}

fn on(directory: &Path, engine: Engine, io: IoMode) -> FileIo {
    let file = tempfile::tempfile_in(directory).unwrap();
    file.set_len(SIZE).unwrap();
    FileIo::new(file, options(engine, io)).unwrap()
}

/// Every engine, direct where the disk allows and buffered, on disk and in memory.
fn everywhere(check: impl Fn(&FileIo)) {
    for engine in ENGINES {
        check(&on(&disk(), engine, IoMode::Auto));
        check(&on(&disk(), engine, IoMode::Buffered));
        check(&on(Path::new(MEMORY), engine, IoMode::Auto));
    }
}

fn wait<T>(file: &FileIo, future: impl Future<Output = T>) -> T {
    lunette_backend::drive(file.driver(), future)
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + seed * 7 + i / 256) % 251).unwrap()).collect()
}

fn write(file: &FileIo, at: u64, bytes: &[u8], durability: Durability) {
    wait(file, file.write(at, DataBuf::from_slice(bytes), durability)).unwrap();
}

fn read(file: &FileIo, at: u64, len: usize) -> Vec<u8> {
    wait(file, file.read(at, DataBuf::zeroed(len))).unwrap().to_vec()
}

#[test]
fn memory_is_read_and_written_at_once_and_direct_files_are_not() {
    let memory = on(Path::new(MEMORY), Engine::Auto, IoMode::Auto);
    let bytes = pattern(8192, 1);
    assert!(memory.write_at_once(4096, &DataBuf::from_slice(&bytes), Durability::Durable).is_some());
    let mut found = DataBuf::zeroed(8192);
    assert!(memory.read_at_once(4096, &mut found).is_some());
    assert_eq!(found.to_vec(), bytes);
    assert!(memory.read_at_once(SIZE - 4096, &mut found).is_none(), "the file ends before the buffer does");
    let file = on(&disk(), Engine::Auto, IoMode::Auto);
    if file.is_direct() {
        assert!(file.write_at_once(0, &DataBuf::zeroed(4096), Durability::Volatile).is_none());
        assert!(file.read_at_once(0, &mut DataBuf::zeroed(4096)).is_none());
    }
}

#[test]
fn what_was_written_is_read_back() {
    everywhere(|file| {
        let bytes = pattern(16384, 1);
        write(file, 8192, &bytes, Durability::Volatile);
        assert_eq!(read(file, 8192, 16384), bytes);
        write(file, 8192, &bytes[..4096], Durability::Durable);
        wait(file, file.flush()).unwrap();
        assert_eq!(read(file, 4096, 4096), vec![0; 4096]);
    });
}

#[test]
fn badly_aligned_segments_are_carried_through_direct_io() {
    everywhere(|file| {
        let bytes = pattern(8192, 2);
        let mut buf = DataBuf::scattered(&[1, 511, 3000, 4680], 3);
        buf.copy_in(0, &bytes);
        wait(file, file.write(4096, buf, Durability::Volatile)).unwrap();
        let back = wait(file, file.read(4096, DataBuf::scattered(&[4097, 4095], 5))).unwrap();
        assert_eq!(back.to_vec(), bytes);
    });
}

#[test]
fn more_segments_than_one_call_takes_are_transferred_all() {
    everywhere(|file| {
        let bytes = pattern(3000 * 128, 3);
        let mut buf = DataBuf::scattered(&[128; 3000], 1);
        buf.copy_in(0, &bytes);
        wait(file, file.write(0, buf, Durability::Volatile)).unwrap();
        let back = wait(file, file.read(0, DataBuf::scattered(&[128; 3000], 9))).unwrap();
        assert_eq!(back.to_vec(), bytes);
    });
}

#[test]
fn a_read_over_the_end_of_the_file_fails_and_shows_nothing_old() {
    everywhere(|file| {
        let mut error = wait(file, file.read(SIZE - 4096, DataBuf::zeroed(8192))).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::MediumRead);
        assert_eq!(error.take_buffer().map(|buffer| buffer.len()), Some(8192), "it is handed back");
    });
}

#[test]
fn zeroing_and_punching_read_as_zeroes() {
    everywhere(|file| {
        write(file, 0, &pattern(65536, 4), Durability::Volatile);
        wait(file, file.punch_hole(0, 8192)).unwrap();
        wait(file, file.write_zeroes(8192, 8192, true, Durability::Volatile)).unwrap();
        wait(file, file.write_zeroes(16384, 8192, false, Durability::Durable)).unwrap();
        assert_eq!(read(file, 0, 24576), vec![0; 24576]);
        assert_eq!(read(file, 24576, 4096), pattern(65536, 4)[24576..28672]);
    });
}

#[test]
fn zeroes_are_written_where_the_file_system_has_no_call_for_them() {
    let file = on(&disk(), Engine::Auto, IoMode::Buffered);
    write(&file, 0, &pattern(65536, 5), Durability::Volatile);
    file.can_punch.set(false);
    file.can_zero.set(false);
    wait(&file, file.write_zeroes(4096, 57344, true, Durability::Durable)).unwrap();
    assert_eq!(read(&file, 4096, 57344), vec![0; 57344]);
    assert_eq!(wait(&file, file.punch_hole(0, 4096)).unwrap_err().kind, IoErrorKind::Unsupported);
}

#[test]
fn probing_for_holes_changes_nothing() {
    everywhere(|file| {
        let bytes = pattern(8192, 6);
        write(file, SIZE - 8192, &bytes, Durability::Volatile);
        assert!(file.probe_punch_hole(SIZE));
        assert_eq!(read(file, SIZE - 8192, 8192), bytes);
        assert_eq!(file.file().metadata().unwrap().len(), SIZE);
    });
}

#[test]
fn a_full_device_is_told_from_a_broken_one() {
    for engine in ENGINES {
        let full = OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        let file = FileIo::new(full, options(engine, IoMode::Buffered)).unwrap();
        let error = wait(&file, file.write(0, DataBuf::zeroed(4096), Durability::Volatile)).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::NoSpace);
        // Past what is known to be inline: by the engine.
        let queued = file.queue.run(Request::write(0, DataBuf::zeroed(4096), false));
        assert_eq!(wait(&file, queued).unwrap_err().kind, IoErrorKind::NoSpace);
    }
}

#[test]
fn memory_that_is_not_mapped_is_an_error_and_no_signal() {
    everywhere(|file| {
        let nowhere = iovec { iov_base: std::ptr::without_provenance_mut(4096), iov_len: 4096 };
        // SAFETY: deliberately not mapped: nothing but the kernel touches it, which answers EFAULT.
        let buf = unsafe { DataBuf::from_raw(Arc::new(()), [nowhere]) };
        let error = wait(file, file.read(0, buf)).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::Internal);
    });
}

/// Memory that the kernel may fill while it is shared.
type Memory = Vec<AtomicU8>;

/// A buffer whose memory can be seen to be given up.
fn watched(len: usize) -> (DataBuf, Weak<Memory>) {
    let memory: Arc<Memory> = Arc::new((0..len).map(|_| AtomicU8::new(0xaa)).collect());
    let watch = Arc::downgrade(&memory);
    let segment = iovec { iov_base: memory.as_ptr().cast_mut().cast(), iov_len: len };
    // SAFETY: the bytes are `memory`'s, which the buffer keeps, and atomics may change behind a reference.
    (unsafe { DataBuf::from_raw(memory, [segment]) }, watch)
}

#[test]
fn a_dropped_future_leaves_its_buffer_to_the_operation() {
    for engine in ENGINES {
        let file = on(&disk(), engine, IoMode::Buffered);
        let (buf, watch) = watched(65536);
        {
            let mut write = pin!(file.write(0, buf, Durability::Durable));
            assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            file.driver().submit();
        }
        assert!(watch.upgrade().is_some(), "started and not reaped: the kernel may still use it");
        while file.driver().in_flight() > 0 {
            file.driver().reap();
        }
        assert!(watch.upgrade().is_none(), "its end gives the memory back");
        write(&file, 0, &pattern(4096, 7), Durability::Durable);
        assert_eq!(read(&file, 0, 4096), pattern(4096, 7));
    }
}

#[test]
fn a_future_dropped_before_the_start_never_writes() {
    for engine in ENGINES {
        let file = on(&disk(), engine, IoMode::Buffered);
        let (buf, watch) = watched(4096);
        {
            let mut write = pin!(file.write(0, buf, Durability::Durable));
            assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(watch.upgrade().is_none());
        assert_eq!(file.driver().in_flight(), 0);
    }
}

#[test]
fn dropping_the_file_waits_for_what_runs() {
    for engine in ENGINES {
        let named = tempfile::NamedTempFile::new_in(disk()).unwrap();
        named.as_file().set_len(SIZE).unwrap();
        let file = FileIo::new(named.reopen().unwrap(), options(engine, IoMode::Buffered)).unwrap();
        let watches: Vec<Weak<Memory>> = (0..16)
            .map(|i| {
                let (buf, watch) = watched(4096);
                let mut write = pin!(file.write(i * 4096, buf, Durability::Durable));
                assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                file.driver().submit();
                watch
            })
            .collect();
        drop(file);
        assert!(watches.iter().all(|watch| watch.upgrade().is_none()));
        crate::lock(&named.reopen().unwrap(), crate::LockKind::Writer, std::time::Duration::ZERO).unwrap();
    }
}

#[test]
fn more_operations_than_there_is_room_for_all_end() {
    for engine in ENGINES {
        let file = on(&disk(), engine, IoMode::Auto);
        let mut running: Vec<_> = (0..300u64)
            .map(|i| Box::pin(file.write(i % 256 * 4096, DataBuf::from_slice(&[7; 4096]), Durability::Durable)))
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        while !running.is_empty() {
            running.retain_mut(|write| match write.as_mut().poll(&mut context) {
                std::task::Poll::Ready(result) => result.map(|_| false).unwrap(),
                std::task::Poll::Pending => true,
            });
            file.driver().submit();
            file.driver().reap();
        }
        assert!(read(&file, 0, 256 * 4096).iter().all(|byte| *byte == 7));
    }
}

/// As a LUN's thread waits: asleep on the descriptor alone, with nothing else that would end the sleep.
#[test]
fn a_sleeper_is_woken_by_every_completion() {
    everywhere(|file| {
        for round in 0..8 {
            let mut flush = pin!(file.flush());
            let mut context = Context::from_waker(Waker::noop());
            while flush.as_mut().poll(&mut context).is_pending() {
                file.driver().submit();
                let asleep = Instant::now();
                let mut fds = [PollFd::new(file.driver().event_fd(), PollFlags::POLLIN)];
                assert_eq!(poll(&mut fds, PollTimeout::from(OVERSLEPT)), Ok(1), "asleep in round {round}");
                // When its time is over, poll looks once more, and finds what did not wake it.
                assert!(asleep.elapsed().as_millis() < OVERSLEPT.into(), "not woken in round {round}");
                file.driver().reap();
            }
        }
    });
}

#[test]
fn an_idle_or_cached_file_starts_no_engine() {
    let file = on(Path::new(MEMORY), Engine::Uring, IoMode::Auto);
    write(&file, 0, &pattern(4096, 8), Durability::Durable);
    assert_eq!(read(&file, 0, 4096), pattern(4096, 8));
    wait(&file, file.flush()).unwrap();
    assert!(!file.queue.has_started());
    assert_eq!(file.driver().engine(), None);
}

#[test]
fn cached_pages_of_a_disk_are_read_and_written_without_an_engine() {
    let file = on(&disk(), Engine::Uring, IoMode::Buffered);
    write(&file, 0, &pattern(4096, 9), Durability::Volatile);
    assert_eq!(read(&file, 0, 4096), pattern(4096, 9));
    assert!(!file.queue.has_started());
}

#[test]
fn direct_io_is_used_only_where_the_volumes_blocks_fit() {
    let layout = |direct| Layout { direct, resident: false, unqueued: false, block: 4096 };
    let ask = |direct, io, block_size| {
        direct_alignment(&layout(direct), FileOptions { engine: Engine::Auto, io, block_size })
    };
    assert_eq!(ask(Some(512), IoMode::Auto, 512).unwrap(), Some(512));
    assert_eq!(ask(Some(4096), IoMode::Auto, 512).unwrap(), None);
    assert_eq!(ask(Some(512), IoMode::Buffered, 512).unwrap(), None);
    assert_eq!(ask(None, IoMode::Auto, 4096).unwrap(), None);
    assert_eq!(
        ask(Some(4096), IoMode::Direct, 512).unwrap_err().to_string(),
        "the file system takes O_DIRECT only in multiples of 4096 bytes and the volume's blocks have 512; \
         use buffered I/O, or volumes with blocks of 4096 bytes"
    );
    assert_eq!(
        ask(None, IoMode::Direct, 512).unwrap_err().to_string(),
        "the file system takes no O_DIRECT on it; use buffered I/O"
    );
}

/// Runs `check` on a thread whose io_uring_setup(2) answers EPERM, as container profiles make it.
fn where_io_uring_is_forbidden(check: impl FnOnce() + Send + 'static) {
    let forbidden = std::thread::spawn(move || {
        forbid_io_uring();
        check();
    });
    forbidden.join().expect("the check holds");
}

/// A seccomp filter for the calling thread: load the call's number; io_uring_setup is refused, the rest allowed.
fn forbid_io_uring() {
    let setup = u32::try_from(libc::SYS_io_uring_setup).unwrap();
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(0x20, 0, 0, 0),
        step(0x15, 0, 1, setup),
        step(0x06, 0, 0, refuse),
        step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live through the calls; both change only this thread.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

#[test]
fn threads_take_over_where_io_uring_is_forbidden() {
    where_io_uring_is_forbidden(|| {
        let file = on(&disk(), Engine::Auto, IoMode::Auto);
        write(&file, 0, &pattern(8192, 1), Durability::Durable);
        wait(&file, file.flush()).unwrap();
        assert_eq!(read(&file, 0, 8192), pattern(8192, 1));
        assert!(file.queue.has_started());
        assert_eq!(file.driver().engine(), Some("threads"));
    });
}

#[test]
fn io_uring_that_was_demanded_and_is_forbidden_is_an_error() {
    where_io_uring_is_forbidden(|| {
        let file = on(&disk(), Engine::Uring, IoMode::Auto);
        let error = wait(&file, file.flush()).unwrap_err();
        assert_eq!(error.kind, IoErrorKind::Internal);
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("Operation not permitted"));
    });
}
