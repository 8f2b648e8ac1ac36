//! Bytes in, bytes out: what reads and writes must do.

use lunette_iobuf::DataBuf;

use super::together::{all, begin_and_drop};
use super::{SIZE, created, id, on_each_block_size, open, options, pattern, wait};
use crate::{Backend, Disk, Durability, IoErrorKind, Pool};

const DEPTH: u64 = 32;

fn write<B: Backend>(disk: &Disk<B>, at: u64, bytes: &[u8]) {
    wait(disk, disk.write(at, DataBuf::from_slice(bytes), Durability::Volatile)).unwrap();
}

fn read<B: Backend>(disk: &Disk<B>, at: u64, len: usize) -> Vec<u8> {
    wait(disk, disk.read(at, DataBuf::zeroed(len))).unwrap().to_vec()
}

/// A buffer of what nobody stored, to see that a read filled all of it.
fn dirty(len: usize) -> DataBuf {
    DataBuf::from_slice(&vec![0xee; len])
}

/// Nothing was written yet.
pub fn a_new_volume_reads_as_zeroes<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        assert_eq!(disk.size(), SIZE);
        let all = wait(disk, disk.read(0, dirty(SIZE as usize))).unwrap();
        assert!(all.to_vec().iter().all(|byte| *byte == 0));
    });
}

/// The plainest of all.
pub fn what_was_written_is_read_back<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let block = disk.geometry().block_size as usize;
        for (at, blocks) in [(0, 1), (1, 3), (7, 16), (100, 64)] {
            let bytes = pattern(blocks * block, blocks as u8);
            write(disk, (at * block) as u64, &bytes);
            assert_eq!(read(disk, (at * block) as u64, bytes.len()), bytes);
        }
        let untouched = 40 * block;
        assert_eq!(read(disk, untouched as u64, block), vec![0; block]);
    });
}

/// What ends at once is no other than what is waited for; and what is refused is refused.
pub fn what_is_done_at_once_is_done<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let block = disk.geometry().block_size as usize;
        let (at, bytes) = ((8 * block) as u64, pattern(4 * block, 3));
        if disk.write_at_once(at, &DataBuf::from_slice(&bytes), Durability::Volatile).is_none() {
            write(disk, at, &bytes);
        }
        assert_eq!(read(disk, at, bytes.len()), bytes);
        let mut found = dirty(bytes.len());
        if disk.read_at_once(at, &mut found).is_some() {
            assert_eq!(found.to_vec(), bytes);
        }
        for (at, len) in [(SIZE, block), (u64::MAX - 511, block), (1, block), (0, block - 1)] {
            assert!(disk.read_at_once(at, &mut dirty(len)).is_none(), "reading {len} bytes at {at}");
            let refused = disk.write_at_once(at, &dirty(len), Durability::Volatile);
            assert!(refused.is_none(), "writing {len} bytes at {at}");
        }
    });
}

/// Ranges are checked to the last byte.
pub fn the_last_block_is_within_reach_and_nothing_beyond<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let block = disk.geometry().block_size as usize;
        let last = SIZE - block as u64;
        write(disk, last, &pattern(block, 1));
        assert_eq!(read(disk, last, block), pattern(block, 1));
        for (at, len) in [(SIZE, block), (last, 2 * block), (u64::MAX - 511, block), (1, block), (0, block - 1)] {
            let refused = wait(disk, disk.read(at, DataBuf::zeroed(len))).unwrap_err();
            assert_eq!(refused.kind, IoErrorKind::OutOfRange, "reading {len} bytes at {at}");
            let refused = wait(disk, disk.write(at, DataBuf::zeroed(len), Durability::Durable)).unwrap_err();
            assert_eq!(refused.kind, IoErrorKind::OutOfRange, "writing {len} bytes at {at}");
        }
        assert_eq!(disk.size(), SIZE);
    });
}

/// A command's memory comes in segments of any address and length.
pub fn segments_may_be_cut_anywhere<P: Pool>(pool: &P) {
    let cuts: [&[usize]; 5] = [&[8192], &[1, 8191], &[511, 1, 4097, 3583], &[4096, 4096], &[3, 5, 8000, 7, 177]];
    on_each_block_size(pool, |disk| {
        for (seed, lengths) in (1..).zip(cuts) {
            for gap in [1, 4096] {
                let bytes = pattern(8192, seed);
                let mut out = DataBuf::scattered(lengths, gap);
                out.copy_in(0, &bytes);
                let back = wait(disk, disk.write(12288, out, Durability::Volatile)).unwrap();
                assert_eq!(back.to_vec(), bytes, "a write leaves its buffer as it was");
                let filled = wait(disk, disk.read(12288, DataBuf::scattered(lengths, gap))).unwrap();
                assert_eq!(filled.to_vec(), bytes, "segments {lengths:?} with gaps of {gap}");
                assert_eq!(read(disk, 12288, 8192), bytes);
            }
        }
    });
}

/// Longer than one system call, object or stripe takes, in thousands of segments.
pub fn large_transfers_are_whole<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let bytes = pattern(SIZE as usize, 3);
        let mut out = DataBuf::scattered(&vec![512; SIZE as usize / 512], 8);
        out.copy_in(0, &bytes);
        wait(disk, disk.write(0, out, Durability::Volatile)).unwrap();
        assert!(read(disk, 0, bytes.len()) == bytes);
    });
}

/// Reads and writes of different places, all in flight together.
pub fn operations_run_at_depth_32<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let place = |i: u64| i * 32768;
        let (mut seeds, len) = ([0u8; DEPTH as usize], 16384);
        for round in 1..4u8 {
            let writes = (0..DEPTH).map(|i| {
                let buf = DataBuf::from_slice(&pattern(len, round + i as u8));
                let durability = if i % 8 == 0 { Durability::Durable } else { Durability::Volatile };
                disk.write(place(i), buf, durability)
            });
            wait(disk, all(writes)).into_iter().for_each(|written| drop(written.unwrap()));
            (0..DEPTH).for_each(|i| seeds[i as usize] = round + i as u8);
            let reads = (0..DEPTH).map(|i| disk.read(place(i), dirty(len)));
            for (read, seed) in wait(disk, all(reads)).into_iter().zip(seeds) {
                assert!(read.unwrap().to_vec() == pattern(len, seed));
            }
        }
    });
}

/// Each block belongs to one of the writers that were at it, as a whole.
pub fn overlapping_writes_leave_whole_blocks<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let block = disk.geometry().block_size as usize;
        let writes = (1..=DEPTH as u8).map(|writer| {
            let at = u64::from(writer % 4) * block as u64;
            disk.write(at, DataBuf::from_slice(&vec![writer; 8 * block]), Durability::Volatile)
        });
        wait(disk, all(writes)).into_iter().for_each(|written| drop(written.unwrap()));
        for whole in read(disk, 0, 11 * block).chunks(block) {
            assert!((1..=DEPTH as u8).contains(&whole[0]) && whole.iter().all(|byte| *byte == whole[0]));
        }
    });
}

/// An operation whose future is gone still has its buffer, and only its own range is in doubt.
pub fn dropped_futures_harm_nothing<P: Pool>(pool: &P) {
    let id = id("dropped");
    let disk = created(pool, &id, 512);
    let kept = pattern(65536, 9);
    write(&disk, 65536, &kept);
    for round in 0..8u8 {
        begin_and_drop(disk.write(0, DataBuf::from_slice(&vec![round; 65536]), Durability::Durable));
        begin_and_drop(disk.read(0, DataBuf::scattered(&[1024; 64], 3)));
        begin_and_drop(disk.flush());
        begin_and_drop(disk.write_zeroes(131_072, 65536, true, Durability::Durable));
        if round % 2 == 0
            && let Some(driver) = disk.driver()
        {
            driver.submit();
        }
        begin_and_drop(disk.read(0, dirty(65536)));
        assert_eq!(read(&disk, 65536, 65536), kept);
    }
    wait(&disk, disk.flush()).unwrap();
    write(&disk, 0, &kept);
    begin_and_drop(disk.write(131_072, DataBuf::from_slice(&kept), Durability::Durable));
    drop(disk);
    let disk = open(pool, &id, &options(512)).unwrap();
    assert_eq!(read(&disk, 65536, 65536), kept);
}

/// What it means takes a power cut to see; that it is done, and up to which length, does not.
pub fn atomic_writes_are_done_up_to_their_limit<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        let block = disk.geometry().block_size as usize;
        let limit = disk.atomic_limit().min(SIZE / 4) as usize / block * block;
        for (at, len) in [(0, limit), (block, limit), (7 * block, block.min(limit))] {
            let bytes = pattern(len, 5);
            let written = wait(disk, disk.write_atomic(at as u64, DataBuf::from_slice(&bytes))).unwrap();
            assert_eq!(written.len(), len);
            assert_eq!(read(disk, at as u64, len), bytes);
        }
        if disk.atomic_limit() < SIZE {
            let longer = DataBuf::zeroed(disk.atomic_limit() as usize + block);
            let refused = wait(disk, disk.write_atomic(0, longer)).unwrap_err();
            assert_eq!(refused.kind, IoErrorKind::Unsupported);
        }
    });
}

/// SBC lets a transfer length be zero.
pub fn empty_operations_succeed<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        for at in [0, SIZE] {
            assert!(wait(disk, disk.read(at, DataBuf::empty())).unwrap().is_empty());
            assert!(wait(disk, disk.write(at, DataBuf::empty(), Durability::Durable)).unwrap().is_empty());
            wait(disk, disk.write_zeroes(at, 0, false, Durability::Durable)).unwrap();
        }
    });
}

/// What they promise takes a power cut to see; that they work does not.
pub fn durable_writes_and_flushes_succeed<P: Pool>(pool: &P) {
    on_each_block_size(pool, |disk| {
        wait(disk, disk.flush()).unwrap();
        let bytes = pattern(8192, 4);
        wait(disk, disk.write(0, DataBuf::from_slice(&bytes), Durability::Durable)).unwrap();
        write(disk, 8192, &bytes);
        wait(disk, disk.flush()).unwrap();
        assert_eq!(read(disk, 0, 16384), [&bytes[..], &bytes[..]].concat());
    });
}
