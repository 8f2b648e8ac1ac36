//! The system calls on a request's memory, blocking or not as the flags say. The kernel checks every
//! address itself and answers EFAULT, so memory that vanished under a command is an error, not a signal.

use std::os::fd::{AsRawFd, BorrowedFd};

use lunette_iobuf::DataBuf;
use nix::errno::Errno;
use smallvec::SmallVec;

use crate::request::{Kind, Outcome, Request};

/// Segments that one system call takes (`UIO_MAXIOV`); more are left to the next one.
const MAX_SEGMENTS: usize = 1024;

/// What is left of a buffer, where it had to be cut.
pub(crate) type Rest = SmallVec<[libc::iovec; 4]>;

/// The segments of the next transfer: the buffer's own list, or `rest` filled with what is left of it.
pub(crate) fn segments<'a>(buf: &'a DataBuf, done: usize, rest: &'a mut Rest) -> &'a [libc::iovec] {
    let all = buf.iovecs();
    if done == 0 {
        return &all[..all.len().min(MAX_SEGMENTS)];
    }
    rest.clear();
    let mut skip = done;
    for segment in all {
        if skip >= segment.iov_len {
            skip -= segment.iov_len;
            continue;
        }
        let base = segment.iov_base.cast::<u8>().wrapping_add(skip).cast();
        rest.push(libc::iovec { iov_base: base, iov_len: segment.iov_len - skip });
        skip = 0;
        if rest.len() == MAX_SEGMENTS {
            break;
        }
    }
    rest
}

/// Runs the next step of `request` on the calling thread; `flags` are `RWF_*` of preadv2(2).
pub(crate) fn run(fd: BorrowedFd<'_>, request: &Request, flags: i32) -> Outcome {
    match request.kind {
        Kind::Read | Kind::Write { .. } => transfer(fd, request.kind, request.at, &request.buf, request.done, flags),
        // SAFETY: no memory is passed.
        Kind::Sync => outcome(unsafe { libc::fdatasync(fd.as_raw_fd()) }),
        Kind::Allocate { mode } => allocate(fd, mode, request),
    }
}

/// The flag that makes one write durable before it is done.
pub(crate) fn durable_flag(durable: bool) -> i32 {
    if durable { libc::RWF_DSYNC } else { 0 }
}

/// Reads into or writes from `buf`, of which `done` bytes are done; its first byte lies at `at`.
#[inline]
pub(crate) fn transfer(fd: BorrowedFd<'_>, kind: Kind, at: u64, buf: &DataBuf, done: usize, flags: i32) -> Outcome {
    let (write, flags) = match kind {
        Kind::Write { durable } => (true, flags | durable_flag(durable)),
        _ => (false, flags),
    };
    let position = offset(at + done as u64)?;
    match buf.iovecs() {
        [one] if flags == 0 && done == 0 => single(fd, *one, position, write),
        [_] if done == 0 => vectored(fd, buf.iovecs(), position, flags, write),
        _ => {
            let mut rest = Rest::new();
            vectored(fd, segments(buf, done, &mut rest), position, flags, write)
        }
    }
}

/// One segment without flags: the cheapest calls there are, since no list has to be copied in. The C library's own would also
/// prepare for the thread to be cancelled meanwhile.
fn single(fd: BorrowedFd<'_>, segment: libc::iovec, position: i64, write: bool) -> Outcome {
    let (fd, base, len) = (fd.as_raw_fd(), segment.iov_base, segment.iov_len);
    let call = if write { libc::SYS_pwrite64 } else { libc::SYS_pread64 };
    // SAFETY: the segment belongs to a DataBuf, which the caller borrows for the whole call.
    outcome(unsafe { libc::syscall(call, fd, base, len, position) })
}

fn vectored(fd: BorrowedFd<'_>, segments: &[libc::iovec], position: i64, flags: i32, write: bool) -> Outcome {
    let (fd, list) = (fd.as_raw_fd(), segments.as_ptr());
    let count = libc::c_int::try_from(segments.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `list` has `count` segments of a DataBuf, which the caller borrows for the
    // whole call.
    outcome(unsafe {
        if write {
            libc::pwritev64v2(fd, list, count, position, flags)
        } else {
            libc::preadv64v2(fd, list, count, position, flags)
        }
    })
}

fn allocate(fd: BorrowedFd<'_>, mode: i32, request: &Request) -> Outcome {
    let (at, len) = (offset(request.at)?, offset(request.len)?);
    // SAFETY: no memory is passed.
    outcome(unsafe { libc::fallocate64(fd.as_raw_fd(), mode, at, len) })
}

fn offset(value: u64) -> Result<i64, Errno> {
    i64::try_from(value).map_err(|_| Errno::EFBIG)
}

fn outcome(returned: impl TryInto<usize>) -> Outcome {
    returned.try_into().map_err(|_| Errno::last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(done: usize) -> Vec<usize> {
        let buf = DataBuf::scattered(&[3, 5, 7], 1);
        let mut rest = Rest::new();
        segments(&buf, done, &mut rest).iter().map(|s| s.iov_len).collect()
    }

    #[test]
    fn what_is_left_begins_inside_the_segment_where_it_stopped() {
        assert_eq!(lengths(0), [3, 5, 7]);
        assert_eq!(lengths(2), [1, 5, 7]);
        assert_eq!(lengths(3), [5, 7]);
        assert_eq!(lengths(9), [6]);
        assert_eq!(lengths(15), [0; 0]);
    }

    #[test]
    fn one_call_takes_no_more_segments_than_the_kernel_allows() {
        let buf = DataBuf::scattered(&[1; 1500], 1);
        let mut rest = Rest::new();
        assert_eq!(segments(&buf, 0, &mut rest).len(), 1024);
        assert_eq!(segments(&buf, 100, &mut rest).len(), 1024);
        assert_eq!(segments(&buf, 1024, &mut rest).len(), 476);
    }
}
