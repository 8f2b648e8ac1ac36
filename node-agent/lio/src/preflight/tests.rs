//! Preflight on made-up machines.

use std::fs;

use tempfile::TempDir;

use super::*;

const RELEASE: &str = "6.1.0-40-amd64";

fn machine(files: &[(&str, &str)]) -> (TempDir, Preflight) {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let preflight = Preflight::at(root.path(), RELEASE);
    (root, preflight)
}

fn mends(preflight: &Preflight) -> Vec<String> {
    preflight.check().into_iter().filter_map(|finding| finding.mend).collect()
}

#[test]
fn a_bare_debian_is_told_which_package_to_install() {
    let (_root, preflight) = machine(&[("etc/os-release", "ID=debian\n")]);
    let findings = preflight.check();
    let module = findings.iter().find(|finding| finding.what.contains("target_core_user")).unwrap();
    assert_eq!((module.state, module.mend.as_deref()), (State::Missing, Some("apt-get install linux-image-amd64")));
}

#[test]
fn installed_modules_are_to_be_loaded_and_configfs_mounted() {
    let dep = "kernel/drivers/target/target_core_mod.ko:\nkernel/drivers/target/target-core-user.ko.xz: kernel/drivers/uio/uio.ko\n\
               kernel/drivers/target/iscsi/iscsi_target_mod.ko.zst:\nkernel/drivers/uio/uio.ko:\nkernel/fs/configfs/configfs.ko:\n";
    let (_root, preflight) = machine(&[("lib/modules/6.1.0-40-amd64/modules.dep", dep)]);
    let expected = [
        "modprobe configfs",
        "modprobe target_core_mod",
        "modprobe target_core_user",
        "modprobe iscsi_target_mod",
        "modprobe uio",
        "mount -t configfs configfs /sys/kernel/config",
        "modprobe target_core_mod",
    ];
    assert_eq!(mends(&preflight), expected);
}

#[test]
fn a_machine_that_has_all_of_it_needs_nothing() {
    let builtin = "kernel/fs/configfs/configfs.ko\nkernel/drivers/uio/uio.ko\n";
    let (_root, preflight) = machine(&[
        ("lib/modules/6.1.0-40-amd64/modules.builtin", builtin),
        ("sys/module/target_core_mod/refcnt", "1"),
        ("sys/module/target_core_user/refcnt", "1"),
        ("sys/module/iscsi_target_mod/refcnt", "1"),
        ("proc/mounts", "configfs /sys/kernel/config configfs rw,relatime 0 0\n"),
        ("sys/kernel/config/target/core/alua/lu_gps/x", ""),
    ]);
    assert_eq!(mends(&preflight), [] as [String; 0]);
    assert!(preflight.check().iter().all(|finding| finding.state == State::Good));
}
