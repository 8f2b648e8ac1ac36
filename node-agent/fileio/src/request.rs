//! One operation on the file and how far it is. Whoever runs it (inline, ring, thread) reports each
//! result of the kernel here, and is told whether to go on; so resuming a short transfer and retrying an
//! interrupted one are written once. The request owns its buffer from beginning to end.

use std::io;

use lunette_backend::{IoError, IoErrorKind, Result};
use lunette_iobuf::DataBuf;
use nix::errno::Errno;

use crate::error::{Direction, io_error};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Fill the buffer.
    Read,
    /// Drain the buffer; `durable` by `RWF_DSYNC`.
    Write { durable: bool },
    /// fdatasync(2).
    Sync,
    /// fallocate(2) with these mode bits.
    Allocate { mode: i32 },
}

/// What the kernel said to a step of it: bytes transferred, or why none.
pub(crate) type Outcome = std::result::Result<usize, Errno>;

/// One operation.
#[derive(Debug)]
pub(crate) struct Request {
    pub kind: Kind,
    /// First byte in the file.
    pub at: u64,
    /// Bytes; of data operations the buffer's length.
    pub len: u64,
    /// Empty for operations without data.
    pub buf: DataBuf,
    /// Bytes of `buf` that are done.
    pub done: usize,
    /// The kernel could not do it without blocking: it needs a context that may block.
    pub must_block: bool,
}

impl Request {
    pub fn read(at: u64, buf: DataBuf) -> Self {
        Self::data(Kind::Read, at, buf)
    }

    pub fn write(at: u64, buf: DataBuf, durable: bool) -> Self {
        Self::data(Kind::Write { durable }, at, buf)
    }

    pub fn sync() -> Self {
        Self { kind: Kind::Sync, at: 0, len: 0, buf: DataBuf::empty(), done: 0, must_block: false }
    }

    pub fn allocate(mode: i32, at: u64, len: u64) -> Self {
        Self { kind: Kind::Allocate { mode }, at, len, buf: DataBuf::empty(), done: 0, must_block: false }
    }

    fn data(kind: Kind, at: u64, buf: DataBuf) -> Self {
        Self { kind, at, len: buf.len() as u64, buf, done: 0, must_block: false }
    }

    /// Whether it moves data.
    pub fn is_transfer(&self) -> bool {
        matches!(self.kind, Kind::Read | Kind::Write { .. })
    }

    /// Where the next transfer begins in the file.
    pub fn position(&self) -> u64 {
        self.at + self.done as u64
    }

    /// Takes in one result of the kernel: `None` when the operation has to be started again for what is
    /// left of it.
    pub fn settle(&mut self, outcome: Outcome) -> Option<Result<()>> {
        match (outcome, self.kind) {
            (Err(Errno::EINTR), _) => None,
            (Err(Errno::EAGAIN), _) if !self.must_block => {
                self.must_block = true;
                None
            }
            (Err(errno), _) => Some(Err(io_error(errno, self.direction()))),
            (Ok(_), Kind::Sync | Kind::Allocate { .. }) => Some(Ok(())),
            (Ok(0), _) => Some(Err(self.ended_early())),
            (Ok(n), _) => self.advance(n),
        }
    }

    /// What the operation comes to: its buffer, with an error too.
    pub fn handed_back(self, result: Result<()>) -> Result<DataBuf> {
        match result {
            Ok(()) => Ok(self.buf),
            Err(error) => Err(error.with_buffer(self.buf)),
        }
    }

    fn advance(&mut self, n: usize) -> Option<Result<()>> {
        self.done = (self.done + n).min(self.buf.len());
        (self.done == self.buf.len()).then_some(Ok(()))
    }

    fn direction(&self) -> Direction {
        if self.kind == Kind::Read { Direction::In } else { Direction::Out }
    }

    /// A transfer of no bytes: the file is shorter than its volume, or takes no more.
    fn ended_early(&self) -> IoError {
        let (kind, what) = match self.direction() {
            Direction::In => (IoErrorKind::MediumRead, "ended"),
            Direction::Out => (IoErrorKind::MediumWrite, "took no more"),
        };
        let text = format!("the file {what} at byte {} of an operation up to {}", self.position(), self.at + self.len);
        IoError::new(kind, io::Error::new(io::ErrorKind::UnexpectedEof, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_transfer_goes_on_where_it_stopped() {
        let mut request = Request::read(4096, DataBuf::zeroed(1000));
        assert!(request.settle(Ok(600)).is_none());
        assert_eq!(request.position(), 4696);
        assert!(matches!(request.settle(Ok(400)), Some(Ok(()))));
    }

    #[test]
    fn interruptions_are_repeated_and_would_block_is_repeated_once() {
        let mut request = Request::write(0, DataBuf::zeroed(8), false);
        assert!(request.settle(Err(Errno::EINTR)).is_none());
        assert!(!request.must_block);
        assert!(request.settle(Err(Errno::EAGAIN)).is_none());
        assert!(request.must_block);
        let error = request.settle(Err(Errno::EAGAIN)).unwrap().unwrap_err();
        assert_eq!(error.kind, IoErrorKind::Busy);
    }

    #[test]
    fn the_end_of_the_file_inside_a_volume_is_an_error_of_its_direction() {
        let mut read = Request::read(0, DataBuf::zeroed(8));
        assert_eq!(read.settle(Ok(0)).unwrap().unwrap_err().kind, IoErrorKind::MediumRead);
        let mut write = Request::write(0, DataBuf::zeroed(8), true);
        assert_eq!(write.settle(Ok(0)).unwrap().unwrap_err().kind, IoErrorKind::MediumWrite);
    }

    #[test]
    fn operations_without_data_end_with_any_success() {
        assert!(matches!(Request::sync().settle(Ok(0)), Some(Ok(()))));
        assert!(matches!(Request::allocate(0, 0, 512).settle(Ok(0)), Some(Ok(()))));
    }
}
