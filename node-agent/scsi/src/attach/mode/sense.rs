//! MODE SENSE 6 and 10 (SPC-5 6.15, 6.16): header, block descriptor, pages.

use lunette_backend::Backend;

use crate::attach::mode::pages::{PAGES, Page};
use crate::attach::mode::{Mode, ModeState};
use crate::cdb::Cdb;
use crate::{Op, ScsiDisk, Sense, asc};

/// MODE SENSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSense {
    /// Whether it is the 10-byte command, with its longer header.
    pub ten: bool,
    /// DBD: no block descriptor.
    pub no_descriptor: bool,
    /// LLBAA: a long block descriptor is welcome.
    pub long_lba: bool,
    /// Which values.
    pub control: PageControl,
    /// PAGE CODE; 3Fh for all.
    pub page: u8,
    /// SUBPAGE CODE; FFh for all.
    pub subpage: u8,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

/// PC: which values of a page (SPC-5 table 143).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageControl {
    /// Those in force.
    Current,
    /// A mask of the bits that can be changed.
    Changeable,
    /// Those after a reset.
    Default,
    /// Those that survive a power cycle.
    Saved,
}

/// PAGE CODE for all pages.
const ALL_PAGES: u8 = 0x3f;
/// SUBPAGE CODE for all subpages.
const ALL_SUBPAGES: u8 = 0xff;

pub(crate) fn parse_mode_sense6(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ModeSense(ModeSense { allocation: u32::from(cdb.u8(4)), ..parse(cdb, false) }))
}

pub(crate) fn parse_mode_sense10(cdb: Cdb<'_>) -> Result<Op, Sense> {
    Ok(Op::ModeSense(ModeSense { allocation: u32::from(cdb.be16(7)), ..parse(cdb, true) }))
}

fn parse(cdb: Cdb<'_>, ten: bool) -> ModeSense {
    let control = match cdb.u8(2) >> 6 {
        0 => PageControl::Current,
        1 => PageControl::Changeable,
        2 => PageControl::Default,
        _ => PageControl::Saved,
    };
    ModeSense {
        ten,
        no_descriptor: cdb.bit(1, 3),
        long_lba: ten && cdb.bit(1, 4),
        control,
        page: cdb.u8(2) & 0x3f,
        subpage: cdb.u8(3),
        allocation: 0,
    }
}

pub(crate) fn sense<B: Backend>(disk: &ScsiDisk<B>, request: &ModeSense) -> Result<Vec<u8>, Sense> {
    let wanted = wanted(request)?;
    if request.control == PageControl::Saved && !disk.mode.saves() {
        return Err(Sense::illegal(asc::SAVING_PARAMETERS_NOT_SUPPORTED));
    }
    let pages: Vec<u8> = wanted.into_iter().flat_map(|page| values(&disk.mode, page, request.control)).collect();
    let descriptor = block_descriptor(disk, request);
    let header = header(disk, request, descriptor.len(), pages.len());
    Ok([header, descriptor, pages].concat())
}

/// The pages that are asked for; one that does not exist is an error.
fn wanted(request: &ModeSense) -> Result<Vec<&'static Page>, Sense> {
    let (code, subpage) = (request.page, request.subpage);
    let of_code = |page: &&Page| code == ALL_PAGES || page.code == code;
    let of_subpage = |page: &&Page| subpage == ALL_SUBPAGES || page.subpage == subpage;
    if !PAGES.iter().any(|page| of_code(&page)) {
        return Err(Cdb::invalid(2, 5));
    }
    if code == ALL_PAGES && subpage != 0 && subpage != ALL_SUBPAGES {
        return Err(Cdb::invalid(3, 7));
    }
    let pages: Vec<_> = PAGES.iter().filter(of_code).filter(of_subpage).collect();
    if pages.is_empty() { Err(Cdb::invalid(3, 7)) } else { Ok(pages) }
}

fn values(mode: &Mode, page: &Page, control: PageControl) -> Vec<u8> {
    match control {
        PageControl::Changeable => page.mask(mode.changeable(), mode.saves()),
        PageControl::Default => page.show(mode.shown(ModeState::default()), mode.saves()),
        PageControl::Current | PageControl::Saved => page.show(mode.shown(mode.state.get()), mode.saves()),
    }
}

/// MODE DATA LENGTH counts the bytes after itself, also those that the allocation length cuts off.
fn header<B: Backend>(disk: &ScsiDisk<B>, request: &ModeSense, descriptor: usize, pages: usize) -> Vec<u8> {
    let byte = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
    if !request.ten {
        return vec![byte(3 + descriptor + pages), 0, device_specific(disk), byte(descriptor)];
    }
    let [high, low] = u16::try_from(6 + descriptor + pages).unwrap_or(u16::MAX).to_be_bytes();
    let long = u8::from(descriptor == 16);
    vec![high, low, 0, device_specific(disk), long, 0, 0, byte(descriptor)]
}

/// WP and DPOFUA (SBC-4 6.5.1).
fn device_specific<B: Backend>(disk: &ScsiDisk<B>) -> u8 {
    const WP: u8 = 0x80;
    const DPOFUA: u8 = 0x10;
    if disk.check_writable().is_err() { WP | DPOFUA } else { DPOFUA }
}

/// The short descriptor, or with LLBAA the long one (SBC-4 6.5.2).
fn block_descriptor<B: Backend>(disk: &ScsiDisk<B>, request: &ModeSense) -> Vec<u8> {
    let (blocks, size) = (disk.capacity(), disk.geometry().block_size);
    if request.no_descriptor {
        Vec::new()
    } else if request.long_lba {
        [&blocks.to_be_bytes()[..], &[0; 4], &size.to_be_bytes()].concat()
    } else {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        // The length has three bytes; 4096 and 512 leave the first of the four at zero, as reserved.
        [blocks.to_be_bytes(), size.to_be_bytes()].concat()
    }
}
