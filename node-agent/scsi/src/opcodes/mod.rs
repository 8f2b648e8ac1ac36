//! The opcode table: every command that this LUN knows, in one place.
//!
//! An entry drives parsing (its mask refuses reserved bits, its length short CDBs), REPORT SUPPORTED
//! OPERATION CODES, and the reference in the book. A new command is a line in [`OPCODES`], a parser and a
//! handler; nothing else has to know of it.

pub mod reference;
mod report;
mod table;

pub use report::{OpcodeReport, Selection};
pub(crate) use report::{parse_report_opcodes, parse_report_tmfs, report_opcodes, report_tmfs};
pub use table::OPCODES;

pub use crate::support::Support;

use crate::cdb::Cdb;
use crate::{Op, Sense, asc};

/// What a LUN must have for a command to be supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every LUN has it.
    Nothing,
    /// Storage that can give space back.
    Discard,
    /// Storage that can write several blocks as one.
    Atomic,
    /// Target port groups whose state is reported.
    PortGroups,
    /// Target port groups whose state initiators may set.
    ExplicitPortGroups,
    /// LIO's core, which always answers it for us.
    Core,
    /// LIO's core, where it emulates reservations for this LUN.
    CoreReservations,
}

/// One command.
#[derive(Debug)]
pub struct Opcode {
    /// OPERATION CODE.
    pub code: u8,
    /// SERVICE ACTION, for operation codes that have them.
    pub action: Option<u16>,
    /// Its name in SPC or SBC.
    pub name: &'static str,
    /// CDB USAGE DATA (SPC-5 6.35.3): a mask of the bits that are evaluated; the operation code and the
    /// service action stand for themselves. Its length is the CDB's.
    pub usage: &'static [u8],
    /// What it needs to be supported.
    pub need: Need,
    /// RECOMMENDED COMMAND TIMEOUT in seconds: how long an initiator had better wait.
    pub timeout: u32,
    /// The bits of the first sixteen bytes that may be set, the first byte highest: `usage` in one word.
    known: u128,
    parse: fn(Cdb<'_>) -> Result<Op, Sense>,
}

impl Opcode {
    /// Whether a LUN with these facts supports it.
    #[must_use]
    pub fn is_supported(&self, support: Support) -> bool {
        match self.need {
            Need::Nothing | Need::Core => true,
            Need::Discard => support.discard,
            Need::Atomic => support.atomic,
            Need::PortGroups => support.port_groups,
            Need::ExplicitPortGroups => support.explicit_port_groups,
            Need::CoreReservations => support.reservations,
        }
    }

    /// Whether LIO's core answers it, so that it never reaches this room.
    #[must_use]
    pub fn is_answered_by_core(&self) -> bool {
        matches!(self.need, Need::Core | Need::CoreReservations)
    }

    fn has_action_of(&self, cdb: Cdb<'_>) -> bool {
        self.action.is_none_or(|action| action == action_of(cdb))
    }

    /// Refuses a CDB that is too short, or has a bit set that the command does not know.
    fn check(&self, cdb: Cdb<'_>) -> Result<(), Sense> {
        if cdb.len() < self.usage.len() {
            return Err(Sense::illegal(asc::INVALID_FIELD_IN_CDB));
        }
        if self.code == VARIABLE_LENGTH && cdb.u8(ADDITIONAL_LENGTH) != self.usage[ADDITIONAL_LENGTH] {
            return Err(Cdb::invalid(7, 7));
        }
        if self.usage.len() <= HEAD && cdb.head().is_some_and(|head| head & !self.known == 0) {
            return Ok(());
        }
        match (1..self.usage.len()).find(|&i| cdb.u8(i) & !self.usage[i] != 0) {
            None => Ok(()),
            Some(i) => Err(reserved_bit(i, cdb.u8(i) & !self.usage[i])),
        }
    }
}

/// Bytes of [`Opcode::known`]: all of most CDBs.
const HEAD: usize = 16;

/// `usage` as one word, with the operation code's bits and all that is behind the CDB's end.
const fn known_bits(usage: &[u8]) -> u128 {
    let mut bytes = [0xff; HEAD];
    let mut i = 1;
    while i < usage.len() && i < HEAD {
        bytes[i] = usage[i];
        i += 1;
    }
    u128::from_be_bytes(bytes)
}

/// The operation code of CDBs that say their own length and have service actions of 16 bits (SPC-5 4.2.4).
const VARIABLE_LENGTH: u8 = 0x7f;
/// Where those say how many bytes follow the first eight.
const ADDITIONAL_LENGTH: usize = 7;

/// SERVICE ACTION, where this operation code has it.
fn action_of(cdb: Cdb<'_>) -> u16 {
    match cdb.u8(0) {
        VARIABLE_LENGTH => cdb.be16(8),
        _ => u16::from(cdb.u8(1) & 0x1f),
    }
}

/// INVALID FIELD IN CDB for a service action that this operation code does not have.
#[cold]
fn unknown_action(cdb: Cdb<'_>) -> Sense {
    if cdb.u8(0) == VARIABLE_LENGTH { Cdb::invalid(8, 7) } else { Cdb::invalid(1, 4) }
}

#[cold]
fn reserved_bit(byte: usize, offending: u8) -> Sense {
    let bit = u8::try_from(offending.ilog2()).unwrap_or(0);
    Cdb::invalid(u16::try_from(byte).unwrap_or(0), bit)
}

/// Parses a CDB.
pub(crate) fn parse(bytes: &[u8]) -> Result<Op, Sense> {
    let cdb = Cdb::new(bytes);
    let mut known = entries(cdb.u8(0));
    let Some(first) = known.next() else {
        return Err(Sense::illegal(asc::INVALID_OPERATION_CODE));
    };
    let entry = std::iter::once(first).chain(known).find(|entry| entry.has_action_of(cdb));
    // An unknown service action is an invalid field, unlike an unknown operation code (SPC-5 4.3.3).
    let entry = entry.ok_or_else(|| unknown_action(cdb))?;
    entry.check(cdb)?;
    (entry.parse)(cdb)
}

/// The entries of an operation code: one, or one per service action.
pub(crate) fn entries(code: u8) -> impl Iterator<Item = &'static Opcode> {
    let first = usize::from(FIRST[usize::from(code)]);
    OPCODES.get(first..).unwrap_or_default().iter().take_while(move |entry| entry.code == code)
}

/// Where an operation code's entries begin in the table; beyond its end for those that have none.
static FIRST: [u8; 256] = index();

const fn index() -> [u8; 256] {
    assert!(OPCODES.len() < u8::MAX as usize, "an index into the table fits a byte");
    let mut first = [u8::MAX; 256];
    let mut i = OPCODES.len();
    while i > 0 {
        i -= 1;
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        let at = i as u8;
        first[OPCODES[i].code as usize] = at;
    }
    first
}

#[cfg(test)]
mod tests;
