//! EXTENDED COPY, of both kinds: carries out the segments of a list, one after the other.

use std::time::Instant;

use lunette_backend::{Backend, IoError, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::copy::blocks::copy_blocks;
use crate::copy::list::{self, CopyList, aborted};
use crate::copy::results::Running;
use crate::disk::Answer;
use crate::parameters::parameter_list;
use crate::refusal::Refusal;
use crate::{Op, Outcome, ScsiDisk, Sense, Status, asc};

/// EXTENDED COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCopy {
    /// Whether it is the command with list identifiers of four bytes (LID4).
    pub long: bool,
    /// PARAMETER LIST LENGTH.
    pub len: u32,
}

/// Service actions.
const LID1: u8 = 0x00;
const LID4: u8 = 0x01;

/// Far more than a list of as many descriptors as are allowed; what is longer is refused unread.
const LONGEST_LIST: u32 = 1 << 16;

pub(crate) fn parse_extended_copy_lid1(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ExtendedCopy(ExtendedCopy { long: false, len: cdb.be32(10) }))
}

pub(crate) fn parse_extended_copy_lid4(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ExtendedCopy(ExtendedCopy { long: true, len: cdb.be32(10) }))
}

pub(crate) async fn extended_copy<B: Backend>(disk: &ScsiDisk<B>, copy: ExtendedCopy, data: DataBuf) -> Answer {
    disk.check_writable()?;
    if copy.len == 0 {
        return Ok(Outcome::good());
    }
    if copy.len > LONGEST_LIST {
        return Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR).into());
    }
    let list = list::read(disk, &parameter_list(&data, copy.len)?, copy.long)?;
    drop(data);
    let action = if copy.long { LID4 } else { LID1 };
    let Some(running) = disk.copies.begin(list.id, action, Instant::now()) else {
        return Ok(Outcome::status(Status::Busy));
    };
    let copied = copy_segments(disk, &list, &running).await;
    let failure = copied.as_ref().err().map(Refusal::sense);
    running.end(failure, Instant::now());
    copied.map(|()| Outcome::good())
}

async fn copy_segments<B: Backend>(disk: &ScsiDisk<B>, list: &CopyList, running: &Running<'_>) -> Result<(), Refusal> {
    for (number, segment) in (0..).zip(&list.segments) {
        let copied = copy_blocks(disk, segment.source, segment.target.at, running, || Ok(())).await;
        copied.map_err(|refusal| in_segment(refusal, number))?;
        running.add_segment();
    }
    Ok(())
}

/// A fault of the storage in the midst of a copy aborts the copy. Storage that is busy or out of reach,
/// though, is said as for every other command: initiators know what to do about it.
pub fn in_segment(refusal: Refusal, number: u16) -> Refusal {
    match refusal {
        Refusal::Storage(error) if is_fault(&error) => {
            Refusal::StorageAs(error, aborted(asc::THIRD_PARTY_DEVICE_FAILURE, number))
        }
        other => other,
    }
}

fn is_fault(error: &IoError) -> bool {
    use IoErrorKind::{Internal, MediumRead, MediumWrite, NoSpace, OutOfRange, Unsupported};
    matches!(error.kind, Internal | MediumRead | MediumWrite | NoSpace | OutOfRange | Unsupported)
}
