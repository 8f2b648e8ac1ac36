//! What is special about a directory: its messages, its layout, and crashes between two of its steps.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lunette_backend::{Backend, Discard, Disk, Durability, IoErrorKind, block_on};
use lunette_iobuf::DataBuf;
use tempfile::TempDir;

use super::*;
use crate::journal;
use crate::root::MARKER;
use lunette_fileio::IoMode;

mod images;
mod mounts;

const SIZE: u64 = 1 << 20;

fn config(path: &Path) -> DirectoryConfig {
    DirectoryConfig { path: path.to_owned(), io: IoMode::Auto, marker: None }
}

fn pool(path: &Path) -> DirectoryPool {
    DirectoryPool::new(config(path)).with_patience(Duration::ZERO)
}

fn id() -> VolumeId {
    VolumeId::parse("0c2f").unwrap()
}

fn spec() -> VolumeSpec {
    VolumeSpec { size: SIZE, block_size: 512, owner: "default/data".into() }
}

fn options() -> OpenOptions {
    OpenOptions { block_size: 512, read_only: false, write_cache: true }
}

/// A pool with one volume in it.
fn with_volume() -> (TempDir, DirectoryPool) {
    let dir = TempDir::new().unwrap();
    let pool = pool(dir.path());
    assert_eq!(pool.create(&id(), &spec()).unwrap(), Created::New);
    (dir, pool)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn refusal<T>(result: Result<T, PoolError>) -> (PoolErrorKind, String) {
    let error = result.err().expect("it is refused");
    (error.kind, error.to_string())
}

/// What a power cut leaves after the journal was durable and before all of the bytes were in their place.
#[test]
fn an_interrupted_atomic_write_is_whole_at_the_next_opening() {
    let (dir, pool) = with_volume();
    let folder = dir.path().join("0c2f");
    fs::write(folder.join("journal"), journal::record(4096, &[7; 8192])).unwrap();
    let volume = pool.open(&id(), &options()).unwrap();
    let found = block_on(&volume, volume.read(4096, DataBuf::zeroed(8192))).unwrap();
    assert_eq!(found.to_vec(), [7; 8192]);
    drop(volume);
    assert_eq!(fs::read(folder.join("journal")).unwrap()[..32], [0; 32], "nothing is left to do");
}

#[test]
fn a_journal_comes_with_the_first_atomic_write_and_goes_with_the_volume() {
    let (dir, pool) = with_volume();
    let volume = pool.open(&id(), &options()).unwrap();
    assert_eq!(names(&dir.path().join("0c2f")), ["data", "volume.json"]);
    block_on(&volume, volume.write_atomic(512, DataBuf::from_slice(&[7; 1024]))).unwrap();
    assert_eq!(names(&dir.path().join("0c2f")), ["data", "journal", "volume.json"]);
    drop(volume);
    assert_eq!(fs::read(dir.path().join("0c2f/data")).unwrap()[512..1536], [7; 1024]);
    pool.remove(&id()).unwrap();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_relative_path_is_refused() {
    assert_eq!(
        refusal(pool(Path::new("volumes")).check()),
        (
            PoolErrorKind::Invalid,
            "the pool's path volumes is relative; write it from the root, beginning with /".into()
        )
    );
}

#[test]
fn a_missing_directory_says_how_to_make_it() {
    assert_eq!(
        refusal(pool(Path::new("/nowhere/volumes")).check()),
        (
            PoolErrorKind::Unavailable,
            "the pool directory /nowhere/volumes does not exist on this node; \
             make it with: mkdir -p /nowhere/volumes"
                .into()
        )
    );
}

#[test]
fn a_file_is_no_pool() {
    for path in ["/dev/null", "/dev/null/volumes"] {
        assert_eq!(
            refusal(pool(Path::new(path)).check()),
            (PoolErrorKind::Invalid, format!("the pool's path {path} is not a directory; name a directory"))
        );
    }
}

#[test]
fn a_directory_that_takes_no_files_is_refused() {
    // Nobody makes files in sysfs, root included.
    let (kind, text) = refusal(pool(Path::new("/sys/kernel")).check());
    assert_eq!(kind, PoolErrorKind::Denied);
    assert_eq!(
        text,
        "writing to the pool directory /sys/kernel failed: Permission denied; \
         let the agent write there (owner, mode, security module) or name another directory"
    );
}

#[test]
fn a_pool_without_its_marker_is_taken_for_unmounted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().display();
    let marked = DirectoryPool::new(DirectoryConfig { marker: Some("bob's disk".into()), ..config(dir.path()) });
    let expected = format!(
        "the pool directory {path} has no marker: its file system may not be mounted; mount it, or, if this is \
         the right directory, mark it with: echo 'bob'\\''s disk' > {path}/.lunette-pool"
    );
    assert_eq!(refusal(marked.check()), (PoolErrorKind::Unavailable, expected.clone()));
    assert_eq!(refusal(marked.create(&id(), &spec())), (PoolErrorKind::Unavailable, expected));
    assert!(names(dir.path()).is_empty());

    fs::write(dir.path().join(MARKER), "another\n").unwrap();
    let expected = format!(
        "the marker {path}/.lunette-pool says \"another\", not \"bob's disk\": another file system may be mounted \
         there; mount the right one, or correct the pool's marker"
    );
    assert_eq!(refusal(marked.check()), (PoolErrorKind::Mismatch, expected));

    fs::write(dir.path().join(MARKER), "bob's disk\n").unwrap();
    marked.check().unwrap();
}

#[test]
fn impossible_sizes_say_what_is_possible() {
    let dir = TempDir::new().unwrap();
    let pool = pool(dir.path());
    let ask = |size, block_size| refusal(pool.create(&id(), &VolumeSpec { size, block_size, ..spec() }));
    assert_eq!(ask(0, 512).1, "a volume cannot have 0 bytes; ask for a multiple of its 512-byte blocks above 0");
    assert_eq!(
        ask(5000, 4096).1,
        "a volume cannot have 5000 bytes; ask for a multiple of its 4096-byte blocks above 0"
    );
    assert_eq!(ask(512, 520).1, "a volume cannot have blocks of 520 bytes; ask for 512 or 4096");
}

#[test]
fn a_volume_larger_than_any_file_is_refused_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let pool = pool(dir.path());
    let limit = pool.check().unwrap().max_volume;
    let size = if limit < 1 << 62 { limit + 4096 } else { 1 << 63 };
    let expected = format!(
        "a volume of {} is larger than the {} that one file in {} can have; ask for less, or use another pool",
        crate::message::Bytes(size),
        crate::message::Bytes(limit),
        dir.path().display()
    );
    assert_eq!(
        refusal(pool.create(&id(), &VolumeSpec { size, ..spec() })),
        (PoolErrorKind::TooLarge, expected.clone())
    );
    assert!(names(dir.path()).is_empty());
    pool.create(&id(), &VolumeSpec { size: limit, ..spec() }).unwrap();
    assert_eq!(refusal(pool.grow(&id(), size)), (PoolErrorKind::TooLarge, expected));
}

#[test]
fn a_volume_of_other_blocks_or_size_says_what_it_has() {
    let (dir, pool) = with_volume();
    let path = dir.path().join("0c2f").display().to_string();
    assert_eq!(
        refusal(pool.create(&id(), &VolumeSpec { block_size: 4096, ..spec() })),
        (
            PoolErrorKind::Mismatch,
            format!(
                "the volume {path} has blocks of 512 bytes, not 4096: a volume keeps its block size; \
                 ask for 512, or make a new volume"
            )
        )
    );
    assert_eq!(
        refusal(pool.grow(&id(), 512 << 10)),
        (
            PoolErrorKind::Mismatch,
            format!(
                "the volume {path} has 1 MiB, more than the 512 KiB asked for: a volume never shrinks; ask for at least 1 MiB"
            )
        )
    );
}

#[test]
fn a_locked_volume_names_its_holder() {
    let (dir, pool) = with_volume();
    let _held = pool.open(&id(), &options()).unwrap();
    let (kind, text) = refusal(pool.open(&id(), &options()));
    assert_eq!(kind, PoolErrorKind::InUse);
    assert_eq!(
        text,
        format!(
            "the volume {} is in use by this agent itself (waited 0 s); \
             stop what uses it, or wait until its last requests end",
            dir.path().join("0c2f").display()
        )
    );
}

#[test]
fn readers_share_a_volume_and_keep_writers_out() {
    let (_dir, pool) = with_volume();
    let reading = OpenOptions { read_only: true, ..options() };
    let _first = pool.open(&id(), &reading).unwrap();
    let second = pool.open(&id(), &reading).unwrap();
    assert_eq!(second.geometry().discard, Discard::Unsupported);
    assert_eq!(refusal(pool.open(&id(), &options())).0, PoolErrorKind::InUse);
}

#[test]
fn damage_is_said_and_nothing_is_touched() {
    type Damage = fn(&Path);
    let cases: [(Damage, &str); 5] = [
        (
            |volume| fs::write(volume.join("volume.json"), "{").unwrap(),
            "its description volume.json is no use: it is not the JSON that Lunette wrote",
        ),
        (|volume| fs::remove_file(volume.join("volume.json")).unwrap(), "its description volume.json is missing"),
        (|volume| fs::remove_file(volume.join("data")).unwrap(), "its data file is missing"),
        (
            |volume| fs::File::options().write(true).open(volume.join("data")).unwrap().set_len(512).unwrap(),
            "its data file has 512 bytes of at least 1 MiB",
        ),
        (
            |volume| {
                fs::remove_file(volume.join("data")).unwrap();
                symlink("/etc/shadow", volume.join("data")).unwrap();
            },
            "its data file is missing",
        ),
    ];
    for (damage, what) in cases {
        let (dir, pool) = with_volume();
        let volume = dir.path().join("0c2f");
        damage(&volume);
        let before = names(&volume);
        let path = volume.display();
        let text =
            format!("the volume {path} is damaged: {what}; restore it from a backup, or remove {path} to start anew");
        for said in [
            refusal(pool.create(&id(), &spec())),
            refusal(pool.open(&id(), &options())),
            refusal(pool.grow(&id(), 2 * SIZE)),
            refusal(pool.usage(&id())),
        ] {
            assert_eq!(said, (PoolErrorKind::Mismatch, text.clone()));
        }
        assert_eq!(names(&volume), before);
    }
}

#[test]
fn a_damaged_volume_can_be_removed() {
    let (dir, pool) = with_volume();
    fs::write(dir.path().join("0c2f/volume.json"), "{").unwrap();
    pool.remove(&id()).unwrap();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_link_in_a_volumes_place_is_not_followed() {
    let (dir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    symlink(elsewhere.path(), dir.path().join("0c2f")).unwrap();
    let pool = pool(dir.path());
    let text = format!("{} is not a volume's directory; move it away", dir.path().join("0c2f").display());
    assert_eq!(refusal(pool.create(&id(), &spec())), (PoolErrorKind::Mismatch, text.clone()));
    assert_eq!(refusal(pool.remove(&id())), (PoolErrorKind::Mismatch, text));
    assert!(names(elsewhere.path()).is_empty());
}

/// What a creation that crashed after each of its steps leaves.
fn interrupted_creation(dir: &Path, steps: usize) {
    let new = dir.join(".lunette-new-0c2f");
    let all: [&dyn Fn(); 4] = [
        &|| fs::create_dir(&new).unwrap(),
        &|| fs::write(new.join("data"), "what was there before").unwrap(),
        &|| fs::write(new.join("volume.json.new"), "{").unwrap(),
        &|| fs::write(new.join("volume.json"), "{").unwrap(),
    ];
    all.iter().take(steps).for_each(|step| step());
}

#[test]
fn a_creation_that_crashed_anywhere_is_begun_anew() {
    for steps in 1..=4 {
        let dir = TempDir::new().unwrap();
        interrupted_creation(dir.path(), steps);
        let pool = pool(dir.path());
        assert_eq!(refusal(pool.usage(&id())).0, PoolErrorKind::NotFound);
        assert_eq!(pool.create(&id(), &spec()).unwrap(), Created::New);
        assert_eq!(names(dir.path()), ["0c2f"]);
        let volume = pool.open(&id(), &options()).unwrap();
        let bytes = block_on(&volume, volume.read(0, DataBuf::zeroed(4096))).unwrap().to_vec();
        assert_eq!(bytes, vec![0; 4096]);
    }
}

#[test]
fn a_creation_that_crashed_anywhere_is_cleared_by_removing() {
    for steps in 1..=4 {
        let dir = TempDir::new().unwrap();
        interrupted_creation(dir.path(), steps);
        pool(dir.path()).remove(&id()).unwrap();
        assert!(names(dir.path()).is_empty());
    }
}

#[test]
fn a_removal_that_crashed_anywhere_is_a_removal() {
    for kept in [&["data", "volume.json"][..], &["volume.json"], &[]] {
        let (dir, pool) = with_volume();
        let gone = dir.path().join(".lunette-gone-0c2f");
        fs::rename(dir.path().join("0c2f"), &gone).unwrap();
        for name in ["data", "volume.json"].iter().filter(|name| !kept.contains(name)) {
            fs::remove_file(gone.join(name)).unwrap();
        }
        assert_eq!(refusal(pool.open(&id(), &options())).0, PoolErrorKind::NotFound);
        pool.remove(&id()).unwrap();
        assert!(names(dir.path()).is_empty());
        assert_eq!(pool.create(&id(), &spec()).unwrap(), Created::New);
    }
}

#[test]
fn a_growth_that_crashed_half_way_is_finished_by_the_next() {
    let (dir, pool) = with_volume();
    let data = fs::File::options().write(true).open(dir.path().join("0c2f/data")).unwrap();
    data.set_len(2 * SIZE).unwrap();
    assert_eq!(pool.usage(&id()).unwrap().size, 2 * SIZE);
    pool.grow(&id(), 2 * SIZE).unwrap();
    data.set_len(SIZE).unwrap();
    let (kind, text) = refusal(pool.usage(&id()));
    assert_eq!(kind, PoolErrorKind::Mismatch);
    assert!(text.contains("its data file has 1 MiB of at least 2 MiB"), "{text}");
}

#[test]
fn strange_files_in_a_leftover_are_not_deleted() {
    let dir = TempDir::new().unwrap();
    interrupted_creation(dir.path(), 2);
    let leftover = dir.path().join(".lunette-new-0c2f");
    fs::write(leftover.join("thesis.txt"), "years of work").unwrap();
    assert_eq!(
        refusal(pool(dir.path()).create(&id(), &spec())),
        (
            PoolErrorKind::Mismatch,
            format!("{} holds files that Lunette did not put there; move them away", leftover.display())
        )
    );
    assert_eq!(names(&leftover), ["thesis.txt"]);
}

#[test]
fn a_pool_holds_one_directory_per_volume_and_nothing_when_all_are_gone() {
    let (dir, pool) = with_volume();
    pool.check().unwrap();
    pool.grow(&id(), 2 * SIZE).unwrap();
    assert_eq!(names(dir.path()), ["0c2f"]);
    assert_eq!(names(&dir.path().join("0c2f")), ["data", "volume.json"]);
    pool.remove(&id()).unwrap();
    assert!(names(dir.path()).is_empty());
}

#[test]
fn the_geometry_is_the_file_systems() {
    let (_dir, pool) = with_volume();
    let volume = pool.open(&id(), &options()).unwrap();
    let geometry = volume.geometry();
    assert_eq!((geometry.block_size, geometry.physical_block_size), (512, 4096));
    assert!(geometry.discard_granularity >= 4096 && geometry.discard_granularity.is_power_of_two());
    assert!(geometry.thin && geometry.volatile_cache && !geometry.read_only);
    assert_eq!(geometry.discard, Discard::Zeroes);
}
