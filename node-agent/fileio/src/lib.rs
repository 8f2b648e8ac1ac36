//! The I/O engine of one open file or block device, for every backend that has a file descriptor.
//!
//! It chooses per file and per moment. What completes inline is done inline by a plain system call (the
//! page cache: cheaper than any queue); what would block goes to an io_uring on the LUN's own thread, or
//! to a few threads where io_uring is forbidden. Neither exists before the first operation that needs it,
//! so an idle or fully cached LUN costs one file descriptor.
//!
//! | file | what it does |
//! |---|---|
//! | `file` | [`FileIo`]: the operations, and the choice between inline and queued |
//! | `policy` | what this file is known to do inline |
//! | `request` | one operation and how far it is; short transfers are resumed here |
//! | `queue`, `table` | parked operations, their wakers, what happens to dropped futures |
//! | `ring`, `workers` | the two engines |
//! | `syscall` | the system calls |
//! | `extents` | which bytes are data and which are holes |
//! | `reflink`, `copy` | copies that share extents, and those that cannot |
//! | `layout`, `lock` | alignment of `O_DIRECT`; the writer's lock |

// UNSAFETY: system calls on raw segments of a command's memory, and submission entries that point to
// them. Every site names who keeps that memory alive.
#![allow(unsafe_code)]

mod copy;
mod error;
mod extents;
mod file;
mod layout;
mod lock;
mod policy;
mod queue;
mod reflink;
mod request;
mod ring;
mod syscall;
mod table;
mod workers;

pub use copy::copy_range;
pub use file::{Engine, FileIo, FileOptions, IoMode, SetupError};
pub use layout::Layout;
pub use lock::{LockError, LockKind, lock};
pub use reflink::{is_no_reflink, reflink, reflink_range};
