//! ORWRITE (16) (SBC-4 5.8): sets the bits of the medium that are set in the data.
//!
//! Atomic against every other writing command of the LUN by its range lock.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::data::Transfer;
use crate::data::rw::data_out;
use crate::disk::Answer;
use crate::{Op, Outcome, ScsiDisk, Sense};

pub(crate) fn parse_orwrite16(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::OrWrite(Transfer { range: cdb.range16(), fua: cdb.bit(1, 3), length_byte: 10 }))
}

pub(crate) async fn orwrite<B: Backend>(disk: &ScsiDisk<B>, transfer: &Transfer, data: DataBuf) -> Answer {
    disk.check_writable()?;
    let range = disk.admit(transfer.range, transfer.length_byte)?;
    let mut bits = data_out(data, range.len)?.to_vec();
    let _claim = disk.locks.exclude(range).await;
    let found = disk.disk.read(range.at, DataBuf::zeroed(bits.len())).await?;
    for (bit, old) in bits.iter_mut().zip(found.to_vec()) {
        *bit |= old;
    }
    disk.disk.write(range.at, DataBuf::from_slice(&bits), disk.durability(transfer.fua)).await?;
    Ok(Outcome::good())
}
