//! The initiator side of a machine: its SCSI disks, found by address and known by identity; and its open-iscsi, the
//! way to LUNs of other machines.
//!
//! Reads sysfs, under a root that a test may choose, and parses nothing made for people. Knows nothing of
//! Kubernetes or of configfs.
//!
//! Invariant: a disk is handed out only after its own identity (VPD page 83h) was compared with the one that is
//! wanted, and its size. A kernel name such as `sdb` is looked up each time and never kept: tomorrow it is
//! another disk's.

#![forbid(unsafe_code)]

mod address;
mod disk;
mod held;
mod iscsi;
mod machine;
mod wwid;

pub use address::{Address, BadAddress};
pub use disk::{Disk, DiskError, Expected};
pub use held::Held;
pub use iscsi::{Answer, Chap as RemoteChap, Commands, Host as OpenIscsiHost, IscsiError, Login, OpenIscsi, Remote};
pub use machine::Machine;
pub use wwid::{BadWwid, Wwid};
