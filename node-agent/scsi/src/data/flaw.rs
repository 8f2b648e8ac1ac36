//! Which block of a READ could not be read: the INFORMATION field of MEDIUM ERROR (SBC-4 4.18.1).
//!
//! Storage says that a read failed, and seldom where. So what failed is read again in halves until one block is left. Invariant: a
//! block is named only when all before it are in the buffer and are transferred with the sense data, because
//! initiators take them for read then (`sd_completed_bytes` in Linux' drivers/scsi/sd.c).

use std::time::{Duration, Instant};

use lunette_backend::{Backend, IoError, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::refusal::Refusal;
use crate::{LbaRange, ScsiDisk, Sense};

/// Looking ends then: a medium with flaws may take long over each, and the initiator waits.
const WITHIN: Duration = Duration::from_secs(2);

impl<B: Backend> ScsiDisk<B> {
    /// What to answer to a READ of `blocks` that failed with `error`, byte `at` being its first.
    pub(super) async fn up_to_flaw(&self, blocks: LbaRange, at: u64, mut error: IoError) -> Refusal {
        let Some(buf) = error.take_buffer() else { return error.into() };
        match self.readable(at, buf).await {
            Some(bytes) => {
                let lba = blocks.lba.0 + self.block_size().blocks_in(bytes);
                let sense = Sense::from(&error).with_information(lba);
                Refusal::StorageAfter(error, sense, u32::try_from(bytes).unwrap_or(u32::MAX))
            }
            None => error.into(),
        }
    }

    /// How many bytes before the first flawed block are read into the buffer by now; nothing if that block cannot be told.
    async fn readable(&self, at: u64, buf: DataBuf) -> Option<u64> {
        let block = usize::try_from(self.block_size().bytes()).ok()?;
        let started = Instant::now();
        // `rest` holds a flaw; whether it has been seen to fail by itself.
        let (mut rest, mut bytes, mut seen) = (buf, 0, true);
        while rest.len() > block {
            if started.elapsed() > WITHIN {
                return None;
            }
            let half = rest.len() / block / 2 * block;
            let (head, tail) = rest.split_at(half);
            (rest, seen) = match self.disk.read(at + bytes, head).await {
                Ok(_) => {
                    bytes += half as u64;
                    (tail, false)
                }
                Err(mut error) if error.kind == IoErrorKind::MediumRead => (error.take_buffer()?, true),
                Err(_) => return None,
            };
        }
        let fails = |error: IoError| error.kind == IoErrorKind::MediumRead;
        (seen || self.disk.read(at + bytes, rest).await.is_err_and(fails)).then_some(bytes)
    }
}
