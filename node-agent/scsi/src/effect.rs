//! What carrying a command out does to the medium, told from its CDB: for whoever must decide whether one that
//! may have been carried out already can be carried out again.

use lunette_iobuf::DataBuf;

use crate::data::unmapped;
use crate::op::ByteCheck;
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
            Op::Write(transfer) => Self::Repeatable(vec![transfer.range]),
            Op::WriteSame(same) => Self::Repeatable(vec![same.range]),
            Op::Unmap(unmap) => {
                data.and_then(|data| unmapped(data, unmap.len).ok()).map_or(Self::Unknown, Self::Repeatable)
            }
            Op::CompareAndWrite(swap) => Self::Once(vec![swap.range]),
            Op::Verify(verify) if verify.check != ByteCheck::Readable => Self::Once(Vec::new()),
            Op::Read(_)
            | Op::Verify(_)
            | Op::SynchronizeCache(_)
            | Op::TestUnitReady
            | Op::RequestSense { .. }
            | Op::Inquiry(_)
            | Op::ReadCapacity10
            | Op::ReadCapacity16 { .. }
            | Op::ModeSense(_)
            | Op::ReportSupportedOpcodes(_)
            | Op::ReportSupportedTmfs { .. } => Self::Nothing,
            // Also commands to come, until somebody has thought of them here.
            _ => Self::Unknown,
        }
    }
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
    fn what_compares_is_done_once_and_what_sets_something_is_unknown() {
        let swap = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0];
        assert_eq!(Effect::of(&swap, None), Effect::Once(blocks(3, 1)));
        assert_eq!(Effect::of(&[0x2f, 2, 0, 0, 0, 7, 0, 0, 1, 0], None), Effect::Once(Vec::new()));
        for cdb in [[0x15, 0x10, 0, 0, 12, 0], [0x1b, 0, 0, 0, 1, 0]] {
            assert_eq!(Effect::of(&cdb, None), Effect::Unknown, "{cdb:02x?}");
        }
    }
}
