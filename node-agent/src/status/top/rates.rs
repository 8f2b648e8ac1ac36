//! From two samples to rates. Pure.

use std::collections::HashMap;

use serde::Serialize;

use super::sample::{LunSample, Sample};

/// What happened on one LUN between two samples, by the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub namespace: String,
    pub name: String,
    pub state: String,
    pub sessions: u32,
    pub in_flight: u64,
    pub reads_per_second: f64,
    pub writes_per_second: f64,
    pub others_per_second: f64,
    pub errors_per_second: f64,
    pub read_bytes_per_second: f64,
    pub written_bytes_per_second: f64,
    /// Seconds that half of the commands took no longer than, from the ring to their answer; absent without
    /// commands.
    pub latency_p50: Option<f64>,
    /// The same for 99 of 100 commands.
    pub latency_p99: Option<f64>,
    /// Seconds that half of the answers took no longer than until the kernel had them.
    pub completion_p50: Option<f64>,
    /// The same for 99 of 100.
    pub completion_p99: Option<f64>,
    /// Which part of the time `spec.qos` held commands up: 0 to 1.
    pub held: f64,
    /// Threads that were started after the first, ever.
    pub restarts: u64,
}

impl Row {
    /// Reads and writes a second.
    pub fn iops(&self) -> f64 {
        self.reads_per_second + self.writes_per_second
    }

    /// Bytes a second, both ways.
    pub fn bytes(&self) -> f64 {
        self.read_bytes_per_second + self.written_bytes_per_second
    }
}

/// A row for each LUN of the later sample, the busiest first. One that is new, or whose counts began anew with
/// another agent, has rates since then.
pub fn rows(before: &Sample, after: &Sample) -> Vec<Row> {
    let known: HashMap<&str, &LunSample> = before.luns.iter().map(|lun| (lun.uid.as_str(), lun)).collect();
    let seconds = seconds(after.at.saturating_sub(before.at).max(1));
    let nothing = LunSample::default();
    let row = |lun: &LunSample| {
        let then = known.get(lun.uid.as_str()).filter(|then| continues(then, lun));
        row(then.unwrap_or(&&nothing), lun, seconds)
    };
    let mut rows: Vec<Row> = after.luns.iter().map(row).collect();
    rows.sort_by(|a, b| b.iops().total_cmp(&a.iops()));
    rows
}

fn continues(then: &LunSample, now: &LunSample) -> bool {
    then.reads <= now.reads && then.writes <= now.writes && then.others <= now.others
}

fn row(then: &LunSample, now: &LunSample, seconds: f64) -> Row {
    let rate = |count: fn(&LunSample) -> u64| float(count(now).saturating_sub(count(then))) / seconds;
    let latency = since(&then.latency, &now.latency);
    let completion = since(&then.completion, &now.completion);
    Row {
        namespace: now.namespace.clone(),
        name: now.name.clone(),
        state: now.state.clone(),
        sessions: now.sessions,
        in_flight: now.in_flight,
        reads_per_second: rate(|lun| lun.reads),
        writes_per_second: rate(|lun| lun.writes),
        others_per_second: rate(|lun| lun.others),
        errors_per_second: rate(|lun| lun.errors),
        read_bytes_per_second: rate(|lun| lun.read_bytes),
        written_bytes_per_second: rate(|lun| lun.written_bytes),
        latency_p50: quantile(&latency, 50),
        latency_p99: quantile(&latency, 99),
        completion_p50: quantile(&completion, 50),
        completion_p99: quantile(&completion, 99),
        held: (rate(|lun| lun.held) / 1e9).min(1.0),
        restarts: now.restarts,
    }
}

/// The commands of `now` that are not in `then`, by upper bound.
fn since(then: &[(u64, u64)], now: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let before: HashMap<u64, u64> = then.iter().copied().collect();
    let fresh = |(bound, count): &(u64, u64)| {
        let fresh = count.saturating_sub(before.get(bound).copied().unwrap_or(0));
        (fresh > 0).then_some((*bound, fresh))
    };
    let mut fresh: Vec<(u64, u64)> = now.iter().filter_map(fresh).collect();
    fresh.sort_unstable();
    fresh
}

/// Seconds that so many of a hundred commands took no longer than.
fn quantile(latency: &[(u64, u64)], percent: u64) -> Option<f64> {
    let all: u64 = latency.iter().map(|(_, count)| count).sum();
    let mut left = (u128::from(all) * u128::from(percent)).div_ceil(100);
    for (bound, count) in latency {
        left = left.saturating_sub(u128::from(*count));
        if left == 0 {
            return Some(seconds(*bound));
        }
    }
    None
}

fn seconds(nanos: u64) -> f64 {
    std::time::Duration::from_nanos(nanos).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "rates are for people")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, luns: Vec<LunSample>) -> Sample {
        Sample { at: at * 1_000_000_000, luns }
    }

    fn lun(uid: &str, reads: u64) -> LunSample {
        let latency = if reads == 0 { vec![] } else { vec![(1280, reads)] };
        LunSample { uid: uid.to_owned(), name: uid.to_owned(), reads, latency, ..LunSample::default() }
    }

    #[test]
    fn rates_are_what_happened_between_two_samples_and_the_busiest_comes_first() {
        let before = sample(10, vec![lun("a", 100), lun("b", 50)]);
        let after = sample(12, vec![lun("a", 110), LunSample { held: 1_000_000_000, ..lun("b", 250) }]);
        let rows = rows(&before, &after);
        let seen: Vec<(&str, f64, f64)> =
            rows.iter().map(|row| (row.name.as_str(), row.reads_per_second, row.held)).collect();
        assert_eq!(seen, [("b", 100.0, 0.5), ("a", 5.0, 0.0)]);
    }

    #[test]
    fn counts_that_began_anew_are_taken_from_their_beginning() {
        let rows = rows(&sample(10, vec![lun("a", 1000)]), &sample(11, vec![lun("a", 10), lun("new", 20)]));
        let rates: Vec<f64> = rows.iter().map(|row| row.reads_per_second).collect();
        assert_eq!(rates, [20.0, 10.0]);
    }

    #[test]
    fn latency_is_that_of_the_commands_in_between() {
        let then = [(1024, 1_000_000)];
        let now = [(1024, 1_000_098), (2048, 1), (1 << 20, 1)];
        let fresh = since(&then, &now);
        assert_eq!(quantile(&fresh, 50), Some(seconds(1024)));
        assert_eq!(quantile(&fresh, 99), Some(seconds(2048)));
        assert_eq!(quantile(&fresh, 100), Some(seconds(1 << 20)));
        assert_eq!(quantile(&since(&now, &now), 50), None, "no commands, no latency");
    }
}
