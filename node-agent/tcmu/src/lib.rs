//! The TCMU command ring of one LUN, seen from userspace.
//!
//! Four parts: [`Device`] is the UIO file descriptor (events in, kicks out), [`Ring`] turns entries
//! into [`Command`]s and [`Reply`]s into responses without any I/O of its own, [`Journal`] keeps what is in flight
//! where the next agent finds it, and `mock` (feature `test-utils`) plays the kernel over a memfd so that both run in a unit test. This room knows CDBs
//! as bytes of a certain length and nothing of what they mean.
//!
//! Facts come from the kernel's `drivers/target/target_core_user.c` (TCU in comments) and
//! `include/uapi/linux/target_core_user.h`. The kernel walks the ring by lengths that it reads back
//! from shared memory, so a careless write hangs the node; the types here make such a write
//! unsayable. Nothing here panics or reads out of bounds whatever the shared memory holds.

mod abi;
mod cursor;
mod device;
mod entry;
#[cfg(test)]
mod fuse;
pub mod journal;
mod map;
#[cfg(any(test, feature = "test-utils"))]
pub mod mock;
mod outstanding;
mod ring;

pub use abi::{MAX_CDB, SENSE_SIZE};
pub use device::{Claim, Device, DeviceError, Interrupter, Refused, Resumed};
pub use entry::{CdbBytes, Command, Entry, Reply, TmrKind};
pub use journal::Journal;
pub use map::{AttachError, Features};
pub use outstanding::Ticket;
pub use ring::{Ring, RingError};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the layout of the TCMU ring is known for 64-bit kernels only");
