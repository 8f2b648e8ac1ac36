//! Snapshots and clones, where the pool has them; where it has not, that it says so.

use std::sync::Arc;

use lunette_iobuf::DataBuf;

use super::{SIZE, created, id, open, options, pattern, wait};
use crate::{Backend, Changes, CopySpec, Disk, Draft, Durability, Pool, PoolError, PoolErrorKind, VolumeId};

fn write<B: Backend>(disk: &Disk<B>, at: u64, bytes: &[u8]) {
    wait(disk, disk.write(at, DataBuf::from_slice(bytes), Durability::Volatile)).unwrap();
}

fn read<B: Backend>(disk: &Disk<B>, at: u64, len: usize) -> Vec<u8> {
    wait(disk, disk.read(at, DataBuf::zeroed(len))).unwrap().to_vec()
}

/// All of it, as it is now.
fn take(draft: &mut dyn Draft) -> Result<(), PoolError> {
    draft.settle()?;
    let all = 0..draft.source_size()?;
    draft.take(&[all])
}

fn of(source: &VolumeId, size: Option<u64>) -> CopySpec {
    CopySpec { source: source.clone(), size, owner: "conformance/copy".to_owned() }
}

/// What was written before is in it, flushed or not, and what is written later is not; each outlives the other.
pub fn a_copy_is_of_one_instant_and_stands_alone<P: Pool>(pool: &P) {
    if !pool.can_copy().unwrap() {
        return;
    }
    let (source, copy, again) = (id("source"), id("copy"), id("again"));
    let disk = created(pool, &source, 512);
    write(&disk, 4096, &pattern(4096, 1));
    let mut draft = pool.draft(&copy, &of(&source, None)).unwrap().expect("there is none yet");
    write(&disk, 8192, &pattern(4096, 2));
    take(&mut *draft).unwrap();
    write(&disk, 4096, &pattern(4096, 3));
    draft.keep().unwrap();
    assert!(pool.draft(&copy, &of(&source, None)).unwrap().is_none(), "it is there");
    let mut clone = pool.draft(&again, &of(&copy, None)).unwrap().expect("there is none yet");
    take(&mut *clone).unwrap();
    clone.keep().unwrap();
    drop(disk);
    pool.remove(&source).unwrap();
    for (volume, seed) in [(&copy, 4), (&again, 5)] {
        let disk = open(pool, volume, &options(512)).unwrap();
        assert_eq!(disk.size(), SIZE);
        assert_eq!(read(&disk, 0, 12288), [vec![0; 4096], pattern(4096, 1), pattern(4096, 2)].concat());
        write(&disk, 0, &pattern(4096, seed));
        drop(disk);
        pool.remove(&copy).unwrap();
    }
}

/// Piece by piece, and again where it was written to since: the copy is as the source was at the last piece.
pub fn a_copy_is_taken_in_pieces_while_its_source_changes<P: Pool>(pool: &P) {
    if !pool.can_copy().unwrap() {
        return;
    }
    let (source, copy) = (id("source"), id("copy"));
    let disk = created(pool, &source, 512);
    let changes = Arc::new(Changes::of(SIZE));
    disk.watch(Arc::downgrade(&changes));
    write(&disk, 0, &pattern(4096, 1));
    let mut draft = pool.draft(&copy, &of(&source, None)).unwrap().expect("there is none yet");
    assert_eq!(draft.source_size().unwrap(), SIZE);
    take(&mut *draft).unwrap();
    write(&disk, 0, &pattern(4096, 2));
    write(&disk, SIZE - 4096, &pattern(4096, 3));
    let zeroes = disk.write_zeroes(4096, 4096, true, Durability::Volatile);
    wait(&disk, zeroes).unwrap();
    draft.settle().unwrap();
    draft.take(&changes.take(SIZE)).unwrap();
    assert!(changes.take(SIZE).is_empty());
    drop(changes);
    write(&disk, 0, &pattern(4096, 4));
    draft.keep().unwrap();
    let copy = open(pool, &copy, &options(512)).unwrap();
    assert_eq!(read(&copy, 0, 8192), [pattern(4096, 2), vec![0; 4096]].concat());
    assert_eq!(read(&copy, SIZE - 4096, 4096), pattern(4096, 3));
    assert_eq!((copy.size(), read(&disk, 0, 4096)), (SIZE, pattern(4096, 4)));
}

/// Given up, or cut off: there is no volume, and the next attempt makes it.
pub fn a_copy_that_is_not_kept_leaves_nothing<P: Pool>(pool: &P) {
    if !pool.can_copy().unwrap() {
        return;
    }
    let (source, copy) = (id("source"), id("copy"));
    let disk = created(pool, &source, 512);
    for taken in [false, true] {
        let mut draft = pool.draft(&copy, &of(&source, None)).unwrap().expect("there is none yet");
        if taken {
            take(&mut *draft).unwrap();
        }
        drop(draft);
        assert_eq!(pool.usage(&copy).unwrap_err().kind, PoolErrorKind::NotFound);
    }
    // As a process does that is killed.
    std::mem::forget(pool.draft(&copy, &of(&source, None)).unwrap());
    let mut draft = pool.draft(&copy, &of(&source, None)).unwrap().expect("there is none yet");
    take(&mut *draft).unwrap();
    draft.keep().unwrap();
    assert_eq!(pool.usage(&copy).unwrap().size, disk.size());
    std::mem::forget(pool.draft(&id("third"), &of(&copy, None)).unwrap());
    pool.remove(&id("third")).unwrap();
}

/// The new space reads as zeroes.
pub fn a_copy_may_be_larger_and_never_smaller<P: Pool>(pool: &P) {
    if !pool.can_copy().unwrap() {
        return;
    }
    let (source, copy) = (id("source"), id("copy"));
    write(&created(pool, &source, 4096), SIZE - 4096, &pattern(4096, 1));
    let mut smaller = pool.draft(&copy, &of(&source, Some(SIZE / 2))).unwrap().expect("there is none yet");
    let refused = take(&mut *smaller).and_then(|()| smaller.keep()).unwrap_err();
    assert_eq!(refused.kind, PoolErrorKind::Mismatch);
    let mut larger = pool.draft(&copy, &of(&source, Some(2 * SIZE))).unwrap().expect("there is none yet");
    take(&mut *larger).unwrap();
    larger.keep().unwrap();
    let disk = open(pool, &copy, &options(4096)).unwrap();
    assert_eq!(disk.size(), 2 * SIZE);
    assert_eq!(read(&disk, SIZE - 4096, 8192), [pattern(4096, 1), vec![0; 4096]].concat());
    let none = pool.draft(&id("orphan"), &of(&id("nowhere"), None)).err().expect("there is no source");
    assert_eq!(none.kind, PoolErrorKind::NotFound);
}

/// And makes none in silence by copying data.
pub fn a_pool_that_cannot_copy_says_so<P: Pool>(pool: &P) {
    if pool.can_copy().unwrap() {
        return;
    }
    let (source, copy) = (id("source"), id("copy"));
    let _disk = created(pool, &source, 512);
    let refused = match pool.draft(&copy, &of(&source, None)) {
        Err(refused) => refused,
        Ok(draft) => take(&mut *draft.expect("there is none yet")).unwrap_err(),
    };
    assert_eq!(refused.kind, PoolErrorKind::Unsupported, "{refused}");
    assert_eq!(pool.usage(&copy).unwrap_err().kind, PoolErrorKind::NotFound);
}
