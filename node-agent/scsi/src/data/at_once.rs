//! READ and WRITE that nothing is in the way of, and that storage has done when the call returns: most of all commands. No
//! future is made for them, which would cost as much as everything else that is done for them here.
//!
//! What is not so plain is left to [`ScsiDisk::execute`], which begins anew. Nothing was answered until then, and no other
//! command ran: to read or write the same once more changes nothing.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use super::Transfer;
use crate::{ByteRange, Op, Outcome, ScsiDisk};

impl<B: Backend> ScsiDisk<B> {
    /// Carries a command out if that takes no waiting and ends well. `None` leaves it to [`ScsiDisk::execute`], which has to
    /// be polled before any other command of the unit's; a buffer to be filled may hold some of the data by then.
    ///
    /// `data` is as there.
    pub fn execute_at_once(&self, cdb: &[u8], data: &mut DataBuf) -> Option<Outcome> {
        if !self.is_as_usual() {
            return None;
        }
        match Op::parse(cdb) {
            Ok(Op::Read(transfer)) => self.read_at_once(&transfer, data),
            Ok(Op::Write(transfer)) => self.write_at_once(&transfer, data),
            _ => None,
        }
    }

    fn read_at_once(&self, transfer: &Transfer, data: &mut DataBuf) -> Option<Outcome> {
        let range = self.plain_range(transfer, data)?;
        if (transfer.fua && self.mode.write_cache()) || !self.locks.lets_readers_pass() {
            return None;
        }
        self.disk.read_at_once(range.at, data)?;
        self.statistics.note_read(transfer.range.blocks, true);
        Some(Outcome::good())
    }

    fn write_at_once(&self, transfer: &Transfer, data: &DataBuf) -> Option<Outcome> {
        self.check_writable().ok()?;
        let range = self.plain_range(transfer, data)?;
        if !self.locks.lets_writers_pass() {
            return None;
        }
        self.disk.write_at_once(range.at, data, self.durability(transfer.fua))?;
        self.locks.note_written(range);
        self.statistics.note_write(transfer.range.blocks, true);
        Some(Outcome::good())
    }

    /// The bytes of a transfer that is admitted and as long as the initiator expects.
    fn plain_range(&self, transfer: &Transfer, data: &DataBuf) -> Option<ByteRange> {
        let range = self.admit(transfer.range, transfer.length_byte).ok()?;
        (range.len == data.len() as u64).then_some(range)
    }
}
