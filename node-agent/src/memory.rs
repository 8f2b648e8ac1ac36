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
    // The program and its libraries stay in memory: where there is no swap, nothing else of it could leave. Not
    // `MCL_FUTURE`: under it the kernel touches every page of a new ring's mapping, though such mappings cannot be
    // locked (`mmap_region` takes the flags away again), and complains of the data area, whose pages come with the
    // commands.
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT) {
        warn("cannot lock the agent's memory (it takes CAP_IPC_LOCK)", &error);
    }
}

fn warn(what: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "{what}: local disks may stall when memory runs out");
}
