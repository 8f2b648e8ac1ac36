//! The mode pages, as a table: how each is made from the state, and what a new one changes in it.

use crate::attach::mode::ModeState;

/// One mode page in page_0 format: two bytes of header, then its parameters.
pub struct Page {
    /// PAGE CODE.
    pub code: u8,
    /// The whole page that shows a state.
    pub show: fn(ModeState) -> Vec<u8>,
    /// Takes the bits that can change over from a page of the right length.
    pub apply: fn(ModeState, &[u8]) -> ModeState,
}

/// The pages, in ascending order, as page 3Fh returns them.
pub const PAGES: [Page; 2] = [
    Page { code: 0x08, show: caching, apply: apply_caching },
    Page { code: 0x0a, show: control, apply: apply_control },
];

/// The page's bits that `changeable` allows to change (PC 01b): those in which a page with these bits
/// differs from one without.
pub fn mask(page: &Page, changeable: ModeState) -> Vec<u8> {
    let none = ModeState { write_cache: false, descriptor_sense: false, software_write_protect: false };
    let (with, without) = ((page.show)(changeable), (page.show)(none));
    let mut bytes: Vec<u8> = with.iter().zip(&without).map(|(a, b)| a ^ b).collect();
    bytes[..2].copy_from_slice(&with[..2]);
    bytes
}

const WCE: u8 = 0x04;
const GLTSD: u8 = 0x02;
const D_SENSE: u8 = 0x04;
/// QUEUE ALGORITHM MODIFIER 1h: unrestricted reordering.
const UNRESTRICTED: u8 = 0x10;
const SWP: u8 = 0x08;
/// TAS: aborted commands end with TASK ABORTED, as LIO does by default (`emulate_tas`).
const TAS: u8 = 0x40;

/// Caching (SBC-4 6.5.6).
fn caching(state: ModeState) -> Vec<u8> {
    let mut page = vec![0; 20];
    (page[0], page[1]) = (0x08, 0x12);
    page[2] = flag(state.write_cache, WCE);
    page
}

fn apply_caching(state: ModeState, page: &[u8]) -> ModeState {
    ModeState { write_cache: page[2] & WCE != 0, ..state }
}

/// Control (SPC-5 7.5.10).
fn control(state: ModeState) -> Vec<u8> {
    let mut page = vec![0; 12];
    (page[0], page[1]) = (0x0a, 0x0a);
    page[2] = GLTSD | flag(state.descriptor_sense, D_SENSE);
    page[3] = UNRESTRICTED;
    page[4] = flag(state.software_write_protect, SWP);
    page[5] = TAS;
    page
}

fn apply_control(state: ModeState, page: &[u8]) -> ModeState {
    ModeState { descriptor_sense: page[2] & D_SENSE != 0, software_write_protect: page[4] & SWP != 0, ..state }
}

fn flag(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}
