//! Opening, against a directory that looks like sysfs; events, against the mock's socket.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::mock::{Config, Kernel, Request};

/// A sysfs and a device file of `len` bytes.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new(name: &str, size: &str, len: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let about = dir.path().join("class/uio/uio7");
        fs::create_dir_all(about.join("maps/map0")).unwrap();
        fs::write(about.join("name"), name).unwrap();
        fs::write(about.join("maps/map0/size"), size).unwrap();
        File::create(dir.path().join("uio7")).unwrap().set_len(len).unwrap();
        Self { dir }
    }

    fn device(&self) -> PathBuf {
        self.dir.path().join("uio7")
    }

    fn open(&self) -> Result<Claim, DeviceError> {
        Device::open(&self.device(), self.dir.path())
    }
}

#[test]
fn a_device_is_mapped_as_large_as_sysfs_says_and_named() {
    let host = Host::new("tcm-user/3/db/lunette/db\n", "0x0000000000003000\n", 0x3000);
    let claim = host.open().unwrap();
    assert_eq!((claim.name(), claim.memory.len()), ("tcm-user/3/db/lunette/db", 0x3000));
    assert_eq!(claim.attach().err(), Some(AttachError::Version { found: 0 }));
}

#[test]
fn a_device_of_another_driver_is_refused() {
    let error = Host::new("uio_pci_generic\n", "0x1000\n", 4096).open().unwrap_err();
    assert!(matches!(error, DeviceError::Foreign { name, .. } if name == "uio_pci_generic"));
}

#[test]
fn a_size_that_cannot_be_is_an_error() {
    let error = Host::new("tcm-user/0/a/b\n", "banana\n", 4096).open().unwrap_err();
    assert!(matches!(error, DeviceError::Sysfs { .. }), "{error}");
    let error = Host::new("tcm-user/0/a/b\n", "0xffffffffffffffff\n", 4096).open().unwrap_err();
    assert!(matches!(error, DeviceError::Map { .. }), "{error}");
}

#[test]
fn what_is_missing_is_named() {
    let host = Host::new("tcm-user/0/a/b\n", "0x1000\n", 4096);
    let missing = Device::open(&host.dir.path().join("uio8"), host.dir.path()).unwrap_err();
    assert!(matches!(missing, DeviceError::Open { path, .. } if path.ends_with("uio8")));
    fs::remove_file(host.dir.path().join("class/uio/uio7/name")).unwrap();
    assert!(matches!(host.open().unwrap_err(), DeviceError::Sysfs { path, .. } if path.ends_with("uio7/name")));
}

#[test]
fn a_device_held_by_another_is_busy() {
    let error = open_error(Path::new("/dev/uio7"), Errno::EBUSY.into());
    assert!(matches!(error, DeviceError::Busy { .. }));
    assert!(error.to_string().contains("stop the other agent"));
}

#[test]
fn events_coalesce_until_consumed() {
    let mut kernel = Kernel::new(Config::default());
    let (device, _ring) = kernel.device();
    assert!(!device.wait(Some(Duration::ZERO)).unwrap());
    assert_eq!(device.consume().unwrap(), None);
    for _ in 0..3 {
        kernel.submit(Request::bare(&[0; 6]));
    }
    assert!(device.wait(Some(Duration::from_secs(5))).unwrap());
    assert_eq!(device.consume().unwrap(), Some(3));
    assert_eq!(device.consume().unwrap(), None);
    assert!(!device.wait(Some(Duration::ZERO)).unwrap());
}

#[test]
fn a_blocking_device_sleeps_until_there_is_an_event() {
    let mut kernel = Kernel::new(Config::default());
    let (device, mut ring) = kernel.device();
    device.set_blocking(true).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        tell.send(()).unwrap();
        device.consume().unwrap()
    });
    told.recv().unwrap();
    std::thread::sleep(Duration::from_millis(20)); // so that it is asleep by now, most times
    kernel.submit(Request::bare(&[0; 6]));
    assert_eq!(sleeper.join().unwrap(), Some(1));
    assert!(ring.next().unwrap().is_some());
}

/// A thread that waits twice for a device, blocking; before the first wait it waits for `go`.
fn waits_twice(device: Device, go: mpsc::Receiver<()>) -> (mpsc::Receiver<Interrupter>, mpsc::Receiver<Option<u32>>) {
    let (here, interrupter) = mpsc::channel();
    let (found, events) = mpsc::channel();
    thread::spawn(move || {
        here.send(Interrupter::new(&device).unwrap()).unwrap();
        go.recv().unwrap();
        for _ in 0..2 {
            device.set_blocking(true).unwrap();
            found.send(device.consume().unwrap()).unwrap();
        }
    });
    (interrupter, events)
}

#[test]
fn an_interrupt_ends_the_wait_that_goes_on_and_the_next_wait_sleeps_again() {
    let mut kernel = Kernel::new(Config::default());
    let (device, _ring) = kernel.device();
    let (go, gone) = mpsc::channel();
    let (interrupter, events) = waits_twice(device, gone);
    let interrupter = interrupter.recv().unwrap();
    go.send(()).unwrap();
    // Until it is noticed, since an interrupt that comes before the wait is undone by the thread itself.
    while events.recv_timeout(Duration::from_millis(5)) != Ok(None) {
        interrupter.interrupt().unwrap();
    }
    kernel.submit(Request::bare(&[0; 6]));
    let second = events.recv_timeout(Duration::from_secs(60));
    assert!(matches!(second, Ok(Some(1) | None)), "{second:?}");
}

#[test]
fn an_interrupt_before_the_wait_is_not_lost() {
    let mut kernel = Kernel::new(Config::default());
    let (device, _ring) = kernel.device();
    device.set_blocking(true).unwrap();
    Interrupter::new(&device).unwrap().interrupt().unwrap();
    assert_eq!(device.consume().unwrap(), None);
}

#[test]
fn blocking_can_be_switched_off_again() {
    let mut kernel = Kernel::new(Config::default());
    let (device, _ring) = kernel.device();
    device.set_blocking(true).unwrap();
    device.set_blocking(false).unwrap();
    assert_eq!(device.consume().unwrap(), None);
}

#[test]
fn a_removed_device_says_so_to_every_call() {
    let mut kernel = Kernel::new(Config::default());
    let (device, _ring) = kernel.device();
    kernel.remove();
    assert!(device.wait(Some(Duration::from_secs(5))).unwrap(), "a sleeper wakes");
    assert!(matches!(device.consume(), Err(DeviceError::Removed)));
    assert!(matches!(device.kick(), Err(DeviceError::Removed)));
}

#[test]
fn uio_s_own_errors_mean_removed() {
    assert!(matches!(ended(Failed::IO, Failed::IO), DeviceError::Removed));
    assert!(matches!(ended(Failed::INVAL, Failed::INVAL), DeviceError::Removed));
    assert!(matches!(ended(Failed::INVAL, Failed::IO), DeviceError::Io(_)));
}
