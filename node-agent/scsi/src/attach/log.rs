//! LOG SENSE and LOG SELECT (SPC-5 6.9, 6.8): the pages that this unit has something true to say on.
//!
//! Left out on purpose: temperature (there is no device to have one), informational exceptions (none is
//! predicted).

use lunette_backend::{Backend, Space};
use lunette_iobuf::DataBuf;

use crate::attach::provisioning::THRESHOLD_SET;
use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::finish_without_data;
use crate::statistics::{Statistics, Traffic};
use crate::{Op, ScsiDisk, Sense};

/// LOG SENSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSense {
    /// Whether the values are those after a reset (PC 11b) rather than those now (PC 01b).
    pub default: bool,
    /// PAGE CODE.
    pub page: u8,
    /// SUBPAGE CODE.
    pub subpage: u8,
    /// PARAMETER POINTER: the first parameter code that is wanted.
    pub pointer: u16,
    /// ALLOCATION LENGTH.
    pub allocation: u32,
}

/// LOG SELECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSelect {
    /// PCR: counters are to begin at zero again.
    pub reset: bool,
    /// PAGE CODE; zero for all.
    pub page: u8,
    /// SUBPAGE CODE.
    pub subpage: u8,
}

/// The page of the supported pages.
const SUPPORTED: u8 = 0x00;
/// With it, the supported pages with their subpages.
const ALL_SUBPAGES: u8 = 0xff;
/// Logical Block Provisioning; only of units that are provisioned on demand and know their space.
const PROVISIONING: u8 = 0x0c;
/// General Statistics and Performance.
const STATISTICS: u8 = 0x19;

pub(crate) fn parse_log_sense(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let (control, page) = (cdb.u8(2) >> 6, cdb.u8(2) & 0x3f);
    if page != SUPPORTED && control & 1 == 0 {
        // Threshold values: there are none.
        return Err(Cdb::invalid(2, 7));
    }
    Ok(Op::LogSense(LogSense {
        default: control == 3,
        page,
        subpage: cdb.u8(3),
        pointer: cdb.be16(5),
        allocation: u32::from(cdb.be16(7)),
    }))
}

pub(crate) fn parse_log_select(cdb: Cdb<'_>) -> Result<Op, Sense> {
    if cdb.be16(7) != 0 {
        // No parameter can be set; PCR does not come with a list (SPC-5 6.8).
        return Err(Cdb::invalid(7, 7));
    }
    Ok(Op::LogSelect(LogSelect { reset: cdb.bit(1, 1), page: cdb.u8(2) & 0x3f, subpage: cdb.u8(3) }))
}

pub(crate) fn log_sense<B: Backend>(disk: &ScsiDisk<B>, sense: LogSense) -> Result<Vec<u8>, Sense> {
    check_page(disk, sense.page)?;
    match (sense.page, sense.subpage) {
        (SUPPORTED, 0) => supported_pages(disk, sense),
        (SUPPORTED, ALL_SUBPAGES) => supported_subpages(disk, sense),
        (PROVISIONING, 0) => provisioning_page(disk, sense),
        (STATISTICS, 0) => statistics_page(&disk.statistics, sense),
        _ => Err(Cdb::invalid(3, 7)),
    }
}

/// Nothing but the statistics can be reset.
pub(crate) fn log_select<B: Backend>(disk: &ScsiDisk<B>, select: LogSelect, data: DataBuf) -> Answer {
    check_page(disk, select.page)?;
    match (select.page, select.subpage) {
        (SUPPORTED | STATISTICS, 0) if select.reset => disk.statistics.reset(),
        (_, 0) => {}
        _ => return Err(Cdb::invalid(3, 7).into()),
    }
    Ok(finish_without_data(data))
}

fn check_page<B: Backend>(disk: &ScsiDisk<B>, page: u8) -> Result<(), Sense> {
    if pages(disk).contains(&page) { Ok(()) } else { Err(Cdb::invalid(2, 5)) }
}

/// The pages of this unit, in ascending order.
fn pages<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let all = [SUPPORTED, PROVISIONING, STATISTICS];
    all.into_iter().filter(|page| *page != PROVISIONING || disk.space().is_some()).collect()
}

fn supported_pages<B: Backend>(disk: &ScsiDisk<B>, sense: LogSense) -> Result<Vec<u8>, Sense> {
    no_parameters(sense)?;
    Ok(whole(SUPPORTED, 0, &pages(disk)))
}

fn supported_subpages<B: Backend>(disk: &ScsiDisk<B>, sense: LogSense) -> Result<Vec<u8>, Sense> {
    const SPF: u8 = 0x40;
    no_parameters(sense)?;
    let mut listed: Vec<_> = pages(disk).into_iter().flat_map(|page| [page, 0]).collect();
    listed.splice(2..2, [SUPPORTED, ALL_SUBPAGES]);
    Ok(whole(SPF | SUPPORTED, ALL_SUBPAGES, &listed))
}

/// A page with its header.
fn whole(page: u8, subpage: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[page, subpage, high, low], body].concat()
}

/// A page of parameters, from the one that the pointer says on.
fn parameter_page(page: u8, parameters: &[(u16, Vec<u8>)], sense: LogSense) -> Result<Vec<u8>, Sense> {
    const DS: u8 = 0x80;
    let wanted = parameters.iter().filter(|(code, _)| *code >= sense.pointer);
    let body: Vec<u8> = wanted.flat_map(|(_, parameter)| parameter.clone()).collect();
    if body.is_empty() { Err(Cdb::invalid(5, 7)) } else { Ok(whole(DS | page, 0, &body)) }
}

/// Logical Block Provisioning (SBC-4 6.4.5): what the volume could still get, and what it has. The counts are a
/// list, of which there is no default.
fn provisioning_page<B: Backend>(disk: &ScsiDisk<B>, sense: LogSense) -> Result<Vec<u8>, Sense> {
    /// SCOPE: of this unit alone, or of others too.
    const DEDICATED: u8 = 1;
    const SHARED: u8 = 2;
    let Space { used, available } = disk.space().unwrap_or_default();
    let (used, available) = (used.div_ceil(THRESHOLD_SET), available / THRESHOLD_SET);
    let parameters = [(1, resource_count(1, available, SHARED)), (2, resource_count(2, used, DEDICATED))];
    parameter_page(PROVISIONING, &parameters, sense)
}

/// A count of threshold sets.
fn resource_count(code: u8, count: u64, scope: u8) -> Vec<u8> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    [&[0, code, TSD | BINARY_LIST, 8], &count.to_be_bytes()[..], &[scope, 0, 0, 0]].concat()
}

/// A page without parameters has none to point at.
fn no_parameters(sense: LogSense) -> Result<(), Sense> {
    if sense.pointer == 0 { Ok(()) } else { Err(Cdb::invalid(5, 7)) }
}

/// General Statistics and Performance (SPC-5 7.3.9). Processing times are not measured: every interval is
/// said to be of no length, so that their counts of zero are true.
fn statistics_page(statistics: &Statistics, sense: LogSense) -> Result<Vec<u8>, Sense> {
    let (read, written) = match sense.default {
        true => (Traffic::default(), Traffic::default()),
        false => (statistics.read(), statistics.written()),
    };
    let parameters = [(1, access_statistics(read, written)), (3, time_interval())];
    parameter_page(STATISTICS, &parameters, sense)
}

/// TSD in a parameter control byte: the unit does not save it.
const TSD: u8 = 0x20;
/// FORMAT AND LINKING in a parameter control byte.
const BINARY_LIST: u8 = 0x03;

/// General Access Statistics and Performance, parameter 0001h.
fn access_statistics(read: Traffic, written: Traffic) -> Vec<u8> {
    const UNBOUNDED_COUNTER: u8 = 0x02;
    let counted = [read.commands, written.commands, written.blocks, read.blocks];
    let mut p = vec![0, 1, TSD | UNBOUNDED_COUNTER, 0x40];
    p.extend(counted.iter().flat_map(|counter| counter.to_be_bytes()));
    p.resize(4 + 0x40, 0);
    p
}

/// Time Interval, parameter 0003h: of no length.
fn time_interval() -> Vec<u8> {
    let mut p = vec![0, 3, TSD | BINARY_LIST, 8];
    p.resize(12, 0);
    p
}
