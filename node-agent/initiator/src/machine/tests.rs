//! Against a sysfs of plain files: what is found, what is refused, and what the kernel is told.

use tempfile::TempDir;

use super::*;

const AT: Address = Address { host: 2, channel: 0, target: 1, lun: 0 };
const OURS: &str = "naa.6001405a0102030405060708090a0b0c";
const SOON: Duration = Duration::from_millis(1);

/// A machine with one SCSI host, which tells what it was told.
struct Bed {
    root: TempDir,
}

impl Bed {
    fn new() -> Bed {
        let bed = Bed { root: tempfile::tempdir().unwrap() };
        bed.put("sys/class/scsi_host/host2/scan", "");
        bed
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A disk at [`AT`] with the identity and as many bytes.
    fn disk(&self, wwid: &str, size: u64) -> &Bed {
        let device = "sys/class/scsi_device/2:0:1:0/device";
        let digits = u128::from_str_radix(wwid.strip_prefix("naa.").unwrap(), 16).unwrap();
        let page = [&[0, 0x83, 0, 20, 1, 3, 0, 16][..], &digits.to_be_bytes()].concat();
        self.put(&format!("{device}/vpd_pg83"), page);
        self.put(&format!("{device}/block/sdb/size"), format!("{}\n", size / 512));
        self.put(&format!("{device}/rescan"), "");
        self.put("dev/sdb", "");
        self
    }

    fn machine(&self) -> Machine {
        Machine::at(self.root.path())
    }

    fn told(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    fn attached(&self, size: u64) -> Result<Disk, DiskError> {
        self.machine().attached(AT, &Expected { wwid: OURS.parse().unwrap(), size, writable: true }, SOON)
    }
}

#[test]
fn a_disk_of_the_right_identity_and_size_is_handed_out_and_the_kernel_is_told_nothing() {
    let bed = Bed::new();
    let disk = bed.disk(OURS, 1 << 20).attached(1 << 20).unwrap();
    assert_eq!(disk.path, bed.root.path().join("dev/sdb"));
    assert_eq!(bed.told("sys/class/scsi_host/host2/scan"), "");
    assert_eq!(bed.told("sys/class/scsi_device/2:0:1:0/device/rescan"), "");
}

#[test]
fn a_disk_that_is_not_shown_is_scanned_for_at_exactly_its_address() {
    let bed = Bed::new();
    let error = bed.attached(1 << 20).unwrap_err();
    assert!(error.to_string().starts_with("the kernel shows no disk at 2:0:1:0"), "{error}");
    assert_eq!(bed.told("sys/class/scsi_host/host2/scan"), "0 1 0");
}

#[test]
fn another_disk_at_the_address_is_refused_for_good() {
    let bed = Bed::new();
    let other = "naa.6001405affffffffffffffffffffffff";
    let error = bed.disk(other, 1 << 20).attached(1 << 20).unwrap_err();
    assert!(error.is_final());
    assert!(error.to_string().contains(&format!("is {other}, not {OURS}: it is left alone")), "{error}");
    assert_eq!(bed.told("sys/class/scsi_device/2:0:1:0/device/rescan"), "1", "the kernel may have been behind");
}

#[test]
fn a_disk_without_an_identity_is_refused() {
    let bed = Bed::new();
    bed.disk(OURS, 1 << 20);
    fs::remove_file(bed.root.path().join("sys/class/scsi_device/2:0:1:0/device/vpd_pg83")).unwrap();
    assert!(bed.attached(1 << 20).unwrap_err().to_string().contains("is a disk without an NAA identity, not naa."));
}

#[test]
fn a_disk_of_another_size_is_looked_at_again_and_then_not_handed_out() {
    let bed = Bed::new();
    let error = bed.disk(OURS, 1 << 20).attached(2 << 20).unwrap_err();
    assert!(error.to_string().contains("has 1048576 bytes where the LUN has 2097152"), "{error}");
    assert!(!error.is_final());
    assert_eq!(bed.told("sys/class/scsi_device/2:0:1:0/device/rescan"), "1");
}

#[test]
fn a_disk_that_is_to_be_written_and_was_not_is_looked_at_again() {
    let bed = Bed::new();
    bed.disk(OURS, 1 << 20).put("sys/class/scsi_device/2:0:1:0/device/block/sdb/ro", "1\n");
    assert!(bed.attached(1 << 20).unwrap().read_only);
    assert_eq!(bed.told("sys/class/scsi_device/2:0:1:0/device/rescan"), "1");
}

#[test]
fn a_disk_that_multipathd_has_taken_is_not_handed_out_and_other_holders_do_not_matter() {
    let bed = Bed::new();
    let holders = "sys/class/scsi_device/2:0:1:0/device/block/sdb/holders";
    bed.disk(OURS, 1 << 20).put(&format!("{holders}/dm-1/dm/uuid"), "LVM-abc\n");
    bed.attached(1 << 20).unwrap();
    bed.put(&format!("{holders}/dm-2/dm/uuid"), "mpath-36001405a\n");
    let error = bed.attached(1 << 20).unwrap_err();
    assert!(error.is_final() && error.to_string().contains("for its map dm-2: have it leave"), "{error}");
}

#[test]
fn a_disk_whose_device_file_is_not_there_yet_is_not_there() {
    let bed = Bed::new();
    bed.disk(OURS, 1 << 20);
    fs::remove_file(bed.root.path().join("dev/sdb")).unwrap();
    assert_eq!(bed.machine().find(AT).unwrap(), None);
}
