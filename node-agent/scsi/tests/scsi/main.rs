//! The SCSI disk from outside: CDB bytes and data in, data, status and sense out.
//!
//! Expected bytes are written out by hand from SPC-5 and SBC-4. `lun` is the bench that runs commands,
//! `ram` the storage behind it, which can be told to fail and to lose power.

#![allow(clippy::unwrap_used, reason = "the bench of a test, where a wrong number is the test's own fault")]

mod anything;
mod at_once;
mod attach;
mod buffer;
mod compare_and_write;
mod copy;
mod defects;
mod diagnostic;
mod durability;
mod format;
mod forms;
mod lba_status;
mod log;
mod lun;
mod mode;
mod model;
mod opcodes;
mod oracle;
mod orwrite;
mod path_buffer;
mod port_groups;
mod prefetch;
mod ram;
mod residual;
mod rw;
mod sanitize;
mod storage_errors;
mod token;
mod unmap;
mod variable_length;
mod verify;
mod vpd;
mod write_and_verify;
mod write_atomic;
mod write_same;
