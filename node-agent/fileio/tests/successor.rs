//! No write of a killed process lands after its successor has the lock: the invariant of `lock`, on a
//! real disk, with io_uring and with threads.
//!
//! The predecessor is this test program itself, started once more with its task in the environment. It
//! keeps many large direct writes in flight until it is killed; the successor then takes the lock, writes
//! the whole file once and finds nothing but its own bytes, also a while later.

use std::env;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use lunette_backend::{Durability, drive};
use lunette_fileio::{Engine, FileIo, FileOptions, IoMode, LockKind, lock};
use lunette_iobuf::DataBuf;

const SIZE: usize = 8 << 20;
const CHUNK: usize = 256 << 10;
const FILE: &str = "LUNETTE_TEST_PREDECESSOR_FILE";
const ENGINE: &str = "LUNETTE_TEST_PREDECESSOR_ENGINE";
const ROUNDS: u64 = 4;

fn opened(path: &Path, engine: Engine) -> FileIo {
    let file = File::options().read(true).write(true).open(path).expect("the file is there");
    lock(&file, LockKind::Writer, Duration::from_secs(30)).expect("the predecessor's last write ends in time");
    FileIo::new(file, FileOptions { engine, io: IoMode::Auto, block_size: 4096 }).expect("a regular file")
}

fn filled(byte: u8, len: usize) -> DataBuf {
    let mut buf = DataBuf::zeroed(len);
    buf.fill(0, len, byte);
    buf
}

/// Not a test by itself: what the predecessor does, for ever.
#[test]
fn predecessor() {
    let (Ok(path), Ok(engine)) = (env::var(FILE), env::var(ENGINE)) else { return };
    let engine = if engine == "threads" { Engine::Threads } else { Engine::Uring };
    let file = opened(Path::new(&path), engine);
    println!("\nwriting");
    loop {
        for at in (0..SIZE as u64).step_by(CHUNK) {
            let mut write = pin!(file.write(at, filled(b'o', CHUNK), Durability::Durable));
            // Dropped after its start: the operation goes on without us.
            let _ = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            file.driver().submit();
        }
        while file.driver().in_flight() > 16 {
            file.driver().reap();
        }
    }
}

fn killed_while_writing(path: &Path, engine: &str, after: Duration) {
    let mut predecessor = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "predecessor", "--nocapture"])
        .env(FILE, path)
        .env(ENGINE, engine)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let output = BufReader::new(predecessor.stdout.take().expect("it is piped"));
    assert!(output.lines().map_while(Result::ok).any(|line| line == "writing"));
    thread::sleep(after);
    // The lock is what is waited for, not the process: that would hide what it leaves behind.
    predecessor.kill().expect("it runs for ever");
    let file = opened(path, Engine::Uring);
    drive(file.driver(), file.write(0, filled(b'n', SIZE), Durability::Volatile)).expect("the disk works");
    for pause in [0, 200] {
        thread::sleep(Duration::from_millis(pause));
        let found = drive(file.driver(), file.read(0, DataBuf::zeroed(SIZE))).expect("the disk works").to_vec();
        assert!(found.iter().all(|byte| *byte == b'n'), "a write of the dead process landed late");
    }
    predecessor.wait().expect("it was killed");
}

#[test]
fn no_late_write_lands_after_the_successor_has_the_lock() {
    for engine in ["uring", "threads"] {
        for round in 1..=ROUNDS {
            let named = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("room on the disk");
            OpenOptions::new().write(true).open(named.path()).and_then(|f| f.set_len(SIZE as u64)).expect("a size");
            killed_while_writing(named.path(), engine, Duration::from_millis(20 * round));
        }
    }
}
