//! Space: discarding, zeroing, what is allocated.

use lunette_iobuf::DataBuf;

use super::{SIZE, id, on_each_block_size, open, options, pattern, spec, wait};
use crate::{Backend, Discard, Disk, Durability, IoErrorKind, OpenOptions, Pool};

const QUARTER: u64 = SIZE / 4;

fn filled<B: Backend>(disk: &Disk<B>) -> Vec<u8> {
    let bytes = pattern(SIZE as usize, 5);
    wait(disk, disk.write(0, DataBuf::from_slice(&bytes), Durability::Volatile)).unwrap();
    bytes
}

fn whole<B: Backend>(disk: &Disk<B>) -> Vec<u8> {
    wait(disk, disk.read(0, DataBuf::zeroed(SIZE as usize))).unwrap().to_vec()
}

/// Ranges of one block, of many, and of what no allocation unit begins or ends with.
fn ranges(block: u64) -> [(u64, u64); 4] {
    [(0, block), (3 * block, 5 * block), (QUARTER, QUARTER), (2 * QUARTER + block, QUARTER - 2 * block)]
}

/// As promised, and only where it was asked.
pub fn discarded_ranges_read_as_the_geometry_says<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let mut expected = filled(disk);
        for (at, len) in ranges(disk.geometry().block_size.into()) {
            let discarded = wait(disk, disk.discard(at, len));
            if disk.geometry().discard == Discard::Unsupported {
                assert_eq!(discarded.unwrap_err().kind, IoErrorKind::Unsupported);
                continue;
            }
            discarded.unwrap();
            let found = whole(disk);
            let range = at as usize..(at + len) as usize;
            match disk.geometry().discard {
                Discard::Zeroes => expected[range].fill(0),
                _ => expected[range.clone()].copy_from_slice(&found[range]),
            }
            assert!(found == expected, "after discarding {len} bytes at {at}");
        }
    });
}

/// Whichever way it is done.
pub fn zeroed_ranges_read_as_zeroes<P: Pool>(pool: &P) {
    for may_unmap in [false, true] {
        for durability in [Durability::Volatile, Durability::Durable] {
            on_each_block_size(pool, |disk| {
                let mut expected = filled(disk);
                for (at, len) in ranges(disk.geometry().block_size.into()) {
                    wait(disk, disk.write_zeroes(at, len, may_unmap, durability)).unwrap();
                    expected[at as usize..(at + len) as usize].fill(0);
                    assert!(whole(disk) == expected, "after zeroing {len} bytes at {at}");
                }
            });
        }
    }
}

/// A thin volume takes space when it is written and gives it back.
pub fn writing_allocates_and_discarding_frees<P: Pool>(pool: &P) {
    let id = id("thin");
    pool.create(&id, &spec(SIZE, 4096)).unwrap();
    let before = pool.usage(&id).unwrap();
    let disk = open(pool, &id, &options(4096)).unwrap();
    filled(&disk);
    wait(&disk, disk.flush()).unwrap();
    let full = pool.usage(&id).unwrap();
    assert_eq!((before.size, full.size), (SIZE, SIZE));
    assert!(full.allocated >= SIZE);
    if !disk.geometry().thin {
        return;
    }
    assert!(before.allocated < QUARTER);
    if let Some(space) = disk.space() {
        assert!(space.used >= SIZE, "{space:?} while {SIZE} bytes are kept");
    }
    if disk.geometry().discard != Discard::Unsupported {
        wait(&disk, disk.discard(0, SIZE)).unwrap();
        wait(&disk, disk.flush()).unwrap();
        assert!(pool.usage(&id).unwrap().allocated < QUARTER);
        assert!(disk.space().is_none_or(|space| space.used < QUARTER));
    }
}

/// The extents from `at` on, until the end.
fn extents<B: Backend>(disk: &Disk<B>) -> Vec<(u64, u64, bool)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < SIZE {
        let extent = wait(disk, disk.extent(at, SIZE - at)).unwrap();
        assert!(extent.len > 0 && extent.len <= SIZE - at, "{} bytes at {at}", extent.len);
        assert!(extent.len.is_multiple_of(disk.geometry().block_size.into()));
        found.push((at, extent.len, extent.mapped));
        at += extent.len;
    }
    found
}

/// Holes are called so only where zeroes are read; what was given back becomes one where the storage is thin.
pub fn extents_tell_data_from_holes<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let block = u64::from(disk.geometry().block_size);
        let places = [0, QUARTER + block, SIZE - block];
        for at in places {
            let bytes = DataBuf::from_slice(&vec![7; block as usize]);
            wait(disk, disk.write(at, bytes, Durability::Volatile)).unwrap();
        }
        let bytes = whole(disk);
        for (at, len, mapped) in extents(disk) {
            assert!(mapped || bytes[at as usize..(at + len) as usize].iter().all(|byte| *byte == 0));
        }
        if disk.geometry().thin && disk.geometry().discard == Discard::Zeroes {
            wait(disk, disk.discard(0, SIZE)).unwrap();
            assert!(extents(disk).iter().all(|(.., mapped)| !mapped));
        }
        let outside = wait(disk, disk.extent(SIZE - block, 2 * block)).unwrap_err();
        assert_eq!(outside.kind, IoErrorKind::OutOfRange);
    });
}

/// The initiator is told that it need not flush, and everything still works.
pub fn a_volume_without_a_write_cache_says_so<P: Pool>(pool: &P) {
    let id = id("write-through");
    pool.create(&id, &spec(SIZE, 512)).unwrap();
    let through = OpenOptions { write_cache: false, ..options(512) };
    let disk = open(pool, &id, &through).unwrap();
    assert!(!disk.geometry().volatile_cache);
    let bytes = filled(&disk);
    assert!(whole(&disk) == bytes);
    wait(&disk, disk.write_zeroes(0, SIZE, true, Durability::Volatile)).unwrap();
    assert!(whole(&disk).iter().all(|byte| *byte == 0));
    drop(disk);
    assert!(open(pool, &id, &options(512)).unwrap().geometry().volatile_cache);
}
