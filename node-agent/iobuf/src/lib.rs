//! The memory of one command: a scatter list that storage may fill or drain.
//!
//! A [`DataBuf`] owns its memory for as long as it lives: `keep` holds whatever maps or allocates the
//! segments, and no other value may hand out the same bytes until this one is dropped. Whoever submits
//! it to the kernel or to a C library holds the value itself until the storage is done with it, also
//! when the future that started the operation is gone.
//!
//! The segments may lie in memory that another process or the kernel writes (the TCMU data area), so
//! nothing here ever forms a Rust reference to them: every access is a raw copy.

// UNSAFETY: raw copies into and out of shared memory, which no reference may cover.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr;
use std::sync::Arc;

use libc::{c_void, iovec};
use smallvec::SmallVec;

/// Alignment of memory made here: enough for `O_DIRECT` on any device and for a page on any
/// architecture with 4 KiB pages.
pub const ALIGNMENT: usize = 4096;

/// Segments held without an allocation: a command of up to this many runs of data blocks.
const INLINE_SEGMENTS: usize = 4;

/// What keeps a buffer's memory mapped. It is never looked into, only held.
pub type Keep = Arc<dyn Send + Sync>;

/// The data of one command, as a list of segments.
pub struct DataBuf {
    segments: SmallVec<[iovec; INLINE_SEGMENTS]>,
    len: usize,
    /// `None` only for the empty buffer.
    keep: Option<Keep>,
}

// SAFETY: the segments are exclusive to this value and `keep` is Send + Sync; moving the value to
// another thread moves the only right to use them.
unsafe impl Send for DataBuf {}

impl DataBuf {
    /// A buffer of no bytes, for commands that carry none.
    #[must_use]
    pub fn empty() -> Self {
        Self { segments: SmallVec::new(), len: 0, keep: None }
    }

    /// A buffer over memory that someone else has mapped.
    ///
    /// # Safety
    /// Every segment lies inside memory that stays mapped, readable and writable while `keep` lives,
    /// and until the returned value (and those split from it) are dropped, no other `DataBuf` or Rust
    /// reference covers any of it. The lengths' sum does not exceed `isize::MAX`.
    #[must_use]
    pub unsafe fn from_raw(keep: Keep, segments: impl IntoIterator<Item = iovec>) -> Self {
        let (mut kept, mut len) = (SmallVec::new(), 0);
        for segment in segments {
            if segment.iov_len > 0 {
                len += segment.iov_len;
                kept.push(segment);
            }
        }
        Self { segments: kept, len, keep: Some(keep) }
    }

    /// A zeroed buffer of its own memory, aligned to [`ALIGNMENT`].
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        if len == 0 {
            return Self::empty();
        }
        let owned = Owned::zeroed(len);
        let segment = iovec { iov_base: owned.base.cast::<c_void>(), iov_len: len };
        Self { segments: SmallVec::from_slice(&[segment]), len, keep: Some(Arc::new(owned)) }
    }

    /// A buffer of its own memory holding a copy of `bytes`.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut buf = Self::zeroed(bytes.len());
        buf.copy_in(0, bytes);
        buf
    }

    /// A zeroed buffer of its own memory in segments of these lengths, each `gap` bytes behind the end of
    /// the one before and the first `gap` bytes into a page: what a fragmented or badly aligned data area
    /// looks like, for tests of storage.
    #[must_use]
    pub fn scattered(lengths: &[usize], gap: usize) -> Self {
        let len: usize = lengths.iter().sum();
        if len == 0 {
            return Self::empty();
        }
        let owned = Owned::zeroed(len + gap * lengths.len());
        let mut end = 0;
        let mut segments = SmallVec::new();
        for &len in lengths.iter().filter(|len| **len > 0) {
            let base = owned.base.wrapping_add(end + gap);
            segments.push(iovec { iov_base: base.cast::<c_void>(), iov_len: len });
            end += gap + len;
        }
        Self { segments, len, keep: Some(Arc::new(owned)) }
    }

    /// Length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segments, for system calls and C libraries. They are valid while `self` lives.
    #[must_use]
    #[inline]
    pub fn iovecs(&self) -> &[iovec] {
        &self.segments
    }

    /// Whether every segment begins and ends on a multiple of `align`, as `O_DIRECT` asks.
    #[must_use]
    pub fn is_aligned(&self, align: usize) -> bool {
        self.segments.iter().all(|s| (s.iov_base as usize).is_multiple_of(align) && s.iov_len.is_multiple_of(align))
    }

    /// Copies `src` in at byte `at`; returns how many bytes fitted.
    pub fn copy_in(&mut self, at: usize, src: &[u8]) -> usize {
        self.walk(at, src.len(), |target, done, n| {
            // SAFETY: `walk` gives `n` writable bytes of a segment that this value owns, and
            // `done + n <= src.len()`; a Rust slice never overlaps shared memory.
            unsafe { ptr::copy_nonoverlapping(src.as_ptr().add(done), target, n) }
        })
    }

    /// Copies out from byte `at` into `dst`; returns how many bytes there were.
    pub fn copy_out(&self, at: usize, dst: &mut [u8]) -> usize {
        let base = dst.as_mut_ptr();
        self.walk(at, dst.len(), |source, done, n| {
            // SAFETY: `walk` gives `n` readable bytes of a segment that this value owns, and
            // `done + n <= dst.len()`; a Rust slice never overlaps shared memory.
            unsafe { ptr::copy_nonoverlapping(source, base.add(done), n) }
        })
    }

    /// Sets `len` bytes from byte `at` to `byte`; returns how many there were.
    pub fn fill(&mut self, at: usize, len: usize, byte: u8) -> usize {
        self.walk(at, len, |target, _, n| {
            // SAFETY: `walk` gives `n` writable bytes of a segment that this value owns.
            unsafe { ptr::write_bytes(target, byte, n) }
        })
    }

    /// All bytes, copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.copy_out(0, &mut bytes);
        bytes
    }

    /// Cuts the buffer in two at byte `at` (at most the length).
    #[must_use]
    pub fn split_at(self, at: usize) -> (Self, Self) {
        let at = at.min(self.len);
        let (mut head, mut tail) = (SmallVec::new(), SmallVec::new());
        let mut left = at;
        for segment in &self.segments {
            let cut = left.min(segment.iov_len);
            if cut > 0 {
                head.push(iovec { iov_base: segment.iov_base, iov_len: cut });
            }
            if cut < segment.iov_len {
                let base = segment.iov_base.cast::<u8>().wrapping_add(cut).cast::<c_void>();
                tail.push(iovec { iov_base: base, iov_len: segment.iov_len - cut });
            }
            left -= cut;
        }
        let rest = self.len - at;
        (Self { segments: head, len: at, keep: self.keep.clone() }, Self { segments: tail, len: rest, keep: self.keep })
    }

    /// Drops all bytes after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let mut left = len;
        let mut used = 0;
        for segment in &mut self.segments {
            if left == 0 {
                break;
            }
            segment.iov_len = segment.iov_len.min(left);
            left -= segment.iov_len;
            used += 1;
        }
        self.segments.truncate(used);
        self.len = len;
    }

    /// Visits the bytes `at..at + len` that exist, one run of a segment at a time: the run's address,
    /// how many bytes came before it, its length. Returns the bytes visited.
    fn walk(&self, at: usize, len: usize, mut visit: impl FnMut(*mut u8, usize, usize)) -> usize {
        let (mut skip, mut done) = (at, 0);
        for segment in &self.segments {
            if skip >= segment.iov_len {
                skip -= segment.iov_len;
                continue;
            }
            let n = (segment.iov_len - skip).min(len - done);
            if n == 0 {
                break;
            }
            visit(segment.iov_base.cast::<u8>().wrapping_add(skip), done, n);
            done += n;
            skip = 0;
        }
        done
    }
}

impl fmt::Debug for DataBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataBuf({} bytes in {} segments)", self.len, self.segments.len())
    }
}

/// Memory allocated for one buffer.
struct Owned {
    base: *mut u8,
    layout: Layout,
}

// SAFETY: the pointer is used only through the one DataBuf family that keeps this value; `Owned`
// itself only frees it, once, when the last of them is gone.
unsafe impl Send for Owned {}
// SAFETY: as above: a shared `Owned` offers no access at all.
unsafe impl Sync for Owned {}

impl Owned {
    fn zeroed(len: usize) -> Self {
        let layout = Layout::from_size_align(len, ALIGNMENT).expect("a buffer is smaller than isize::MAX");
        // SAFETY: `len` is not zero (`DataBuf::zeroed` returns early), so the layout is not zero-sized.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        Self { base, layout }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: `base` came from `alloc_zeroed` with this layout and is freed only here.
        unsafe { dealloc(self.base, self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight bytes in three segments, in reverse order in memory.
    fn scattered() -> DataBuf {
        let owned = Arc::new(Owned::zeroed(64));
        let at = |offset: usize, len| iovec { iov_base: owned.base.wrapping_add(offset).cast(), iov_len: len };
        let segments = [at(32, 3), at(0, 0), at(16, 4), at(8, 1)];
        // SAFETY: the segments are disjoint parts of `owned`, which is kept.
        unsafe { DataBuf::from_raw(owned, segments) }
    }

    #[test]
    fn bytes_cross_segment_borders() {
        let mut buf = scattered();
        assert_eq!(buf.copy_in(1, b"abcdefg"), 7);
        assert_eq!(buf.to_vec(), b"\0abcdefg");
        let mut middle = [0; 4];
        assert_eq!(buf.copy_out(2, &mut middle), 4);
        assert_eq!(&middle, b"bcde");
    }

    #[test]
    fn access_beyond_the_end_is_clipped() {
        let mut buf = scattered();
        assert_eq!(buf.copy_in(6, b"abcdef"), 2);
        assert_eq!(buf.copy_out(8, &mut [0; 4]), 0);
        assert_eq!(buf.fill(7, usize::MAX - 7, 9), 1);
        assert_eq!(buf.to_vec(), b"\0\0\0\0\0\0a\x09");
    }

    #[test]
    fn split_and_truncate_keep_every_byte_once() {
        for at in 0..=9 {
            let mut buf = scattered();
            buf.copy_in(0, b"01234567");
            let (head, tail) = buf.split_at(at);
            assert_eq!([head.to_vec(), tail.to_vec()].concat(), b"01234567");
            let mut head = head;
            head.truncate(2);
            assert_eq!(head.to_vec(), &b"01"[..at.min(2)]);
            assert_eq!(head.iovecs().iter().map(|s| s.iov_len).sum::<usize>(), head.len());
        }
    }

    #[test]
    fn scattered_segments_keep_their_lengths_and_their_distance() {
        let mut buf = DataBuf::scattered(&[3, 0, 5], 7);
        let [first, second] = buf.iovecs() else { panic!("an empty segment is left out") };
        assert_eq!((first.iov_len, second.iov_len), (3, 5));
        assert_eq!(first.iov_base as usize % ALIGNMENT, 7);
        assert_eq!(second.iov_base as usize - first.iov_base as usize, 3 + 7);
        assert_eq!(buf.copy_in(0, b"01234567"), 8);
        assert_eq!(buf.to_vec(), b"01234567");
    }

    #[test]
    fn own_memory_is_aligned_and_zero() {
        let buf = DataBuf::zeroed(8192);
        assert!(buf.is_aligned(ALIGNMENT));
        assert!(!DataBuf::zeroed(100).is_aligned(512));
        assert!(buf.to_vec().iter().all(|b| *b == 0));
    }
}
