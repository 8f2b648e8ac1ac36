//! The operator's metrics, in the OpenMetrics text format. Labels are bounded: no object's name is one.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::error::ErrorKind;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabel {
    kind: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<KindLabel, Counter>,
    errors: Family<ErrorLabel, Counter>,
    seconds: Family<KindLabel, Histogram, fn() -> Histogram>,
    placement_failures: Family<ReasonLabel, Counter>,
    is_leader: Gauge,
    luns: Family<StateLabel, Gauge>,
    watch_errors: Family<KindLabel, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn duration_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 8))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("lunette_operator"),
            reconciles: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(duration_histogram),
            placement_failures: Family::default(),
            is_leader: Gauge::default(),
            luns: Family::default(),
            watch_errors: Family::default(),
        };
        metrics.register();
        for kind in ["Lun", "LunPool"] {
            for error in ErrorKind::ALL {
                drop(metrics.errors.get_or_create(&ErrorLabel { kind, error: error.name() }));
            }
        }
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("reconciles", "Reconciles that ended, by kind of object", self.reconciles.clone());
        registry.register("reconcile_errors", "Reconciles that failed, by kind of failure", self.errors.clone());
        registry.register("reconcile_seconds", "Seconds that a reconcile took", self.seconds.clone());
        registry.register("placement_failures", "Luns for which no node was found", self.placement_failures.clone());
        registry.register("is_leader", "1 while this instance is the one that writes", self.is_leader.clone());
        registry.register("luns", "Luns, by state", self.luns.clone());
        registry.register("watch_errors", "Watches that broke and were taken up again", self.watch_errors.clone());
    }

    /// Notes a reconcile of that kind of object.
    pub fn reconciled(&self, kind: &'static str, took: Duration) {
        self.reconciles.get_or_create(&KindLabel { kind }).inc();
        self.seconds.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
    }

    /// Notes a failed one.
    pub fn failed(&self, kind: &'static str, error: ErrorKind) {
        self.errors.get_or_create(&ErrorLabel { kind, error: error.name() }).inc();
    }

    /// Notes a Lun without a node.
    pub fn not_placed(&self, reason: &'static str) {
        self.placement_failures.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Notes whether this instance leads.
    pub fn leads(&self, yes: bool) {
        self.is_leader.set(i64::from(yes));
    }

    /// Notes a watch that broke.
    pub fn watch_broke(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&KindLabel { kind }).inc();
    }

    /// Notes how many Luns are in a state.
    pub fn luns_in(&self, state: &'static str, count: usize) {
        self.luns.get_or_create(&StateLabel { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The metrics as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("cannot format the metrics");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.reconciled("Lun", Duration::from_millis(3));
        metrics.failed("Lun", ErrorKind::Conflict);
        metrics.not_placed("NoNode");
        metrics.leads(true);
        metrics.luns_in("Ready", 2);
        let text = metrics.render();
        for line in [
            "lunette_operator_reconciles_total{kind=\"Lun\"} 1",
            "lunette_operator_reconcile_errors_total{kind=\"Lun\",error=\"conflict\"} 1",
            "lunette_operator_placement_failures_total{reason=\"NoNode\"} 1",
            "lunette_operator_is_leader 1",
            "lunette_operator_luns{state=\"Ready\"} 2",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn what_is_written_elsewhere_of_metrics_names_those_that_there_are() {
        let metrics = Metrics::default();
        metrics.reconciled("Lun", Duration::from_millis(3));
        metrics.not_placed("NoNode");
        metrics.luns_in("Ready", 2);
        metrics.watch_broke("Lun");
        let page = metrics.render();
        let typed: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        assert_eq!(typed.len(), 7, "each has a series:\n{page}");
        let ending = |kind| if kind == "counter" { "_total" } else { "" };
        let known: Vec<String> = typed.iter().map(|(name, kind)| format!("{name}{}", ending(*kind))).collect();
        let read = |path| std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let named = |text: &str| -> Vec<String> {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words.filter(|word| word.starts_with("lunette_operator_")).map(str::to_owned).collect()
        };
        for path in ["charts/lunette/dashboards/luns.json", "charts/lunette/templates/monitoring/prometheusrule.yaml"] {
            let named = named(&read(path));
            assert!(!named.is_empty() && named.iter().all(|name| known.contains(name)), "{path} names {named:?}");
        }
        let explained = named(&read("docs/observe.md"));
        assert!(known.iter().all(|name| explained.contains(name)), "docs/observe.md explains {explained:?}");
    }
}
