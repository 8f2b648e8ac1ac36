//! The figures as one table: for the terminal, and for the book's page between its marks.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use lunette_bed::{Kernel, Result};

use super::kept::{Kept, Line};
use super::load::{FABRICS, Fabric, LOADS, Load};
use super::sample::Cost;
use super::server::{LEAST, LEAST_DIRECT, YARDSTICK, YARDSTICK_DIRECT};

/// The page that the figures belong to, in the checkout.
const PAGE: &str = "docs/performance.md";
const HEADS: [&str; 7] = [
    "load",
    "target",
    "1000 instructions",
    "of the server",
    "its system calls",
    "context switches (its own)",
    "IOPS ratio",
];

const HEADS_BESIDE_THE_LEAST: [&str; 5] = ["load", "Lunette", "floor", "more in all", "more in the server"];

/// One measurement.
#[derive(Debug, Clone)]
struct Row {
    server: &'static str,
    fabric: Fabric,
    load: Load,
    cost: Cost,
}

/// All measurements on one kernel.
#[derive(Debug)]
pub struct Figures {
    kernel: Kernel,
    rows: Vec<Row>,
}

impl Figures {
    /// None yet.
    #[cfg(test)]
    fn new(kernel: Kernel) -> Figures {
        Figures { kernel, rows: Vec::new() }
    }

    /// What is known of these lines.
    pub fn of(kernel: Kernel, lines: &[Line], kept: &Kept) -> Figures {
        let row = |line: &Line| {
            let cost = kept.find(line)?;
            Some(Row { server: line.server.name, fabric: line.fabric, load: line.load, cost })
        };
        Figures { kernel, rows: lines.iter().filter_map(row).collect() }
    }

    /// Takes one in.
    #[cfg(test)]
    fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// How many lines are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every figure, grouped by load: a Markdown table that reads well as plain text.
    pub fn table(&self) -> String {
        let mut lines = vec![HEADS.map(str::to_owned)];
        for fabric in FABRICS {
            for load in LOADS {
                lines.extend(self.group(fabric, load));
            }
        }
        aligned(&lines, 2)
    }

    /// Lunette beside the least that a server can do, both in thousands of instructions, the server's part in brackets.
    pub fn beside_the_least(&self) -> String {
        let mut lines = vec![HEADS_BESIDE_THE_LEAST.map(str::to_owned)];
        for (ours, least, note) in [(YARDSTICK, LEAST, ""), (YARDSTICK_DIRECT, LEAST_DIRECT, ", past the page cache")] {
            let of = |server| self.rows.iter().filter(move |row| row.server == server);
            for row in of(ours) {
                let same = of(least).find(|other| other.fabric == row.fabric && other.load == row.load);
                lines.extend(same.and_then(|least| beside(row, least, note)));
            }
        }
        aligned(&lines, 1)
    }

    fn group(&self, fabric: Fabric, load: Load) -> Vec<[String; 7]> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.fabric == fabric && row.load == load).collect();
        let yardstick = rows.iter().find(|row| row.server == YARDSTICK).map(|row| row.cost.rate);
        let name = |number| if number == 0 { format!("{fabric}, {}", load.name) } else { String::new() };
        rows.iter().enumerate().map(|(number, row)| line(name(number), row, yardstick)).collect()
    }

    /// Puts the tables into the book's page, in the place of those of this kernel that stand there.
    pub fn write(&self, checkout: &Path) -> Result<()> {
        let path = checkout.join(PAGE);
        let page = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let page = replaced(&page, &format!("<!-- figures of Linux {} -->\n", self.kernel), &self.table())?;
        let mark = format!("<!-- beside the floor on Linux {} -->\n", self.kernel);
        let page = replaced(&page, &mark, &self.beside_the_least())?;
        std::fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
        println!("written to {PAGE}");
        Ok(())
    }
}

fn line(name: String, row: &Row, yardstick: Option<f64>) -> [String; 7] {
    let cost = &row.cost;
    let none = || "–".to_owned();
    let own = cost.server;
    [
        name,
        row.server.to_owned(),
        format!("{:.1}", cost.whole / 1000.0),
        own.map_or_else(none, |own| format!("{:.1}", own.instructions / 1000.0)),
        own.map_or_else(none, |own| format!("{:.2}", own.calls)),
        own.map_or_else(
            || format!("{:.2}", cost.switches),
            |own| format!("{:.2} ({:.2})", cost.switches, own.switches),
        ),
        yardstick.map_or_else(none, |yardstick| format!("{:.2}", cost.rate / yardstick)),
    ]
}

/// One load on both; nothing where a server's part is not known.
fn beside(ours: &Row, least: &Row, note: &str) -> Option<[String; 5]> {
    let shown = |row: &Row| {
        let own = row.cost.server?.instructions / 1000.0;
        Some(format!("{:.1} [{own:.1}]", row.cost.whole / 1000.0))
    };
    let more = |ours: f64, least: f64| format!("{:+.0} %", (ours / least - 1.0) * 100.0);
    let (own, own_least) = (ours.cost.server?.instructions, least.cost.server?.instructions);
    let load = format!("{}, {}{note}", ours.fabric, ours.load.name);
    Some([load, shown(ours)?, shown(least)?, more(ours.cost.whole, least.cost.whole), more(own, own_least)])
}

/// Columns of equal width, all but the first `names` to the right.
fn aligned<const N: usize>(lines: &[[String; N]], names: usize) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut table = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (text, width)) in line.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ =
                if column < names { write!(table, "| {text:<width$} ") } else { write!(table, "| {text:>width$} ") };
        }
        table.push_str("|\n");
        if number == 0 {
            table.push_str(&rule(&widths, names));
        }
    }
    table
}

fn rule(widths: &[usize], names: usize) -> String {
    let column = |(column, width): (usize, &usize)| {
        if column < names { format!("|{}", "-".repeat(width + 2)) } else { format!("|{}:", "-".repeat(width + 1)) }
    };
    widths.iter().enumerate().map(column).collect::<String>() + "|\n"
}

/// A page whose lines between `mark` and the next blank line are `table`.
fn replaced(page: &str, mark: &str, table: &str) -> Result<String> {
    let Some((before, rest)) = page.split_once(mark) else {
        bail!("{PAGE} has no line {:?} to write the figures under: put it back", mark.trim());
    };
    let after = rest.find("\n\n").map_or("", |end| &rest[end + 1..]);
    Ok(format!("{before}{mark}{table}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::sample::ServerCost;

    fn row(server: &'static str, whole: f64, own: bool) -> Row {
        let cost = ServerCost { instructions: 4_000.0, calls: 2.5, switches: 0.5 };
        let cost = Cost { whole, switches: 1.0, rate: 1e9 / whole, server: own.then_some(cost) };
        Row { server, fabric: Fabric::Loop, load: LOADS[0], cost }
    }

    #[test]
    fn rows_are_grouped_by_load_and_compared_with_lunette() {
        let mut figures = Figures::new(Kernel::default());
        figures.add(row("Lunette", 10_000.0, true));
        figures.add(row("LIO fileio", 20_000.0, false));
        let table = figures.table();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(
            lines[2][1..8],
            ["loop, random read 4k, depth 1", "Lunette", "10.0", "4.0", "2.50", "1.00 (0.50)", "1.00"]
        );
        assert_eq!(lines[3][1..8], ["", "LIO fileio", "20.0", "–", "–", "1.00", "0.50"]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn lunette_stands_beside_the_least_that_a_server_can_do() {
        let mut figures = Figures::new(Kernel::default());
        figures.add(row(YARDSTICK, 11_000.0, true));
        figures.add(row(LEAST, 10_000.0, true));
        figures.add(row(YARDSTICK_DIRECT, 9_000.0, true));
        let table = figures.beside_the_least();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
        assert_eq!(lines[2][1..6], ["loop, random read 4k, depth 1", "11.0 [4.0]", "10.0 [4.0]", "+10 %", "+0 %"]);
        assert_eq!(lines.len(), 3, "nothing is said of what has nothing to stand beside");
    }

    #[test]
    fn only_the_table_under_its_own_mark_is_replaced() {
        let page = "a\n<!-- one -->\nold\nold\n\nb\n<!-- two -->\nkept\n";
        let new = replaced(page, "<!-- one -->\n", "new\n").expect("the mark is there");
        assert_eq!(new, "a\n<!-- one -->\nnew\n\nb\n<!-- two -->\nkept\n");
        assert!(replaced(page, "<!-- three -->\n", "new\n").is_err());
    }
}
