//! The io_uring of one file, on the thread of its LUN.
//!
//! Entries are built and submitted in one go from what the table has queued: one enter per batch. The
//! ring uses what the kernel offers: a single issuer (6.0), cooperative task work (5.19), or neither. Not
//! deferred task work (6.1): the thread sleeps in poll on the ring's descriptor, which task work that is
//! only queued need not wake (6.12 wakes it when a completion is posted, and nothing else: `io_poll_wq_wake`
//! in io_uring/io_uring.c). It knows nothing of futures; memory is the table's to keep.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode};
use nix::errno::Errno;

use crate::request::{Kind, Request};
use crate::syscall::durable_flag;
use crate::table::{CAPACITY, Table};

/// The most that one transfer may ask for (the kernel's `MAX_RW_COUNT`).
const MAX_TRANSFER: usize = 0x7fff_f000;

/// An io_uring that serves one file.
pub(crate) struct Ring {
    uring: IoUring,
    file: RawFd,
}

impl Ring {
    /// A ring for `file`, which must stay open while the ring lives, on the thread that will use it.
    pub fn new(file: BorrowedFd<'_>) -> io::Result<Self> {
        let uring = build(true, true).or_else(|_| build(false, true)).or_else(|_| build(false, false))?;
        Ok(Self { uring, file: file.as_raw_fd() })
    }

    /// Another descriptor of the ring: readable when there are completions. A thread that sleeps on it is
    /// interrupted by task work that makes some, and then finds them.
    pub fn event_fd(&self) -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is the ring's and open; the borrow ends with this statement.
        unsafe { BorrowedFd::borrow_raw(self.uring.as_raw_fd()) }.try_clone_to_owned()
    }

    /// Has requests in flight keep a file open: registered files go with the ring, which goes with its last request,
    /// also when the process is killed. At most one at a time.
    pub fn hold_open(&mut self, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        match file {
            Some(file) => self.uring.submitter().register_files(&[file.as_raw_fd()]),
            None => self.uring.submitter().unregister_files(),
        }
    }

    /// Starts everything that is queued, as far as the kernel takes it; how many reads and writes that were.
    pub fn submit(&mut self, table: &mut Table) -> usize {
        let mut transfers = 0;
        loop {
            transfers += self.fill(table);
            if self.uring.submission().is_empty() {
                return transfers;
            }
            match self.uring.submit() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if !self.may_retry(table, &error) {
                        return transfers;
                    }
                }
            }
        }
    }

    /// Operations that have ended and were not reaped yet.
    pub fn ended(&mut self) -> usize {
        self.uring.completion().len()
    }

    /// Builds entries for queued operations until the submission queue is full; how many of them are reads and writes.
    fn fill(&mut self, table: &mut Table) -> usize {
        let mut transfers = 0;
        let mut submission = self.uring.submission();
        while !submission.is_full() {
            let Some(key) = table.start_next() else { break };
            let Some((request, segments)) = table.started(key) else { continue };
            transfers += usize::from(request.is_transfer());
            let entry = entry(Fd(self.file), request, segments).user_data(u64::from(key));
            // SAFETY: the entry points to the segments of the slot's DataBuf and, with several, to the
            // list itself; the table neither frees nor moves either until this key's completion is
            // settled. There was room, and a full queue would only refuse.
            let pushed = unsafe { submission.push(&entry) };
            debug_assert!(pushed.is_ok());
        }
        transfers
    }

    /// Whether to try again at once. The kernel is short of memory or of room for completions: if
    /// something is running, its completion brings the caller back here; else only time can.
    fn may_retry(&mut self, table: &Table, error: &io::Error) -> bool {
        let unsubmitted = self.uring.submission().len();
        if table.running() > unsubmitted {
            return false;
        }
        tracing::warn!(%error, unsubmitted, "the kernel takes no I/O request for now");
        thread::sleep(Duration::from_millis(1));
        true
    }

    /// Settles every completion there is; returns how many.
    pub fn reap(&mut self, table: &mut Table, woken: &mut Vec<Waker>) -> usize {
        let submission = self.uring.submission();
        let pending = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        if pending {
            // Entering the kernel runs the task work; a failure leaves it for the next time.
            let _ = self.uring.submit();
        }
        let mut reaped = 0;
        for completion in self.uring.completion() {
            reaped += 1;
            if let Ok(key) = u16::try_from(completion.user_data()) {
                table.settle(key, outcome(completion.result()), woken);
            }
        }
        reaped
    }

    /// Waits for everything that runs; `false` when the kernel does not let us.
    pub fn drain(&mut self, table: &mut Table) -> bool {
        table.drop_queued();
        while table.running() > 0 {
            match self.uring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(_) => return false,
            }
            self.reap(table, &mut Vec::new());
            table.drop_queued();
        }
        true
    }
}

fn build(single_issuer: bool, cooperative: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.dontfork();
    if cooperative {
        builder.setup_submit_all().setup_coop_taskrun().setup_taskrun_flag();
    }
    if single_issuer {
        builder.setup_single_issuer();
    }
    builder.build(u32::from(CAPACITY))
}

fn outcome(result: i32) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::from_raw(-result))
}

fn entry(fd: Fd, request: &Request, segments: &[libc::iovec]) -> Entry {
    let entry = match request.kind {
        Kind::Read => read(fd, request.position(), segments),
        Kind::Write { durable } => write(fd, request.position(), segments, durable_flag(durable)),
        Kind::Sync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
        Kind::Allocate { mode } => opcode::Fallocate::new(fd, request.len).offset(request.at).mode(mode).build(),
    };
    // A request that was refused because it would block goes to a kernel worker, which may.
    if request.must_block { entry.flags(Flags::ASYNC) } else { entry }
}

#[expect(clippy::cast_possible_truncation, reason = "lengths are clamped to MAX_TRANSFER, counts to 1024")]
fn read(fd: Fd, position: u64, segments: &[libc::iovec]) -> Entry {
    match segments {
        [one] => {
            let len = one.iov_len.min(MAX_TRANSFER) as u32;
            opcode::Read::new(fd, one.iov_base.cast(), len).offset(position).build()
        }
        many => opcode::Readv::new(fd, many.as_ptr(), many.len() as u32).offset(position).build(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "lengths are clamped to MAX_TRANSFER, counts to 1024")]
fn write(fd: Fd, position: u64, segments: &[libc::iovec], flags: i32) -> Entry {
    match segments {
        [one] => {
            let len = one.iov_len.min(MAX_TRANSFER) as u32;
            opcode::Write::new(fd, one.iov_base.cast_const().cast(), len).offset(position).rw_flags(flags).build()
        }
        many => opcode::Writev::new(fd, many.as_ptr(), many.len() as u32).offset(position).rw_flags(flags).build(),
    }
}
