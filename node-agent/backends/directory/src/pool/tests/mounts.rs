//! Pools on file systems made for the test: full ones and read-only ones. Each lives in a mount namespace
//! of the test's own thread and vanishes with it. They need root, as the agent does.

use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

use super::*;

/// Runs `check` with a fresh tmpfs of `size`; says so and does nothing without root.
fn on_tmpfs(size: &str, check: impl FnOnce(&Path) + Send + 'static) {
    if !Uid::effective().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let data = format!("size={size}");
    let on_its_own = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        let dir = TempDir::new().unwrap();
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(data.as_str())).unwrap();
        check(dir.path());
        nix::mount::umount2(dir.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    });
    on_its_own.join().expect("the check on the tmpfs holds");
}

fn fill(dir: &Path) {
    let error = fs::write(dir.join("ballast"), vec![1; 2 << 20]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::ENOSPC as i32));
}

#[test]
fn a_full_disk_makes_no_volume_and_leaves_nothing() {
    on_tmpfs("1m", |dir| {
        fill(dir);
        assert_eq!(
            refusal(pool(dir).create(&id(), &spec())),
            (
                PoolErrorKind::NoSpace,
                format!(
                    "making {}/.lunette-new-0c2f failed: No space left on device; \
                     free some space or enlarge the file system",
                    dir.display()
                )
            )
        );
        assert_eq!(names(dir), ["ballast"]);
        assert_eq!(pool(dir).check().unwrap().available, 0);
        fs::remove_file(dir.join("ballast")).unwrap();
        assert_eq!(pool(dir).create(&id(), &spec()).unwrap(), Created::New);
    });
}

#[test]
fn a_volume_out_of_space_refuses_writes_and_recovers() {
    on_tmpfs("1m", |dir| {
        let pool = pool(dir);
        pool.create(&id(), &VolumeSpec { size: 4 * SIZE, ..spec() }).unwrap();
        let disk = Disk::new(pool.open(&id(), &options()).unwrap());
        let write = |at, len| {
            let driver = disk.driver().unwrap();
            lunette_backend::drive(driver, disk.write(at, DataBuf::zeroed(len), Durability::Volatile))
        };
        write(0, 512 << 10).unwrap();
        assert_eq!(write(SIZE, 2 << 20).unwrap_err().kind, IoErrorKind::NoSpace);
        lunette_backend::drive(disk.driver().unwrap(), disk.discard(0, 4 * SIZE)).unwrap();
        write(2 * SIZE, 512 << 10).unwrap();
    });
}

#[test]
fn a_read_only_file_system_is_refused() {
    on_tmpfs("1m", |dir| {
        mount(None::<&str>, dir, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>).unwrap();
        assert_eq!(
            refusal(pool(dir).check()),
            (
                PoolErrorKind::Denied,
                format!(
                    "writing to the pool directory {} failed: Read-only file system; \
                     mount the file system for writing or name another directory",
                    dir.display()
                )
            )
        );
    });
}
