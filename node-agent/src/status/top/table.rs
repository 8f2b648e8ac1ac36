//! The picture: one line a LUN, never wider than the terminal. Pure.

use super::rates::Row;

/// A column after the LUN's name: title, width, and what is in it.
type Column = (&'static str, usize, fn(&Row) -> String);

/// All of them; the last [`STAGES`] are left out where there is no room.
const COLUMNS: [Column; 11] = [
    ("STATE", 9, |row| row.state.clone()),
    ("SESS", 4, |row| row.sessions.to_string()),
    ("READ/s", 6, |row| count(row.reads_per_second)),
    ("WRITE/s", 7, |row| count(row.writes_per_second)),
    ("MB/s", 6, |row| megabytes(row.bytes())),
    ("P50", 6, |row| time(row.latency_p50)),
    ("P99", 6, |row| time(row.latency_p99)),
    ("INFL", 5, |row| row.in_flight.to_string()),
    ("HELD", 5, |row| percent(row.held)),
    ("DONE50", 6, |row| time(row.completion_p50)),
    ("DONE99", 6, |row| time(row.completion_p99)),
];

/// What a command waits for before and after its storage.
const STAGES: usize = 3;
/// Names get so many columns before stages get any.
const NAMES_FIRST: usize = 24;

/// What a terminal has that says nothing of its size.
pub const WIDTH: usize = 80;

/// Draws the rows in that many columns and, if given, lines.
pub fn draw(rows: &[Row], width: usize, height: Option<usize>) -> String {
    let columns = columns(width);
    let name = name_width(rows, width, columns);
    let room = height.map_or(usize::MAX, |height| height.saturating_sub(4));
    let mut lines = vec![summary(rows), String::new(), line("LUN", name, columns, |(title, ..)| (*title).to_owned())];
    lines.extend(rows.iter().take(room).map(|row| line(&full_name(row), name, columns, |(.., cell)| cell(row))));
    if rows.len() > room {
        lines.push(format!("and {} more: make the terminal higher, or ask with --once", rows.len() - room));
    }
    lines.into_iter().map(|line| cut(&line, width) + "\n").collect()
}

/// Those for which there is room.
fn columns(width: usize) -> &'static [Column] {
    let all = &COLUMNS[..];
    if width >= NAMES_FIRST + taken(all) { all } else { &all[..all.len() - STAGES] }
}

/// Columns of the terminal that these take, with the gaps before them.
fn taken(columns: &[Column]) -> usize {
    columns.iter().map(|(_, width, _)| width + 1).sum()
}

/// Columns for the names: what they need, as far as there is room.
fn name_width(rows: &[Row], width: usize, columns: &[Column]) -> usize {
    let longest = rows.iter().map(|row| full_name(row).chars().count()).max().unwrap_or(0);
    longest.max(3).min(width.saturating_sub(taken(columns)).max(8))
}

fn full_name(row: &Row) -> String {
    if row.namespace.is_empty() { row.name.clone() } else { format!("{}/{}", row.namespace, row.name) }
}

fn summary(rows: &[Row]) -> String {
    let sum = |value: fn(&Row) -> f64| rows.iter().map(value).sum::<f64>();
    let running: u64 = rows.iter().map(|row| row.in_flight).sum();
    let sessions: u32 = rows.iter().map(|row| row.sessions).sum();
    format!(
        "{} LUNs, {sessions} sessions: {} reads/s, {} writes/s, {} MB/s, {running} in flight",
        rows.len(),
        count(sum(|row| row.reads_per_second)),
        count(sum(|row| row.writes_per_second)),
        megabytes(sum(Row::bytes)),
    )
}

/// The first two columns to the left, numbers to the right.
fn line(name: &str, width: usize, columns: &[Column], cell: impl Fn(&Column) -> String) -> String {
    let mut line = format!("{:<width$}", shortened(name, width));
    for (index, column) in columns.iter().enumerate() {
        let (cell, width) = (cell(column), column.1);
        let cell = if cell.is_empty() { "-" } else { &cell };
        line += &if index == 0 { format!(" {cell:<width$}") } else { format!(" {cell:>width$}") };
    }
    line.trim_end().to_owned()
}

/// Its end: names differ there more often than at their beginning.
fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let end: String = name.chars().skip(length + 1 - width).collect();
    format!("…{end}")
}

fn cut(line: &str, width: usize) -> String {
    line.chars().take(width).collect()
}

/// At most six characters.
fn count(rate: f64) -> String {
    match rate {
        ..9.95 if rate > 0.0 => format!("{rate:.1}"),
        ..99_999.5 => format!("{rate:.0}"),
        ..9_999_500.0 => format!("{:.0}k", rate / 1e3),
        _ => format!("{:.0}M", rate / 1e6),
    }
}

/// Millions of bytes, at most six characters up to a terabyte.
fn megabytes(bytes: f64) -> String {
    match bytes / 1e6 {
        ..0.05 => "0".to_owned(),
        small @ ..999.95 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    }
}

/// A part of the time; at most four characters.
fn percent(part: f64) -> String {
    if part > 0.0 && part < 0.005 { "<1%".to_owned() } else { format!("{:.0}%", part * 100.0) }
}

/// At most six characters.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(short) if short < 999.5e-6 => format!("{:.0}us", short * 1e6),
        Some(short) if short < 9.95e-3 => format!("{:.1}ms", short * 1e3),
        Some(short) if short < 0.9995 => format!("{:.0}ms", short * 1e3),
        Some(long) => format!("{long:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Row {
        Row {
            namespace: "prod".to_owned(),
            name: "db".to_owned(),
            state: "Ready".to_owned(),
            sessions: 2,
            in_flight: 31,
            reads_per_second: 12_345.6,
            writes_per_second: 678.9,
            read_bytes_per_second: 50.5e6,
            written_bytes_per_second: 2.7e6,
            latency_p50: Some(85e-6),
            latency_p99: Some(0.0123),
            completion_p50: Some(4e-6),
            completion_p99: Some(19e-6),
            held: 0.125,
            ..Row::default()
        }
    }

    fn idle(name: &str, state: &str) -> Row {
        Row { namespace: "prod".to_owned(), name: name.to_owned(), state: state.to_owned(), ..Row::default() }
    }

    #[test]
    fn a_busy_and_an_idle_lun_at_eighty_columns() {
        let rows = [busy(), idle("pvc-3fa85f64-5717-4562-b3fc-2c963f66afa6", "Exporting")];
        let drawn = "\
2 LUNs, 2 sessions: 12346 reads/s, 679 writes/s, 53.2 MB/s, 31 in flight

LUN                     STATE     SESS READ/s WRITE/s   MB/s    P50    P99  INFL
prod/db                 Ready        2  12346     679   53.2   85us   12ms    31
…4562-b3fc-2c963f66afa6 Exporting    0      0       0      0      -      -     0
";
        assert_eq!(draw(&rows, 80, None), drawn);
        assert!(drawn.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_wider_terminal_shows_the_stages_before_and_after_storage() {
        let wide = draw(&[busy(), idle("b", "Ready")], 106, None);
        let head = wide.lines().nth(2).unwrap();
        assert!(head.ends_with("P50    P99  INFL  HELD DONE50 DONE99"), "{head}");
        let rows: Vec<&str> = wide.lines().skip(3).collect();
        assert!(rows[0].ends_with("85us   12ms    31   12%    4us   19us"), "{}", rows[0]);
        assert!(rows[1].ends_with("-      -     0    0%      -      -"), "{}", rows[1]);
    }

    #[test]
    fn names_take_what_room_there_is_and_no_more_than_they_need() {
        let rows = [busy(), idle("pvc-3fa85f64-5717-4562-b3fc-2c963f66afa6", "Ready")];
        assert!(draw(&rows, 130, None).contains("prod/pvc-3fa85f64-5717-4562-b3fc-2c963f66afa6 Ready"));
        assert!(draw(&rows[..1], 120, None).contains("\nprod/db Ready "));
        assert!(draw(&rows, 20, None).lines().all(|line| line.chars().count() <= 20));
    }

    #[test]
    fn what_does_not_fit_below_is_counted() {
        let rows: Vec<Row> = (0..10).map(|n| idle(&format!("lun-{n}"), "Ready")).collect();
        let drawn = draw(&rows, 80, Some(8));
        assert_eq!(drawn.lines().count(), 8);
        assert_eq!(drawn.lines().last(), Some("and 6 more: make the terminal higher, or ask with --once"));
        assert_eq!(draw(&rows, 80, Some(14)).lines().count(), 13);
        assert!(draw(&[], 80, Some(2)).starts_with("0 LUNs"));
    }

    #[test]
    fn numbers_are_short() {
        let counts = [0.0, 0.04, 0.5, 9.94, 9.96, 99_999.4, 99_999.6, 1_234_567.0, 2e7].map(count);
        assert_eq!(counts, ["0", "0.0", "0.5", "9.9", "10", "99999", "100k", "1235k", "20M"]);
        assert_eq!([0.0, 1e4, 1e5, 999.9e6, 1e9, 123e9].map(megabytes), ["0", "0", "0.1", "999.9", "1000", "123000"]);
        assert_eq!([0.0, 0.001, 0.125, 1.0].map(percent), ["0%", "<1%", "12%", "100%"]);
        let times = [None, Some(1e-6), Some(999e-6), Some(1e-3), Some(9.9e-3), Some(0.999), Some(1.0), Some(137.0)];
        assert_eq!(times.map(time), ["-", "1us", "999us", "1.0ms", "9.9ms", "999ms", "1.0s", "137.0s"]);
    }
}
