//! A SCSI disk (SPC-5, SBC-4) over a storage backend: a CDB and its data go in, data, status and sense
//! come out.
//!
//! This room knows neither rings nor fabrics, and storage only as [`lunette_backend::Disk`]. A command
//! is answered in two steps: [`Op::parse`] is pure and driven by the one table of [`opcodes`], which
//! also answers REPORT SUPPORTED OPERATION CODES; then a small async handler, one file per family,
//! acts on it. [`ScsiDisk`] joins the two.
//!
//! Not here, because LIO's core answers them before a command reaches us: REPORT LUNS, PERSISTENT
//! RESERVE IN and OUT, RESERVE, RELEASE, task management, and refusals by reservation or mapped LUN.

#![forbid(unsafe_code)]

mod access;
pub mod asc;
mod attach;
mod cdb;
mod config;
mod copy;
mod data;
mod disk;
mod effect;
mod execute;
pub mod op;
pub mod opcodes;
mod outcome;
mod parameters;
mod range_lock;
mod refusal;
mod rewrite;
mod sense;
mod statistics;
mod support;
mod units;

pub use access::{Access, AccessState, PortGroup, TargetPort};
pub use attach::mode::ModeState;
pub use config::{Config, Identity, KeepMode, Limits};
pub use disk::ScsiDisk;
pub use effect::Effect;
pub use op::Op;
pub use outcome::{Outcome, Status};
pub use sense::{Field, SENSE_LEN, Sense, SenseFormat, SenseKey};
pub use units::{BlockSize, ByteRange, Lba, LbaRange};
