//! Alerts and dashboards, before Prometheus' own parser and evaluation: it takes the rules, raises each alert when it should and
//! none when all is well, and understands what the dashboards ask. `alerts.yaml` says what agents and the operator tell
//! meanwhile; that there are such metrics is for the tests of those who tell them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result, host};
use serde_json::{Value, json};

use super::helm::{Helm, documents, kind};

/// It brings `promtool`.
const PACKAGE: &str = "prometheus";
/// What Prometheus is told, minute by minute, and what it is to make of it.
const CASES: &str = include_str!("alerts.yaml");

pub fn prometheus_raises_each_alert(context: &Context) -> Result<()> {
    context.ground().install(&[PACKAGE])?;
    let bed = context.bed()?;
    let rules = rules(&Helm::alone(&bed))?;
    let untried = alerts(&rules).difference(&raised(CASES)).cloned().collect::<Vec<_>>();
    ensure!(untried.is_empty(), "alerts.yaml has no case in which {untried:?} is raised");
    std::fs::write(bed.folder().join("rules.yaml"), &rules).context("writing the rules")?;
    std::fs::write(bed.folder().join("alerts.yaml"), CASES).context("writing the cases")?;
    promtool(&["check", "rules"], &bed.folder().join("rules.yaml"))?;
    promtool(&["test", "rules"], &bed.folder().join("alerts.yaml"))
}

pub fn prometheus_understands_the_dashboards(context: &Context) -> Result<()> {
    context.ground().install(&[PACKAGE])?;
    let bed = context.bed()?;
    let dashboard = bed.ground().layout().checkout().join("charts/lunette/dashboards/luns.json");
    let read = std::fs::read_to_string(&dashboard).with_context(|| format!("reading {}", dashboard.display()))?;
    let (read, mut asked) = (serde_json::from_str(&read)?, Vec::new());
    collect(&read, &mut asked);
    ensure!(asked.len() > 10, "only {} questions were found in {}", asked.len(), dashboard.display());
    let rules: Vec<Value> = asked.iter().map(|expr| json!({"record": "panel", "expr": filled_in(expr)})).collect();
    let file = bed.folder().join("panels.yaml");
    // JSON is YAML.
    std::fs::write(&file, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string())?;
    promtool(&["check", "rules", "--lint=none"], &file)
}

/// Every `expr` in it.
fn collect<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
    match part {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str));
            fields.values().for_each(|field| collect(field, found));
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, found)),
        _ => {}
    }
}

/// As Grafana asks it.
fn filled_in(expr: &str) -> String {
    expr.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$lun", ".*")
}

/// The rules as Prometheus reads them: what the operator of Prometheus takes out of the object's `spec`.
fn rules(helm: &Helm) -> Result<String> {
    let chart = helm.chart("lunette");
    let rendered =
        helm.run(["template", "lunette", &chart, "--set", "monitoring.prometheusRule.enabled=true"])?.ok()?;
    let object = documents(&rendered).into_iter().find(|document| kind(document) == "PrometheusRule");
    let (_, spec) = object.and_then(|object| object.split_once("\nspec:\n")).context("the chart renders no rules")?;
    Ok(spec.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect())
}

fn alerts(rules: &str) -> BTreeSet<String> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

/// The alerts that a case expects: `ALERTS{alertname="NAME",…`.
fn raised(cases: &str) -> BTreeSet<String> {
    let named = cases.split("labels: 'ALERTS{alertname=\"").skip(1);
    named.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

fn promtool(verb: &[&str], file: &Path) -> Result<()> {
    host::run(Command::new("promtool").args(verb).arg(file)).map(drop)
}
