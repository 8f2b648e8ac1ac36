//! Against a played open-iscsi and a sysfs of plain files: what it is told, in which order, and what is left behind.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;

const TARGET: &str = "iqn.2026-01.io.lunette:u";
const WWID: &str = "naa.6001405a0102030405060708090a0b0c";

/// A machine and its open-iscsi. The record's file as each login saw it, and every call.
struct Bed {
    root: TempDir,
    calls: Mutex<Vec<String>>,
    records_at_login: Mutex<Vec<String>>,
    refuses: bool,
    absent: bool,
    disk_size: Option<u64>,
}

impl Bed {
    fn new(disk_size: Option<u64>) -> Bed {
        let (calls, records_at_login) = Default::default();
        Bed { root: tempfile::tempdir().unwrap(), calls, records_at_login, refuses: false, absent: false, disk_size }
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn way(&self) -> OpenIscsi<&Bed> {
        OpenIscsi::new(Machine::at(self.root.path()), self, self.path("locks"))
    }

    fn remote(&self, portals: &[&str]) -> Remote {
        let portals = portals.iter().map(|portal| portal.parse().unwrap()).collect();
        let disk = Expected { wwid: WWID.parse().unwrap(), size: 1 << 20, writable: true };
        Remote { target: TARGET.to_owned(), portals, lun: 0, disk }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// A session as the kernel shows one, and its LUN as after the scan.
    fn session(&self, target: &str) {
        fs::create_dir_all(self.path("sys/devices/platform/host3/session1")).unwrap();
        self.put("sys/class/iscsi_session/session1/targetname", format!("{target}\n"));
        self.put("sys/class/iscsi_session/session1/target_id", "0\n");
        let link = self.path("sys/class/iscsi_session/session1/device");
        let _ = std::os::unix::fs::symlink("../../../devices/platform/host3/session1", link);
        self.put("sys/class/scsi_host/host3/scan", "");
        if let Some(size) = self.disk_size {
            self.disk("3:0:0:0", "sdc", WWID, size);
        }
    }

    fn disk(&self, at: &str, name: &str, wwid: &str, size: u64) {
        let device = format!("sys/class/scsi_device/{at}/device");
        let digits = u128::from_str_radix(wwid.strip_prefix("naa.").unwrap(), 16).unwrap();
        self.put(&format!("{device}/vpd_pg83"), [&[0, 0x83, 0, 20, 1, 3, 0, 16][..], &digits.to_be_bytes()].concat());
        self.put(&format!("{device}/block/{name}/size"), (size / 512).to_string());
        self.put(&format!("{device}/rescan"), "");
        self.put(&format!("{device}/delete"), "");
        self.put(&format!("dev/{name}"), "");
    }

    fn record(&self, portal: &str) -> String {
        let at: SocketAddr = portal.parse().unwrap();
        format!("etc/iscsi/nodes/{TARGET}/{},{},1/default", at.ip(), at.port())
    }
}

impl Commands for &Bed {
    fn iscsiadm(&self, arguments: &[&str]) -> Result<Answer, IscsiError> {
        if self.absent {
            return Err(IscsiError::NotThere(std::io::ErrorKind::NotFound.into()));
        }
        self.calls.lock().unwrap().push(arguments.join(" "));
        let status = match arguments {
            [.., "-p", portal, "-o", "new"] => {
                self.put(&self.record(portal), "# BEGIN RECORD\nnode.session.scan = auto\n# END RECORD\n");
                0
            }
            [.., "-p", portal, "--login"] => {
                let record = fs::read_to_string(self.path(&self.record(portal))).unwrap();
                self.records_at_login.lock().unwrap().push(record);
                if self.refuses {
                    24
                } else {
                    self.session(TARGET);
                    0
                }
            }
            [.., "-o", "delete"] if !self.path(&format!("etc/iscsi/nodes/{TARGET}")).exists() => 21,
            [.., "-o", "delete"] => {
                fs::remove_dir_all(self.path(&format!("etc/iscsi/nodes/{TARGET}"))).map_or(1, |()| 0)
            }
            ["-m", "session", "-r", "1", "-u"] => {
                fs::remove_dir_all(self.path("sys/class/iscsi_session")).map_or(21, |()| 0)
            }
            other => panic!("iscsiadm {other:?}"),
        };
        Ok(Answer { status, said: String::new() })
    }

    fn root(&self) -> PathBuf {
        self.root.path().to_owned()
    }
}

fn chap() -> Chap {
    let login = |user: &str, password: &str| Login { user: user.to_owned(), password: password.to_owned() };
    Chap { initiator: login("node", "hunter2-hunter2-h"), target: Some(login("target", "other-other-other")) }
}

fn exists(path: &Path) -> bool {
    path.exists()
}

#[test]
fn a_login_scans_nothing_by_itself_and_leaves_no_secret_behind() {
    let bed = Bed::new(Some(1 << 20));
    let disk = bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), Some(&chap())).unwrap();
    assert_eq!((disk.path, disk.at.to_string()), (bed.path("dev/sdc"), "3:0:0:0".to_owned()));
    let seen = bed.records_at_login.lock().unwrap().join("");
    for line in [
        "node.session.scan = manual",
        "node.startup = manual",
        "node.session.auth.authmethod = CHAP",
        "node.session.auth.password = hunter2-hunter2-h",
        "node.session.auth.password_in = other-other-other",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line}: {seen}");
    }
    assert!(!seen.contains("scan = auto"), "{seen}");
    let left = fs::read_to_string(bed.path(&bed.record("10.0.0.1:3260"))).unwrap();
    assert!(!left.contains("hunter2") && !left.contains("other-other"), "{left}");
    assert!(!bed.calls().iter().any(|call| call.contains("hunter2")), "everybody can read arguments");
    assert!(!format!("{:?}", chap()).contains("hunter2"));
}

#[test]
fn a_second_attach_finds_the_session_and_calls_nobody() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    bed.calls();
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    assert_eq!(bed.calls(), [""; 0]);
}

#[test]
fn a_portal_may_be_ipv6_and_the_next_one_is_tried() {
    let bed = Bed { refuses: true, ..Bed::new(None) };
    let error = bed.way().attach(&bed.remote(&["10.0.0.1:3260", "[fd00::1]:3260"]), Some(&chap())).unwrap_err();
    assert!(error.to_string().starts_with("[fd00::1]:3260 refuses this machine's login"), "{error}");
    let logins = bed.records_at_login.lock().unwrap();
    assert!(logins.len() == 2 && logins.iter().all(|record| record.contains("hunter2")), "{logins:?}");
    assert!(!exists(&bed.path("etc/iscsi/nodes").join(TARGET)), "a record that leads nowhere is left");
}

#[test]
fn another_disk_behind_the_login_is_refused_and_the_login_undone() {
    let bed = Bed::new(None);
    bed.disk("3:0:0:0", "sdc", "naa.6001405fffffffffffffffffffffffff", 1 << 20);
    let error = bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap_err();
    assert!(error.to_string().contains("it is left alone"), "{error}");
    assert!(!exists(&bed.path("sys/class/iscsi_session")) && !exists(&bed.path("etc/iscsi/nodes").join(TARGET)));
}

#[test]
fn a_detach_deletes_the_disk_then_logs_out_then_forgets() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    bed.calls();
    let disk = bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap().unwrap();
    assert_eq!(disk.path, bed.path("dev/sdc"));
    assert_eq!(fs::read_to_string(bed.path("sys/class/scsi_device/3:0:0:0/device/delete")).unwrap(), "1");
    assert_eq!(bed.calls(), ["-m session -r 1 -u".to_owned(), format!("-m node -T {TARGET} -o delete")]);
    assert_eq!(bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap(), None, "it is gone already");
}

/// A socket's file cannot be opened, with the same answer as a disk that the kernel has given up.
fn closed(bed: &Bed, state: &str) {
    let path = bed.path("dev/sdc");
    fs::remove_file(&path).unwrap();
    std::os::unix::net::UnixListener::bind(path).unwrap();
    bed.put("sys/class/scsi_device/3:0:0:0/device/state", format!("{state}\n"));
}

#[test]
fn a_disk_that_the_kernel_has_given_up_is_detached_all_the_same() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    closed(&bed, "transport-offline");
    bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap().unwrap();
    assert_eq!(fs::read_to_string(bed.path("sys/class/scsi_device/3:0:0:0/device/delete")).unwrap(), "1");
    assert!(!exists(&bed.path("sys/class/iscsi_session")));
}

#[test]
fn a_disk_that_cannot_be_opened_for_another_reason_stays() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    closed(&bed, "running");
    let error = bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
    assert_eq!(fs::read_to_string(bed.path("sys/class/scsi_device/3:0:0:0/device/delete")).unwrap(), "");
}

#[test]
fn a_session_with_another_disk_behind_it_is_not_logged_out() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    bed.disk("3:0:0:1", "sdd", "naa.6001405fffffffffffffffffffffffff", 1 << 20);
    bed.calls();
    bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap();
    assert_eq!(bed.calls(), [""; 0]);
    assert_eq!(fs::read_to_string(bed.path("sys/class/scsi_device/3:0:0:1/device/delete")).unwrap(), "", "not ours");
}

#[test]
fn a_session_whose_disk_is_gone_is_logged_out_all_the_same() {
    let bed = Bed::new(None);
    bed.session(TARGET);
    assert_eq!(bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap(), None);
    assert!(!exists(&bed.path("sys/class/iscsi_session")));
}

#[test]
fn a_machine_without_open_iscsi_has_nothing_to_detach() {
    let bed = Bed { absent: true, ..Bed::new(None) };
    assert_eq!(bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap(), None);
}

#[test]
fn sessions_of_others_are_not_ours() {
    let bed = Bed::new(Some(1 << 20));
    bed.session("iqn.2026-01.com.example:other");
    assert_eq!(bed.way().detach(TARGET, &WWID.parse().unwrap()).unwrap(), None);
    assert!(exists(&bed.path("sys/class/iscsi_session/session1")));
}

#[test]
fn a_target_is_no_option_and_no_path() {
    let bed = Bed::new(None);
    for bad in ["", "-x", "../x", "iqn.2026-01.a:b/c", "iqn.2026-01.a:b c", "iqn.2026-01.a:B"] {
        let error = bed.way().detach(bad, &WWID.parse().unwrap()).unwrap_err();
        assert!(matches!(error, IscsiError::BadTarget { .. }), "{error}");
    }
}

fn lost(bed: &Bed) -> &Bed {
    bed.put("sys/class/iscsi_session/session1/state", "FAILED\n");
    bed
}

fn is_deleted(bed: &Bed, at: &str) -> bool {
    fs::read_to_string(bed.path(&format!("sys/class/scsi_device/{at}/device/delete"))).unwrap() == "1"
}

#[test]
fn a_lost_session_is_abandoned_with_its_disk() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    bed.calls();
    assert_eq!(lost(&bed).way().lost().unwrap(), [TARGET]);
    assert!(bed.way().abandon(TARGET, &WWID.parse().unwrap()).unwrap());
    assert!(is_deleted(&bed, "3:0:0:0"));
    assert_eq!(bed.calls(), ["-m session -r 1 -u".to_owned(), format!("-m node -T {TARGET} -o delete")]);
    assert_eq!(bed.way().lost().unwrap(), [""; 0]);
    assert!(!bed.way().abandon(TARGET, &WWID.parse().unwrap()).unwrap(), "it is gone already");
}

#[test]
fn a_session_that_is_logged_in_is_not_abandoned() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    bed.put("sys/class/iscsi_session/session1/state", "LOGGED_IN\n");
    assert_eq!(bed.way().lost().unwrap(), [""; 0]);
    assert!(!bed.way().abandon(TARGET, &WWID.parse().unwrap()).unwrap());
    assert!(!is_deleted(&bed, "3:0:0:0") && exists(&bed.path("sys/class/iscsi_session")));
}

#[test]
fn another_disk_behind_a_lost_session_keeps_it() {
    let bed = Bed::new(None);
    bed.session(TARGET);
    bed.disk("3:0:0:0", "sdc", "naa.6001405fffffffffffffffffffffffff", 1 << 20);
    assert!(!lost(&bed).way().abandon(TARGET, &WWID.parse().unwrap()).unwrap());
    assert!(!is_deleted(&bed, "3:0:0:0") && exists(&bed.path("sys/class/iscsi_session")));
}

#[test]
fn the_disk_of_a_lost_session_is_not_handed_out() {
    let bed = Bed::new(Some(1 << 20));
    bed.way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap();
    bed.calls();
    let error = lost(&bed).way().attach(&bed.remote(&["10.0.0.1:3260"]), None).unwrap_err();
    assert!(matches!(error, IscsiError::Lost { .. }), "{error}");
    assert_eq!(bed.calls(), [""; 0]);
}

#[test]
fn a_session_keeps_the_password_that_it_began_with() {
    let bed = Bed::new(Some(1 << 20));
    let proves_otherwise = |chap| bed.way().proves_otherwise(TARGET, &chap).unwrap();
    assert!(!proves_otherwise(chap()), "there is no session");
    bed.session(TARGET);
    for (kernel, otherwise) in [("(null)\n", false), ("hunter2-hunter2-h\n", false), ("hunter1-hunter1-h\n", true)] {
        bed.put("sys/class/iscsi_session/session1/password", kernel);
        assert_eq!(proves_otherwise(chap()), otherwise, "{kernel}");
    }
}
