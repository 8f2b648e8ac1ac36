//! The control side: volumes come, grow, are held and go, and every call may be repeated.

use lunette_iobuf::DataBuf;

use super::{BLOCK_SIZES, SIZE, created, id, open, options, pattern, spec, wait};
use crate::{Backend, Created, Disk, Durability, IoErrorKind, OpenOptions, Pool, PoolErrorKind};

fn write<B: Backend>(disk: &Disk<B>, at: u64, bytes: &[u8]) {
    wait(disk, disk.write(at, DataBuf::from_slice(bytes), Durability::Durable)).unwrap();
}

fn read<B: Backend>(disk: &Disk<B>, at: u64, len: usize) -> Vec<u8> {
    wait(disk, disk.read(at, DataBuf::zeroed(len))).unwrap().to_vec()
}

/// Closing loses nothing.
pub fn data_survive_closing<P: Pool>(pool: &P) {
    for block_size in BLOCK_SIZES {
        let id = id(&format!("closed-{block_size}"));
        write(&created(pool, &id, block_size), 8192, &pattern(8192, 1));
        let disk = open(pool, &id, &options(block_size)).unwrap();
        assert_eq!(read(&disk, 8192, 8192), pattern(8192, 1));
    }
}

/// Creating is idempotent, also for one that is to grow.
pub fn creating_again_finds_the_same_volume<P: Pool>(pool: &P) {
    let id = id("again");
    assert_eq!(pool.create(&id, &spec(SIZE, 512)).unwrap(), Created::New);
    let disk = open(pool, &id, &options(512)).unwrap();
    write(&disk, 0, &pattern(512, 1));
    assert_eq!(pool.create(&id, &spec(SIZE, 512)).unwrap(), Created::Found);
    assert_eq!(pool.create(&id, &spec(2 * SIZE, 512)).unwrap(), Created::Found);
    assert_eq!(read(&disk, 0, 512), pattern(512, 1));
    assert_eq!(pool.usage(&id).unwrap().size, SIZE);
}

/// What is there is never made into something else.
pub fn creating_otherwise_is_refused<P: Pool>(pool: &P) {
    let id = id("otherwise");
    pool.create(&id, &spec(SIZE, 512)).unwrap();
    for other in [spec(SIZE, 4096), spec(SIZE / 2, 512)] {
        assert_eq!(pool.create(&id, &other).unwrap_err().kind, PoolErrorKind::Mismatch);
    }
    assert_eq!(pool.create(&id, &spec(SIZE, 512)).unwrap(), Created::Found);
}

/// Numbers that no volume can have are errors, and leave nothing behind.
pub fn impossible_volumes_are_refused<P: Pool>(pool: &P) {
    let id = id("impossible");
    for (size, block_size) in [(0, 512), (513, 512), (512, 4096), (SIZE, 0), (SIZE, 520)] {
        assert_eq!(pool.create(&id, &spec(size, block_size)).unwrap_err().kind, PoolErrorKind::Invalid);
    }
    let endless = pool.create(&id, &spec(u64::MAX - 4095, 512)).unwrap_err();
    assert!(matches!(endless.kind, PoolErrorKind::TooLarge | PoolErrorKind::NoSpace), "{endless}");
    assert_eq!(pool.usage(&id).unwrap_err().kind, PoolErrorKind::NotFound);
    assert_eq!(pool.create(&id, &spec(SIZE, 512)).unwrap(), Created::New);
}

/// Growing goes on under a running LUN; the new space reads as zeroes.
pub fn a_volume_grows_while_it_is_open<P: Pool>(pool: &P) {
    for block_size in BLOCK_SIZES {
        let id = id(&format!("growing-{block_size}"));
        let disk = created(pool, &id, block_size);
        let last = SIZE - 4096;
        write(&disk, last, &pattern(4096, 1));
        for _ in 0..2 {
            pool.grow(&id, 2 * SIZE).unwrap();
        }
        assert_eq!(disk.size(), SIZE, "an open volume grows when it is told to look");
        assert_eq!(disk.refresh_size().unwrap(), 2 * SIZE);
        assert_eq!(disk.size(), 2 * SIZE);
        assert_eq!(pool.usage(&id).unwrap().size, 2 * SIZE);
        assert_eq!(read(&disk, last, 8192), [pattern(4096, 1), vec![0; 4096]].concat());
        write(&disk, 2 * SIZE - 4096, &pattern(4096, 2));
        assert_eq!(read(&disk, 2 * SIZE - 4096, 4096), pattern(4096, 2));
    }
}

/// Shrinking would cut data off.
pub fn nothing_ever_shrinks<P: Pool>(pool: &P) {
    let id = id("shrinking");
    pool.create(&id, &spec(SIZE, 512)).unwrap();
    assert_eq!(pool.grow(&id, SIZE / 2).unwrap_err().kind, PoolErrorKind::Mismatch);
    assert_eq!(pool.grow(&id, SIZE + 1).unwrap_err().kind, PoolErrorKind::Invalid);
    pool.grow(&id, SIZE).unwrap();
    assert_eq!(pool.usage(&id).unwrap().size, SIZE);
    let nowhere = super::id("nowhere");
    assert_eq!(pool.grow(&nowhere, SIZE).unwrap_err().kind, PoolErrorKind::NotFound);
}

/// Two gateways never write one volume.
pub fn a_second_writer_is_refused<P: Pool>(pool: &P) {
    let id = id("held");
    let first = created(pool, &id, 512);
    assert_eq!(open(pool, &id, &options(512)).err().unwrap().kind, PoolErrorKind::InUse);
    write(&first, 0, &pattern(512, 1));
    drop(first);
    assert_eq!(read(&open(pool, &id, &options(512)).unwrap(), 0, 512), pattern(512, 1));
}

/// Reading is all that works.
pub fn a_read_only_volume_takes_no_writes<P: Pool>(pool: &P) {
    let id = id("read-only");
    write(&created(pool, &id, 512), 0, &pattern(4096, 1));
    let disk = open(pool, &id, &OpenOptions { read_only: true, ..options(512) }).unwrap();
    assert!(disk.geometry().read_only);
    assert_eq!(read(&disk, 0, 4096), pattern(4096, 1));
    let refused = wait(&disk, disk.write(0, DataBuf::zeroed(512), Durability::Volatile)).unwrap_err();
    assert_eq!(refused.kind, IoErrorKind::ReadOnly);
    assert_eq!(wait(&disk, disk.discard(0, 512)).unwrap_err().kind, IoErrorKind::ReadOnly);
    let refused = wait(&disk, disk.write_zeroes(0, 512, true, Durability::Volatile)).unwrap_err();
    assert_eq!(refused.kind, IoErrorKind::ReadOnly);
    wait(&disk, disk.flush()).unwrap();
    assert_eq!(read(&disk, 0, 4096), pattern(4096, 1));
}

/// An initiator that knew other blocks would address other bytes.
pub fn another_block_size_is_refused<P: Pool>(pool: &P) {
    let id = id("blocks");
    pool.create(&id, &spec(SIZE, 512)).unwrap();
    assert_eq!(open(pool, &id, &options(4096)).err().unwrap().kind, PoolErrorKind::Mismatch);
    open(pool, &id, &options(512)).unwrap();
}

/// Removing is idempotent.
pub fn a_removed_volume_is_gone<P: Pool>(pool: &P) {
    let id = id("removed");
    pool.remove(&id).unwrap();
    drop(created(pool, &id, 512));
    for _ in 0..2 {
        pool.remove(&id).unwrap();
        assert_eq!(open(pool, &id, &options(512)).err().unwrap().kind, PoolErrorKind::NotFound);
        assert_eq!(pool.usage(&id).unwrap_err().kind, PoolErrorKind::NotFound);
    }
}

/// Whoever uses it keeps it.
pub fn an_open_volume_is_not_removed<P: Pool>(pool: &P) {
    let id = id("in-use");
    let disk = created(pool, &id, 512);
    write(&disk, 0, &pattern(512, 1));
    assert_eq!(pool.remove(&id).unwrap_err().kind, PoolErrorKind::InUse);
    assert_eq!(read(&disk, 0, 512), pattern(512, 1));
    drop(disk);
    pool.remove(&id).unwrap();
}

/// The same name is another volume.
pub fn a_volume_made_anew_shows_nothing_old<P: Pool>(pool: &P) {
    let id = id("anew");
    write(&created(pool, &id, 512), 0, &pattern(SIZE as usize, 1));
    pool.remove(&id).unwrap();
    let disk = created(pool, &id, 512);
    assert!(read(&disk, 0, SIZE as usize).iter().all(|byte| *byte == 0));
}

/// Each has its own bytes, lock and end.
pub fn volumes_do_not_touch_each_other<P: Pool>(pool: &P) {
    let (left, right) = (created(pool, &id("left"), 512), created(pool, &id("right"), 4096));
    write(&left, 4096, &pattern(4096, 1));
    write(&right, 4096, &pattern(4096, 2));
    assert_eq!(read(&left, 4096, 4096), pattern(4096, 1));
    drop(left);
    pool.remove(&id("left")).unwrap();
    assert_eq!(read(&right, 4096, 4096), pattern(4096, 2));
}

/// Placement reads it.
pub fn the_pool_says_its_space<P: Pool>(pool: &P) {
    let capacity = pool.check().unwrap();
    assert!(capacity.total >= capacity.available);
    assert!(capacity.available > SIZE);
    assert!(capacity.max_volume >= SIZE && capacity.max_volume.is_multiple_of(4096));
}
