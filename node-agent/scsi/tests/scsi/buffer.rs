//! Memory of a command as a ring has it: scattered, shared, and looked at after the command has ended.

// UNSAFETY: hands shared memory to a DataBuf, as the ring does.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use libc::iovec;
use lunette_iobuf::DataBuf;

/// The memory of one command.
pub struct Memory(Arc<Vec<AtomicU8>>);

impl Memory {
    /// Memory that holds these bytes, and a buffer over it in uneven segments.
    pub fn new(bytes: &[u8]) -> (Self, DataBuf) {
        let memory: Arc<Vec<AtomicU8>> = Arc::new(bytes.iter().copied().map(AtomicU8::new).collect());
        let cuts = [0, bytes.len() / 3, bytes.len() / 2 + 1, bytes.len()].map(|cut| cut.min(bytes.len()));
        let segment = |(from, to): (usize, usize)| iovec {
            iov_base: memory.as_ptr().wrapping_add(from).cast_mut().cast(),
            iov_len: to.saturating_sub(from),
        };
        let segments: Vec<iovec> = cuts.windows(2).map(|w| segment((w[0], w[1]))).collect();
        // SAFETY: the segments are disjoint parts of `memory`, which `keep` holds; its atomics may be
        // written through raw pointers, and `bytes` reads them only when no buffer is left.
        let buf = unsafe { DataBuf::from_raw(memory.clone(), segments) };
        (Self(memory), buf)
    }

    /// What it holds now; the command must have let go of its buffer.
    pub fn bytes(&self) -> Vec<u8> {
        assert_eq!(Arc::strong_count(&self.0), 1, "the command has ended, so nobody may hold its memory");
        self.0.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }
}
