//! The mode pages, as a table: how each is made from the state, and what a new one changes in it.
//!
//! Most of them cannot be changed. They say what a disk without rotation, retries, power conditions and
//! failure predictions of its own has to say, and initiators that ask for them get an answer.

use crate::attach::mode::ModeState;
use crate::sense::SENSE_LEN;

/// One mode page, in page_0 format or, with a subpage code, in sub_page format (SPC-5 7.5.8).
pub struct Page {
    /// PAGE CODE.
    pub code: u8,
    /// SUBPAGE CODE; zero for page_0 format.
    pub subpage: u8,
    /// The parameters behind the page's header, for a state.
    parameters: fn(ModeState) -> Vec<u8>,
    /// What a page with these parameters makes of a state; none for a page that never changes.
    change: Option<fn(ModeState, &[u8]) -> ModeState>,
}

/// The pages, in ascending order, as page 3Fh returns them.
pub const PAGES: [Page; 9] = [
    Page { code: 0x01, subpage: 0, parameters: error_recovery, change: None },
    Page { code: 0x08, subpage: 0, parameters: caching, change: Some(change_caching) },
    Page { code: 0x0a, subpage: 0, parameters: control, change: Some(change_control) },
    Page { code: 0x0a, subpage: 0x01, parameters: control_extension, change: None },
    Page { code: 0x0a, subpage: 0x02, parameters: application_tags, change: None },
    Page { code: 0x0a, subpage: 0x05, parameters: io_advice_hints, change: None },
    Page { code: 0x1a, subpage: 0, parameters: power_condition, change: None },
    Page { code: 0x1c, subpage: 0, parameters: informational_exceptions, change: None },
    Page { code: 0x1c, subpage: 0x02, parameters: logical_block_provisioning, change: None },
];

/// PS in the first byte of a page: its values are saved.
const PS: u8 = 0x80;
/// SPF in the first byte of a page: it is in sub_page format.
pub const SPF: u8 = 0x40;

impl Page {
    /// Bytes before the parameters.
    pub fn header_len(&self) -> usize {
        if self.subpage == 0 { 2 } else { 4 }
    }

    /// The whole page that shows a state; `saves` says whether changes are saved.
    pub fn show(&self, state: ModeState, saves: bool) -> Vec<u8> {
        let parameters = (self.parameters)(state);
        let saved = if saves && self.change.is_some() { PS } else { 0 };
        let len = u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes();
        let mut page = match self.subpage {
            0 => vec![saved | self.code, len[1]],
            subpage => vec![saved | SPF | self.code, subpage, len[0], len[1]],
        };
        page.extend(parameters);
        page
    }

    /// The page's bits that `changeable` allows to change (PC 01b): those in which a page with these bits
    /// differs from one without.
    pub fn mask(&self, changeable: ModeState, saves: bool) -> Vec<u8> {
        let none = ModeState { write_cache: false, descriptor_sense: false, software_write_protect: false };
        let (mut with, without) = (self.show(changeable, saves), self.show(none, saves));
        for (bit, other) in with.iter_mut().zip(&without).skip(self.header_len()) {
            *bit ^= other;
        }
        with
    }

    /// Takes the bits that can change over from a whole page of the right length.
    pub fn apply(&self, state: ModeState, page: &[u8]) -> ModeState {
        self.change.map_or(state, |change| change(state, &page[self.header_len()..]))
    }
}

const WCE: u8 = 0x04;
const GLTSD: u8 = 0x02;
const D_SENSE: u8 = 0x04;
/// QUEUE ALGORITHM MODIFIER 1h: unrestricted reordering.
const UNRESTRICTED: u8 = 0x10;
const SWP: u8 = 0x08;
/// TAS: aborted commands end with TASK ABORTED, as LIO does by default (`emulate_tas`).
const TAS: u8 = 0x40;

/// Read-write error recovery (SBC-4 6.5.10): no retries, reallocation or transfer of bad data of our own.
fn error_recovery(_: ModeState) -> Vec<u8> {
    vec![0; 10]
}

/// Caching (SBC-4 6.5.6).
fn caching(state: ModeState) -> Vec<u8> {
    let mut p = vec![0; 18];
    p[0] = flag(state.write_cache, WCE);
    p
}

fn change_caching(state: ModeState, p: &[u8]) -> ModeState {
    ModeState { write_cache: p[0] & WCE != 0, ..state }
}

/// Control (SPC-5 7.5.10).
fn control(state: ModeState) -> Vec<u8> {
    let descriptor_sense = flag(state.descriptor_sense, D_SENSE);
    vec![GLTSD | descriptor_sense, UNRESTRICTED, flag(state.software_write_protect, SWP), TAS, 0, 0, 0, 0, 0, 0]
}

fn change_control(state: ModeState, p: &[u8]) -> ModeState {
    ModeState { descriptor_sense: p[0] & D_SENSE != 0, software_write_protect: p[2] & SWP != 0, ..state }
}

/// Control extension (SPC-5 7.5.11): no timestamp of our own, no command priorities, and as much sense
/// data as LIO carries.
fn control_extension(_: ModeState) -> Vec<u8> {
    let mut p = vec![0; 28];
    p[2] = u8::try_from(SENSE_LEN).unwrap_or(u8::MAX);
    p
}

/// Application tag (SBC-4 6.5.3) without a descriptor: there is no protection information to tag.
fn application_tags(_: ModeState) -> Vec<u8> {
    vec![0; 12]
}

/// I/O advice hints grouping (SBC-4 6.5.8) without a descriptor: no group stands for a hint.
fn io_advice_hints(_: ModeState) -> Vec<u8> {
    vec![0; 12]
}

/// Power condition (SPC-5 7.5.16): there is none but active, and no timer.
fn power_condition(_: ModeState) -> Vec<u8> {
    vec![0; 38]
}

/// Informational exceptions control (SBC-4 6.5.9): DEXCPT, since no failure is ever predicted.
fn informational_exceptions(_: ModeState) -> Vec<u8> {
    const DEXCPT: u8 = 0x08;
    vec![DEXCPT, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Logical block provisioning (SBC-4 6.5.7) without a descriptor: no threshold can be set.
fn logical_block_provisioning(_: ModeState) -> Vec<u8> {
    vec![0; 12]
}

fn flag(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}
