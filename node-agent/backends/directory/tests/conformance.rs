//! The conformance suite over every way that a directory pool can run: on the disk that the build is on
//! (past the page cache where it allows, and through it) and in memory, with each engine.
//!
//! What an engine does is the same in all; what differs is which operations ever reach it.

use std::path::Path;
use std::time::Duration;

use lunette_directory::{DirectoryConfig, DirectoryPool, Engine, IoMode};
use tempfile::TempDir;

const DISK: &str = env!("CARGO_TARGET_TMPDIR");
const MEMORY: &str = "/dev/shm";

fn pool(place: &str, io: IoMode, engine: Engine) -> (DirectoryPool, TempDir) {
    let directory = TempDir::new_in(Path::new(place)).expect("a temporary directory");
    let config = DirectoryConfig { path: directory.path().to_owned(), io, marker: None };
    let pool = DirectoryPool::new(config).with_engine(engine).with_patience(Duration::from_millis(50));
    (pool, directory)
}

mod disk_direct_by_uring {
    lunette_backend::conformance_tests!(super::pool(super::DISK, super::IoMode::Auto, super::Engine::Uring));
}

mod disk_direct_by_threads {
    lunette_backend::conformance_tests!(super::pool(super::DISK, super::IoMode::Auto, super::Engine::Threads));
}

mod disk_buffered_by_uring {
    lunette_backend::conformance_tests!(super::pool(super::DISK, super::IoMode::Buffered, super::Engine::Uring));
}

mod disk_buffered_by_threads {
    lunette_backend::conformance_tests!(super::pool(super::DISK, super::IoMode::Buffered, super::Engine::Threads));
}

mod memory_by_uring {
    lunette_backend::conformance_tests!(super::pool(super::MEMORY, super::IoMode::Auto, super::Engine::Uring));
}

mod memory_by_threads {
    lunette_backend::conformance_tests!(super::pool(super::MEMORY, super::IoMode::Buffered, super::Engine::Threads));
}
