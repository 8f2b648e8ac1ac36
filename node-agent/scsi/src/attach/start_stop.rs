//! START STOP UNIT (SBC-4 5.31), of a unit that has nothing to start or stop.
//!
//! A stop makes the cache durable, which is what an initiator that powers down is after, but the LUN
//! goes on serving: it may have other initiators, and one must not switch it off for all.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::finish_without_data;
use crate::{Op, ScsiDisk, Sense};

/// What a START STOP UNIT comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartStop {
    /// Start: nothing to do.
    Start,
    /// Stop with NO_FLUSH: nothing to do.
    Stop,
    /// Stop: make the cache durable.
    FlushAndStop,
}

pub(crate) fn parse_start_stop(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let power_condition = cdb.u8(4) >> 4;
    if power_condition != 0 {
        return Err(Cdb::invalid(4, 7));
    }
    if cdb.bit(4, 1) {
        // LOEJ: there is no medium to load or eject.
        return Err(Cdb::invalid(4, 1));
    }
    Ok(Op::StartStopUnit(match (cdb.bit(4, 0), cdb.bit(4, 2)) {
        (true, _) => StartStop::Start,
        (false, true) => StartStop::Stop,
        (false, false) => StartStop::FlushAndStop,
    }))
}

pub(crate) async fn start_stop<B: Backend>(disk: &ScsiDisk<B>, request: StartStop, data: DataBuf) -> Answer {
    if request == StartStop::FlushAndStop {
        disk.disk.flush().await?;
    }
    Ok(finish_without_data(data))
}
