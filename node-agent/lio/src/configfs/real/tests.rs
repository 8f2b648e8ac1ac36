//! The system calls, on a directory that is not configfs: what can be seen without root.

use tempfile::TempDir;

use super::*;

fn tree() -> (TempDir, Real) {
    let root = TempDir::new().unwrap();
    let target = root.path().join("target");
    fs::create_dir_all(target.join("core/user_1")).unwrap();
    fs::write(target.join("core/user_1/attr"), "old text\n").unwrap();
    let real = Real::new(target, root.path().join("uio"));
    (root, real)
}

fn hba() -> Node {
    Node::core().child("user_1")
}

#[test]
fn a_write_goes_over_what_is_there_and_makes_no_file() {
    let (_root, real) = tree();
    real.write_once(&hba().child("attr"), b"new").unwrap();
    assert_eq!(real.read(&hba().child("attr")).unwrap(), "new text\n", "O_TRUNC is not for configfs");
    assert_eq!(real.write_once(&hba().child("absent"), b"x"), Err(Errno::ENOENT));
}

#[test]
fn a_listing_tells_kinds_apart_and_is_sorted() {
    let (_root, real) = tree();
    real.mkdir(&hba().child("zoo")).unwrap();
    real.symlink(&hba().child("link"), &hba().child("zoo")).unwrap();
    let kinds: Vec<_> = real.list(&hba()).unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    let expected = [("attr", EntryKind::Attribute), ("link", EntryKind::Link), ("zoo", EntryKind::Directory)];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn links_are_read_back_whether_absolute_or_as_configfs_writes_them() {
    let (root, real) = tree();
    real.symlink(&hba().child("absolute"), &hba()).unwrap();
    assert_eq!(real.read_link(&hba().child("absolute")), Ok(hba()));
    // configfs goes up to its own root and down again.
    std::os::unix::fs::symlink("../../../target/core/user_1", root.path().join("target/core/user_1/relative")).unwrap();
    assert_eq!(real.read_link(&hba().child("relative")), Ok(hba()));
    std::os::unix::fs::symlink("/etc", root.path().join("target/core/user_1/outside")).unwrap();
    assert_eq!(real.read_link(&hba().child("outside")), Err(Errno::EXDEV));
}

#[test]
fn errors_are_the_kernels_numbers() {
    let (_root, real) = tree();
    assert_eq!(real.mkdir(&hba()), Err(Errno::EEXIST));
    assert_eq!(real.rmdir(&hba()), Err(Errno::ENOTEMPTY));
    assert_eq!(real.list(&hba().child("absent")), Err(Errno::ENOENT));
    assert_eq!(real.read_link(&hba().child("attr")), Err(Errno::EINVAL));
}

#[test]
fn a_portal_on_an_address_that_is_not_ours_is_refused_where_the_kernel_would_not() {
    let (root, real) = tree();
    fs::create_dir_all(root.path().join("target/iscsi/t/tpgt_1/np")).unwrap();
    let np = Node::iscsi().child("t/tpgt_1/np");
    assert_eq!(real.mkdir(&np.child("192.0.2.1:3260")), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(real.mkdir(&np.child("127.0.0.1:3260")), Ok(()));
}

/// A UIO device appears, as the kernel would show it.
fn appear(root: &TempDir, minor: u32, name: &str) {
    let device = root.path().join(format!("uio/uio{minor}"));
    fs::create_dir_all(&device).unwrap();
    fs::write(device.join("name"), format!("{name}\n")).unwrap();
}

fn vanish(root: &TempDir, minor: u32) {
    fs::remove_dir_all(root.path().join(format!("uio/uio{minor}"))).unwrap();
}

#[test]
fn a_uio_device_is_found_by_its_name() {
    let (root, real) = tree();
    assert_eq!(real.uio_minor("tcm-user/1/disk/lunette/x"), Ok(None), "no UIO driver, no directory");
    appear(&root, 7, "tcm-user/1/disk/lunette/x");
    appear(&root, 8, "tcm-user/2/disk/lunette/y");
    assert_eq!(real.uio_minor("tcm-user/1/disk/lunette/x"), Ok(Some(7)));
    assert_eq!(real.uio_minor("tcm-user/1/disk/lunette/z"), Ok(None));
}

#[test]
fn a_uio_device_that_has_gone_is_not_taken_for_its_successor() {
    let (root, real) = tree();
    appear(&root, 7, "old");
    assert_eq!(real.uio_minor("old"), Ok(Some(7)));
    let before = fs::metadata(root.path().join("uio/uio7")).unwrap();
    // Beside the old one at first, so that it has another inode.
    appear(&root, 70, "new");
    vanish(&root, 7);
    fs::rename(root.path().join("uio/uio70"), root.path().join("uio/uio7")).unwrap();
    let after = fs::metadata(root.path().join("uio/uio7")).unwrap();
    assert_ne!(std::os::unix::fs::MetadataExt::ino(&before), std::os::unix::fs::MetadataExt::ino(&after));
    assert_eq!((real.uio_minor("old"), real.uio_minor("new")), (Ok(None), Ok(Some(7))));
    vanish(&root, 7);
    assert_eq!(real.uio_minor("new"), Ok(None));
}

#[test]
fn a_uio_device_that_moved_is_found_where_it_is() {
    let (root, real) = tree();
    appear(&root, 1, "ours");
    assert_eq!(real.uio_minor("ours"), Ok(Some(1)));
    vanish(&root, 1);
    appear(&root, 2, "ours");
    assert_eq!(real.uio_minor("ours"), Ok(Some(2)));
}
