//! The opcode table as the book prints it: `docs/reference/scsi.md` holds it between two marks.
//!
//! `make reference` writes it, and a test fails where the file differs.

use std::fmt::Write as _;

use super::{Need, OPCODES, Opcode};

/// Before the table, in the book.
const BEGIN: &str = "<!-- generated from node-agent/scsi/src/opcodes/table.rs by `make reference` -->\n";
/// After it.
const END: &str = "<!-- end of what is generated -->";

/// The table in Markdown.
#[must_use]
pub fn table() -> String {
    let head = "| code | action | command | CDB | who answers | needs | time |\n|---|---|---|---|---|---|---|\n";
    OPCODES.iter().fold(head.to_owned(), |mut table, entry| {
        // A String takes everything.
        let _ = writeln!(table, "{}", row(entry));
        table
    })
}

fn row(entry: &Opcode) -> String {
    let action = match entry.action {
        Some(action) if action > 0xff || entry.code == super::VARIABLE_LENGTH => format!("{action:04X}h"),
        Some(action) => format!("{action:02X}h"),
        None => String::new(),
    };
    let who = if entry.is_answered_by_core() { "LIO" } else { "Lunette" };
    let needs = match entry.need {
        Need::Nothing | Need::Core => "",
        Need::Discard => "a volume that gives space back",
        Need::Atomic => "a volume with atomic writes",
        Need::PortGroups => "target port groups",
        Need::ExplicitPortGroups => "target port groups that initiators may set",
        Need::CoreReservations => "`emulate_pr`",
    };
    let (code, name, len, time) = (entry.code, entry.name, entry.usage.len(), entry.timeout);
    format!("| {code:02X}h | {action} | {name} | {len} | {who} | {needs} | {time} s |")
}

/// `page` with the table of today between its marks, unless it has none.
#[must_use]
pub fn renewed(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", table()))
}
