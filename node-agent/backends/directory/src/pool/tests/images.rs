//! Volumes made from images: what is copied, what is refused, and that the image stays as it is.

use lunette_backend::{Copied, Import, ImportSpec};

use super::*;

fn with_image(content: &[u8]) -> (TempDir, DirectoryPool) {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("import")).unwrap();
    fs::write(dir.path().join("import/disk.raw"), content).unwrap();
    let pool = pool(dir.path());
    (dir, pool)
}

fn import(pool: &DirectoryPool, image: &str) -> Result<Option<Box<dyn Import>>, PoolError> {
    pool.import(&id(), &ImportSpec { image: image.to_owned(), volume: spec() })
}

/// Copies to the end.
fn copied(mut import: Box<dyn Import>) -> Result<(), PoolError> {
    loop {
        let Copied { done, total } = import.copy_more()?;
        if done >= total {
            return import.keep();
        }
    }
}

#[test]
fn a_volume_begins_as_its_image_and_is_zeroes_beyond() {
    let image: Vec<u8> = (0..70_001_u32).map(|n| n.to_le_bytes()[0] | 1).collect();
    let (dir, pool) = with_image(&image);
    assert_eq!(pool.images().unwrap().into_iter().collect::<Vec<_>>(), [("disk.raw".to_owned(), 70_001)]);
    copied(import(&pool, "disk.raw").unwrap().unwrap()).unwrap();
    let data = fs::read(dir.path().join("0c2f/data")).unwrap();
    assert_eq!(data.len() as u64, SIZE);
    assert!(data[..image.len()] == image[..] && data[image.len()..].iter().all(|byte| *byte == 0));
    assert!(import(&pool, "disk.raw").unwrap().is_none(), "it is there");
    assert_eq!(fs::read(dir.path().join("import/disk.raw")).unwrap(), image);
    assert_eq!(names(dir.path()), ["0c2f", "import"]);
}

#[test]
fn what_is_no_image_of_the_pool_is_refused_with_a_reason() {
    let (dir, pool) = with_image(&[1; 512]);
    let folder = dir.path().join("import");
    symlink("/etc/hostname", folder.join("link.raw")).unwrap();
    nix::unistd::mkfifo(&folder.join("pipe.raw"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(folder.join("folder.raw")).unwrap();
    fs::write(folder.join(".hidden"), b"x").unwrap();
    fs::File::create(folder.join("large.raw")).unwrap().set_len(SIZE + 1).unwrap();
    for (name, kind, says) in [
        ("none.raw", PoolErrorKind::NotFound, "there is no image none.raw: an administrator puts it at"),
        ("link.raw", PoolErrorKind::Mismatch, "link.raw is not a regular file"),
        ("pipe.raw", PoolErrorKind::Mismatch, "pipe.raw is not a regular file"),
        ("folder.raw", PoolErrorKind::Mismatch, "folder.raw is not a regular file"),
        (
            "large.raw",
            PoolErrorKind::Mismatch,
            "image large.raw has 1.0 MiB (1048577 bytes) and does not fit into 1 MiB",
        ),
        ("../import/disk.raw", PoolErrorKind::Mismatch, "is no name of an image"),
        (".hidden", PoolErrorKind::Mismatch, "is no name of an image"),
        ("", PoolErrorKind::Mismatch, "is no name of an image"),
    ] {
        let (found, text) = refusal(import(&pool, name));
        assert!(found == kind && text.contains(says), "{name}: {found:?}: {text}");
    }
    assert_eq!(names(dir.path()), ["import"]);
    assert_eq!(pool.images().unwrap().into_keys().collect::<Vec<_>>(), ["disk.raw", "large.raw"]);
    fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
    assert_eq!(refusal(import(&pool, "disk.raw")).0, PoolErrorKind::NotFound);
    assert!(pool.images().unwrap().is_empty());
    symlink("elsewhere", &folder).unwrap();
    assert_eq!(refusal(import(&pool, "disk.raw")).0, PoolErrorKind::Mismatch);
    assert!(pool.images().is_err());
}

#[test]
fn what_is_given_up_or_changed_meanwhile_leaves_nothing_and_can_be_begun_anew() {
    let (dir, pool) = with_image(&[1; 4096]);
    drop(import(&pool, "disk.raw").unwrap().unwrap());
    assert_eq!(names(dir.path()), ["import"]);
    let mut begun = import(&pool, "disk.raw").unwrap().unwrap();
    begun.copy_more().unwrap();
    // As a crash would leave it.
    std::mem::forget(begun);
    let mut begun = import(&pool, "disk.raw").unwrap().unwrap();
    begun.copy_more().unwrap();
    fs::write(dir.path().join("import/disk.raw"), [2; 5000]).unwrap();
    let (kind, text) = refusal(begun.keep());
    assert!(kind == PoolErrorKind::InUse && text.contains("was changed while it was copied"), "{text}");
    assert_eq!(names(dir.path()), ["import"]);
    copied(import(&pool, "disk.raw").unwrap().unwrap()).unwrap();
    assert_eq!(fs::read(dir.path().join("0c2f/data")).unwrap()[..5000], [2; 5000]);
}
