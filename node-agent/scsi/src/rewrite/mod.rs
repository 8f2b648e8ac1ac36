//! Commands that write the whole medium anew, SANITIZE and FORMAT UNIT, and what the unit is meanwhile.
//!
//! While one runs nothing else is done but to say so (SBC-4 4.11.2); after a sanitize operation that failed
//! nothing but another attempt is (SBC-4 4.11.4). Status comes when the work is done, with IMMED too: until
//! then nothing has been promised, so an agent that dies half-way leaves an initiator that asks again, not one
//! that believes that its data are gone.

mod format;
mod sanitize;

pub use format::Format;
pub(crate) use format::{format_unit, parse_format_unit};
pub use sanitize::{Method, Sanitize};
pub(crate) use sanitize::{
    parse_sanitize_block_erase, parse_sanitize_exit_failure_mode, parse_sanitize_overwrite, sanitize,
};

use std::cell::Cell;

use crate::{Field, Op, Sense, SenseKey, asc};

/// Whether the medium is whole.
#[derive(Default)]
pub struct Medium {
    state: Cell<State>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Whole,
    /// Being written anew; `done` in parts of 65536.
    Rewriting { what: Rewrite, done: u16 },
    /// A sanitize operation failed; `unrestricted` if EXIT FAILURE MODE may end that state (AUSE).
    Failed { unrestricted: bool },
}

/// Which command writes the medium anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rewrite {
    Format,
    Sanitize { unrestricted: bool },
}

impl Medium {
    /// Whether nothing is rewriting it, and nothing has failed to.
    #[inline]
    pub fn is_whole(&self) -> bool {
        matches!(self.state.get(), State::Whole)
    }

    /// Whether this command has to wait until the medium is whole again.
    pub fn bars(&self, op: &Op) -> bool {
        match self.state.get() {
            State::Whole => false,
            State::Rewriting { .. } => !tells_only(op),
            State::Failed { .. } => !tells_only(op) && !matches!(op, Op::Sanitize(_)),
        }
    }

    /// Whether a command has to wait although something is wrong with its CDB: one that is barred is not looked at any
    /// closer. Only one that is not known at all is refused at any time.
    #[cold]
    pub fn bars_unread(&self, cdb: &[u8], wrong: &Sense) -> bool {
        let code = cdb.first().copied().unwrap_or(0);
        match self.state.get() {
            _ if wrong.asc == asc::INVALID_OPERATION_CODE || TELLING.contains(&code) => false,
            State::Whole => false,
            State::Rewriting { .. } => true,
            State::Failed { .. } => code != SANITIZE,
        }
    }

    /// Why, unless it is whole.
    pub fn sense(&self) -> Option<Sense> {
        match self.state.get() {
            State::Whole => None,
            State::Rewriting { what, done } => {
                let code = match what {
                    Rewrite::Format => asc::FORMAT_IN_PROGRESS,
                    Rewrite::Sanitize { .. } => asc::SANITIZE_IN_PROGRESS,
                };
                Some(Sense::new(SenseKey::NotReady, code).at(Field::progress(done)))
            }
            State::Failed { .. } => Some(sanitize_failed()),
        }
    }

    /// Begins to write it anew.
    fn begin(&self, what: Rewrite) -> Rewriting<'_> {
        self.state.set(State::Rewriting { what, done: 0 });
        Rewriting { medium: self, what, succeeded: false }
    }

    fn failed(&self) -> Option<bool> {
        match self.state.get() {
            State::Failed { unrestricted } => Some(unrestricted),
            _ => None,
        }
    }
}

/// INQUIRY, REQUEST SENSE and MAINTENANCE IN, to which [`tells_only`] commands belong.
const TELLING: [u8; 3] = [0x12, 0x03, 0xa3];
const SANITIZE: u8 = 0x48;

fn sanitize_failed() -> Sense {
    Sense::new(SenseKey::MediumError, asc::SANITIZE_COMMAND_FAILED)
}

/// Commands that only tell something of the unit, which SBC-4 4.11.2 wants done at any time.
pub(crate) fn tells_only(op: &Op) -> bool {
    matches!(
        op,
        Op::Inquiry(_) | Op::RequestSense { .. } | Op::ReportSupportedOpcodes(_) | Op::ReportSupportedTmfs { .. }
    )
}

/// The medium is being written anew as long as this lives; unless it says that it succeeded, it did not.
struct Rewriting<'a> {
    medium: &'a Medium,
    what: Rewrite,
    succeeded: bool,
}

impl Rewriting<'_> {
    /// Notes how far it is, for those who ask.
    fn progress(&self, done: u128, of: u128) {
        let part = u16::try_from(done.saturating_mul(65536) / of.max(1)).unwrap_or(u16::MAX);
        self.medium.state.set(State::Rewriting { what: self.what, done: part });
    }

    fn succeed(mut self) {
        self.succeeded = true;
    }
}

impl Drop for Rewriting<'_> {
    fn drop(&mut self) {
        self.medium.state.set(match self.what {
            Rewrite::Sanitize { unrestricted } if !self.succeeded => State::Failed { unrestricted },
            _ => State::Whole,
        });
    }
}
