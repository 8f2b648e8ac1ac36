//! What is written elsewhere of the metrics, compared with what there is.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::status::Board;

/// The page of a node that serves nothing: all families, without series.
fn families() -> String {
    let node = node::Figures {
        kernel: node::Kernel::default(),
        pools: BTreeMap::new(),
        luns: Vec::new(),
        steps: node::steps(&Board::default()),
    };
    let mut registry = Registry::with_prefix("lunette");
    registry.register_collector(Box::new(node));
    registry.register_collector(Box::new(lun::Figures::of(&Board::default())));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    page
}

/// A family's own name, and those that its series have.
fn names(page: &str) -> Vec<(&str, BTreeSet<String>)> {
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let series = |(name, kind): (&str, &str)| -> BTreeSet<String> {
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_count", "_sum"],
            "info" => &["_info"],
            _ => &[""],
        };
        endings.iter().map(|ending| format!("{name}{ending}")).collect()
    };
    typed.map(|(name, kind)| (name, series((name, kind)))).collect()
}

/// The metrics that a text names, but for the operator's.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("lunette_") && !word.starts_with("lunette_operator_")).collect()
}

fn file(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn dashboards_and_alerts_ask_only_for_what_is_counted() {
    let page = families();
    let all: BTreeSet<String> = names(&page).into_iter().flat_map(|(_, series)| series).collect();
    for path in ["charts/lunette/dashboards/luns.json", "charts/lunette/templates/monitoring/prometheusrule.yaml"] {
        let text = file(path);
        let (named, known) = (named(&text), |name: &&str| all.contains(*name));
        assert!(!named.is_empty(), "{path} is about LUNs");
        assert!(
            named.iter().all(known),
            "{path} names {:?}",
            named.iter().filter(|name| !known(name)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn every_metric_is_explained_and_none_that_there_is_not() {
    let (page, text) = (families(), file("docs/observe.md"));
    let (mut unknown, names) = (named(&text), names(&page));
    for (family, series) in &names {
        let explained = series.iter().map(String::as_str).chain([*family]).filter(|name| unknown.remove(name)).count();
        assert!(explained > 0, "docs/observe.md does not explain {family}");
    }
    assert!(unknown.is_empty(), "docs/observe.md names {unknown:?}");
}
