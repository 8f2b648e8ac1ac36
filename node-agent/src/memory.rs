//! The agent under memory pressure from its own disks.
//!
//! Where a node has a LUN of its own as a disk (tcm_loop), the kernel may write that disk's dirty pages to get memory
//! back. Then it waits for this process; so this process must never wait for that: neither for memory that only
//! comes free by such writes, nor for its own pages to be read in again.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::configure_io_flusher_behavior;

/// Prepares this process, and every thread that it starts from now on; to be called before there are any.
pub fn prepare() {
    // Allocations in the kernel on our behalf start no I/O, and our writes are not throttled against the dirty pages of
    // our own disks (PR_SET_IO_FLUSHER: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE, which threads inherit).
    if let Err(error) = configure_io_flusher_behavior(true) {
        warn("cannot become an I/O flusher (it takes CAP_SYS_RESOURCE)", &error);
    }
    // What has been touched stays in memory; what has not costs none. Rings are device mappings, and not concerned.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        warn("cannot lock the agent's memory (it takes CAP_IPC_LOCK)", &error);
    }
}

fn warn(what: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "{what}: local disks may stall when memory runs out");
}
