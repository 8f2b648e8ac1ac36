//! What carrying a command out does to the medium, told from its CDB: for whoever must decide whether one that
//! may have been carried out already can be carried out again.

use lunette_iobuf::DataBuf;

use crate::data::unmapped;
use crate::op::{ByteCheck, WriteSame};
use crate::{LbaRange, Op};

/// What a command does to the medium, at most: it may also fail and do less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it reads, tells, flushes, or is refused.
    Nothing,
    /// It leaves the same in these blocks however often it is carried out.
    Repeatable(Vec<LbaRange>),
    /// It changes these blocks, if any, and a second time may come to something else than the first.
    Once(Vec<LbaRange>),
    /// Nobody here can tell.
    Unknown,
}

impl Effect {
    /// The effect of a CDB. `data` is what the initiator sent with it, if that is still there: without it the
    /// effect of an UNMAP is [`Effect::Unknown`].
    #[must_use]
    pub fn of(cdb: &[u8], data: Option<&DataBuf>) -> Self {
        match Op::parse(cdb) {
            Err(_) => Self::Nothing,
            Ok(op) => Self::of_op(&op, data),
        }
    }

    fn of_op(op: &Op, data: Option<&DataBuf>) -> Self {
        match op {
            // Setting bits that are set changes nothing.
            Op::Write(transfer) | Op::OrWrite(transfer) => Self::Repeatable(vec![transfer.range]),
            Op::WriteAndVerify(write) => Self::Repeatable(vec![write.range]),
            Op::WriteAtomic(range) => Self::Repeatable(vec![*range]),
            Op::WriteSame(same) => Self::Repeatable(vec![same_range(same)]),
            Op::Unmap(unmap) => {
                data.and_then(|data| unmapped(data, unmap.len).ok()).map_or(Self::Unknown, Self::Repeatable)
            }
            Op::CompareAndWrite(swap) => Self::Once(vec![swap.range]),
            Op::Verify(verify) if verify.check != ByteCheck::Readable => Self::Once(Vec::new()),
            // Sets what other initiators may have set anew since.
            Op::ModeSelect(_) => Self::Once(Vec::new()),
            // What they touch is not in the CDB: the whole medium, or what a list or a token says.
            Op::FormatUnit(_) | Op::Sanitize(_) | Op::ExtendedCopy(_) | Op::WriteUsingToken(_) => Self::Unknown,
            Op::Read(_)
            | Op::Verify(_)
            | Op::SynchronizeCache(_)
            | Op::TestUnitReady
            | Op::RequestSense { .. }
            | Op::Inquiry(_)
            | Op::ReadCapacity10
            | Op::ReadCapacity16 { .. }
            | Op::ModeSense(_)
            | Op::LogSense(_)
            | Op::PreFetch(_)
            | Op::GetLbaStatus(_)
            | Op::ReadDefectData(_)
            | Op::PreventAllowMediumRemoval
            | Op::StartStopUnit(_)
            | Op::SendDiagnostic(_)
            | Op::ReceiveDiagnosticResults { .. }
            | Op::ReportTargetPortGroups(_)
            | Op::SetTargetPortGroups { .. }
            | Op::ReportSupportedOpcodes(_)
            | Op::ReportSupportedTmfs { .. }
            | Op::CopyOperatingParameters { .. } => Self::Nothing,
            // Counters, buffers, tokens and results of copies, which end with the process: the next one begins
            // without them, whether the command is done by it or sent again.
            Op::LogSelect(_)
            | Op::ReadBuffer(_)
            | Op::WriteBuffer(_)
            | Op::PopulateToken(_)
            | Op::ReportCopy { .. }
            | Op::ReceiveRodTokenInformation { .. } => Self::Nothing,
        }
    }
}

/// A length of zero means up to the last block, of which a CDB does not know the number.
fn same_range(same: &WriteSame) -> LbaRange {
    let blocks = if same.range.blocks == 0 { u32::MAX } else { same.range.blocks };
    LbaRange { blocks, ..same.range }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(lba: u64, blocks: u32) -> Vec<LbaRange> {
        vec![LbaRange::new(lba, blocks)]
    }

    #[test]
    fn reads_flushes_and_refused_commands_change_nothing() {
        for cdb in [
            &[0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0][..],
            &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x00, 0, 0, 0, 0, 0],
            &[0x2f, 0, 0, 0, 0, 7, 0, 0, 1, 0],
            &[0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Effect::of(cdb, None), Effect::Nothing, "{cdb:02x?}");
        }
    }

    #[test]
    fn writes_of_any_kind_leave_the_same_each_time() {
        let write = [0x2a, 0, 0, 0, 0, 7, 0, 0, 3, 0];
        assert_eq!(Effect::of(&write, None), Effect::Repeatable(blocks(7, 3)));
        let same = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0];
        assert_eq!(Effect::of(&same, None), Effect::Repeatable(blocks(9, 2)));
        let or = [0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0];
        assert_eq!(Effect::of(&or, None), Effect::Repeatable(blocks(9, 2)));
        let and_verify = [0x2e, 2, 0, 0, 0, 7, 0, 0, 3, 0];
        assert_eq!(Effect::of(&and_verify, None), Effect::Repeatable(blocks(7, 3)));
        let atomic = [0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0];
        assert_eq!(Effect::of(&atomic, None), Effect::Repeatable(blocks(9, 2)));
    }

    #[test]
    fn a_write_same_up_to_the_end_may_touch_all_that_follows() {
        let same = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0];
        assert_eq!(Effect::of(&same, None), Effect::Repeatable(blocks(9, u32::MAX)));
    }

    #[test]
    fn what_ends_with_the_process_is_nothing_that_stays() {
        for cdb in [
            &[0x3b, 0x0a, 0, 0, 0, 0, 0, 0, 4, 0][..],
            &[0x4c, 2, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x1b, 0, 0, 0, 0, 0],
            &[0x1d, 4, 0, 0, 0, 0],
            &[0x83, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0],
        ] {
            assert_eq!(Effect::of(cdb, None), Effect::Nothing, "{cdb:02x?}");
        }
    }

    #[test]
    fn an_unmap_is_known_by_its_list() {
        let cdb = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0];
        assert_eq!(Effect::of(&cdb, None), Effect::Unknown);
        let mut list = [0; 24];
        (list[1], list[3], list[15], list[19]) = (22, 16, 5, 4);
        assert_eq!(Effect::of(&cdb, Some(&DataBuf::from_slice(&list))), Effect::Repeatable(blocks(5, 4)));
        assert_eq!(Effect::of(&cdb, Some(&DataBuf::empty())), Effect::Unknown, "the list did not come");
    }

    #[test]
    fn what_compares_or_sets_something_is_done_once_and_what_a_cdb_does_not_tell_is_unknown() {
        let swap = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0];
        assert_eq!(Effect::of(&swap, None), Effect::Once(blocks(3, 1)));
        assert_eq!(Effect::of(&[0x2f, 2, 0, 0, 0, 7, 0, 0, 1, 0], None), Effect::Once(Vec::new()));
        assert_eq!(Effect::of(&[0x15, 0x10, 0, 0, 12, 0], None), Effect::Once(Vec::new()));
        for cdb in [
            &[0x04, 0, 0, 0, 0, 0][..],
            &[0x48, 2, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0],
            &[0x83, 0x11, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0],
        ] {
            assert_eq!(Effect::of(cdb, None), Effect::Unknown, "{cdb:02x?}");
        }
    }
}
