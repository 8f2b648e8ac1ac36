//! PREVENT ALLOW MEDIUM REMOVAL (SPC-5 6.18), of a medium that cannot be removed: always so, nothing to do.

use crate::cdb::Cdb;
use crate::{Op, Sense};

pub(crate) fn parse_prevent_allow(cdb: Cdb<'_>) -> Result<Op, Sense> {
    // 10b and 11b are obsolete: they were for changers.
    if cdb.bit(4, 1) { Err(Cdb::invalid(4, 1)) } else { Ok(Op::PreventAllowMediumRemoval) }
}
