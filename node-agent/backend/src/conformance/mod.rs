//! What every backend must pass, whatever stores its bytes.
//!
//! A backend calls [`conformance_tests!`](crate::conformance_tests) once per way to configure its pool;
//! each check becomes a test of its own over a pool of its own. The pool must give up waiting for a lock
//! quickly. Checks only use the two traits and [`Disk`], so they say nothing of what is
//! special about one backend: that is for its own tests.

#![allow(clippy::unwrap_used, reason = "these are tests: to panic is to fail")]
#![allow(clippy::cast_possible_truncation, reason = "sizes under test are small")]

mod control;
mod copies;
mod data;
mod space;
mod together;

pub use control::*;
pub use copies::*;
pub use data::*;
pub use space::*;

use std::future::Future;

use crate::{Disk, OpenOptions, Pool, PoolError, VolumeId, VolumeSpec, block};

/// Bytes of a volume under test.
const SIZE: u64 = 1 << 20;
const BLOCK_SIZES: [u32; 2] = [512, 4096];

fn id(name: &str) -> VolumeId {
    VolumeId::parse(name).unwrap()
}

fn spec(size: u64, block_size: u32) -> VolumeSpec {
    VolumeSpec { size, block_size, owner: "conformance/volume".to_owned() }
}

fn options(block_size: u32) -> OpenOptions {
    OpenOptions { block_size, read_only: false, write_cache: true }
}

fn open<P: Pool>(pool: &P, id: &VolumeId, options: &OpenOptions) -> Result<Disk<P::Backend>, PoolError> {
    pool.open(id, options).map(Disk::new)
}

fn created<P: Pool>(pool: &P, id: &VolumeId, block_size: u32) -> Disk<P::Backend> {
    pool.create(id, &spec(SIZE, block_size)).unwrap();
    open(pool, id, &options(block_size)).unwrap()
}

fn wait<B: crate::Backend, T>(disk: &Disk<B>, future: impl Future<Output = T>) -> T {
    block::block_on(disk.driver(), future)
}

/// Runs `check` on a new volume of each block size.
fn on_each_block_size<P: Pool>(pool: &P, check: impl Fn(&Disk<P::Backend>)) {
    for block_size in BLOCK_SIZES {
        let id = id(&format!("volume-{block_size}"));
        check(&created(pool, &id, block_size));
        pool.remove(&id).unwrap();
    }
}

/// Bytes that differ from place to place and from seed to seed.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..=250u8).cycle().skip(seed.into()).take(len).enumerate().map(|(i, byte)| byte ^ i.to_le_bytes()[1]).collect()
}

/// Turns each check into a test. `$pool` makes a pool and whatever must outlive it, as a pair.
#[macro_export]
macro_rules! conformance_tests {
    ($pool:expr) => {
        $crate::conformance_tests!(@tests $pool;
            a_new_volume_reads_as_zeroes
            what_was_written_is_read_back
            what_is_done_at_once_is_done
            the_last_block_is_within_reach_and_nothing_beyond
            segments_may_be_cut_anywhere
            large_transfers_are_whole
            operations_run_at_depth_32
            overlapping_writes_leave_whole_blocks
            dropped_futures_harm_nothing
            atomic_writes_are_done_up_to_their_limit
            empty_operations_succeed
            durable_writes_and_flushes_succeed
            a_volume_without_a_write_cache_says_so
            discarded_ranges_read_as_the_geometry_says
            zeroed_ranges_read_as_zeroes
            writing_allocates_and_discarding_frees
            extents_tell_data_from_holes
            data_survive_closing
            creating_again_finds_the_same_volume
            creating_otherwise_is_refused
            impossible_volumes_are_refused
            a_volume_grows_while_it_is_open
            nothing_ever_shrinks
            a_second_writer_is_refused
            a_read_only_volume_takes_no_writes
            another_block_size_is_refused
            a_removed_volume_is_gone
            an_open_volume_is_not_removed
            a_volume_made_anew_shows_nothing_old
            volumes_do_not_touch_each_other
            the_pool_says_its_space
            a_copy_is_of_one_instant_and_stands_alone
            a_copy_that_is_not_kept_leaves_nothing
            a_copy_is_taken_in_pieces_while_its_source_changes
            a_copy_may_be_larger_and_never_smaller
            a_pool_that_cannot_copy_says_so
        );
    };
    (@tests $pool:expr; $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                let (pool, _keep) = $pool;
                $crate::conformance::$check(&pool);
            }
        )*
    };
}
