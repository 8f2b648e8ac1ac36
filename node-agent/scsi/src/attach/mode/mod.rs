//! Mode parameters (SPC-5 6.13–6.16, 7.5): what an initiator may look at and change.
//!
//! They are shared by all initiators (TST 000b), and where they are kept over a restart, every change is
//! saved, with SP or without: an initiator relies on what it set, and nobody could tell it of a restart.
//! So saved values are the current ones. No MODE PARAMETERS CHANGED unit attention is raised: a
//! ring does not tell initiators apart, and the one that made the change would most likely get it.

mod pages;
mod select;
mod sense;

pub use select::ModeSelect;
pub(crate) use select::{parse_mode_select6, parse_mode_select10, select};
pub use sense::{ModeSense, PageControl};
pub(crate) use sense::{parse_mode_sense6, parse_mode_sense10, sense};

use std::cell::Cell;

use crate::SenseFormat;
use crate::config::KeepMode;

/// The mode parameters that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeState {
    /// WCE (caching page): whether a write may be acknowledged before it is durable. Of no effect on a
    /// volume without a volatile cache.
    pub write_cache: bool,
    /// D_SENSE (control page): whether sense data is in descriptor format.
    pub descriptor_sense: bool,
    /// SWP (control page): whether writes are refused.
    pub software_write_protect: bool,
}

impl Default for ModeState {
    fn default() -> Self {
        Self { write_cache: true, descriptor_sense: false, software_write_protect: false }
    }
}

/// The mode parameters of one logical unit.
pub struct Mode {
    state: Cell<ModeState>,
    volatile_cache: bool,
    keep: Option<KeepMode>,
}

impl Mode {
    pub(crate) fn new(state: ModeState, volatile_cache: bool, keep: Option<KeepMode>) -> Self {
        Self { state: Cell::new(state), volatile_cache, keep }
    }

    /// WCE as it is in force.
    pub(crate) fn write_cache(&self) -> bool {
        self.volatile_cache && self.state.get().write_cache
    }

    pub(crate) fn software_write_protect(&self) -> bool {
        self.state.get().software_write_protect
    }

    pub(crate) fn sense_format(&self) -> SenseFormat {
        if self.state.get().descriptor_sense { SenseFormat::Descriptor } else { SenseFormat::Fixed }
    }

    /// Whether changes are saved.
    fn saves(&self) -> bool {
        self.keep.is_some()
    }

    /// The state as pages show it.
    fn shown(&self, state: ModeState) -> ModeState {
        ModeState { write_cache: self.volatile_cache && state.write_cache, ..state }
    }

    /// Which bits can be changed: those that an initiator would go on relying on after a restart only
    /// where they are kept.
    fn changeable(&self) -> ModeState {
        let kept = self.keep.is_some();
        ModeState { write_cache: kept && self.volatile_cache, descriptor_sense: true, software_write_protect: kept }
    }
}
