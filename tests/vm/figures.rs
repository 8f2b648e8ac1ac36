//! Limits as an initiator feels them, and figures that agree with what it did.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::manifest::{lun, pool};
use super::site::{SOON, Site, agent_binary, condition, patiently, say};

/// The LUN of these tests, as metrics name it.
const LABELS: &str = "namespace=\"default\",lun=\"db\"";

pub fn metrics_agree_with_what_fio_did(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    let before = Page::of(&site)?;
    site.fio(&disk, "--rw=randwrite --bs=4k --size=4M")?;
    let after = Page::of(&site)?;
    // What has not been counted yet is not on the page.
    let grown = |series: &str| Ok::<_, anyhow::Error>(after.value(series)? - before.value(series).unwrap_or(0.0));
    let bytes = grown(&format!("lunette_lun_written_bytes_total{{{LABELS}}}"))?;
    ensure!(bytes == f64::from(4 << 20), "fio wrote 4 MiB and metrics say {bytes} bytes");
    let writes = grown(&format!("lunette_lun_operations_total{{{LABELS},op=\"write\"}}"))?;
    // The client's kernel may have joined neighbours.
    ensure!((512.0..=1024.0).contains(&writes), "fio made 1024 writes and metrics say {writes}");
    let timed = grown(&format!("lunette_lun_backend_seconds_count{{{LABELS},op=\"write\"}}"))?;
    ensure!((writes / 2.0..=writes * 2.0).contains(&timed), "{timed} writes were estimated, of {writes}");
    let failed = after.value(&format!("lunette_lun_errors_total{{{LABELS},error=\"medium_error\"}}"))?;
    ensure!(failed == 0.0, "{failed} medium errors");
    for (series, expected) in [
        (format!("lunette_lun_ready{{{LABELS}}}"), 1.0),
        (format!("lunette_lun_sessions{{{LABELS}}}"), 1.0),
        ("lunette_node_luns{state=\"Ready\"}".to_owned(), 1.0),
        ("lunette_node_kernel_ready".to_owned(), 1.0),
        ("lunette_node_pool_ready{pool=\"files\"}".to_owned(), 1.0),
    ] {
        // The agent looks for sessions now and then.
        patiently(SOON, || {
            ensure!(Page::of(&site)?.value(&series)? == expected, "{series} is not {expected}");
            Ok(())
        })?;
    }
    site.end(agent)
}

pub fn limits_hold_and_change_live(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let errors = site.errors_so_far()?;
    let (_, disk) = site.attach("db", "64Mi", ", qos: {iops: 100}")?;
    limited(&site, &disk, "randread", "4k", 100.0)?;
    change(&site, "{writeIops: 250}")?;
    limited(&site, &disk, "randwrite", "4k", 250.0)?;
    change(&site, "{bytesPerSecond: 4Mi, burstSeconds: 1}")?;
    limited(&site, &disk, "randwrite", "64k", 64.0)?;
    let page = Page::of(&site)?;
    ensure!(page.value(&format!("lunette_lun_held_seconds_total{{{LABELS}}}"))? > 1.0, "nothing was held up");
    ensure!(page.value(&format!("lunette_lun_thread_restarts_total{{{LABELS}}}"))? == 0.0, "a thread was restarted");
    let shown = site.node.must(format!("{} top --once -i 1 -o json", agent_binary(&site.bed).display()))?;
    let shown: Value = serde_json::from_str(&shown).context("top prints no JSON")?;
    ensure!(shown["luns"][0]["name"] == "db" && shown["luns"][0]["state"] == "Ready", "top shows {shown}");
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

/// Changes the LUN's limits and waits until they hold.
fn change(site: &Site, qos: &str) -> Result<()> {
    let before = site.lun("db")?["metadata"]["generation"].as_u64().context("no generation")?;
    site.apply("db.yaml", &lun("db", "64Mi", &site.client.initiator_name(), &format!(", qos: {qos}")))?;
    patiently(SOON, || {
        let lun = site.lun("db")?;
        let ready = condition(&lun, "Ready");
        let seen = ready["observedGeneration"].as_u64().unwrap_or(0);
        ensure!(seen > before && ready["status"] == "True", "Ready is {ready}");
        Ok(())
    })
}

/// Has fio do what it can for some seconds: within 15 % of that many commands a second.
fn limited(site: &Site, disk: &str, rw: &str, bs: &str, expected: f64) -> Result<()> {
    let options = format!("--rw={rw} --bs={bs} --time_based --ramp_time=2 --runtime=6 --output-format=json");
    let report = site.fio(disk, &options)?;
    let json = report.find('{').map_or("", |start| &report[start..]);
    let report: Value = serde_json::from_str(json).context("fio's report is no JSON")?;
    let side = if rw.ends_with("read") { "read" } else { "write" };
    let iops = report["jobs"][0][side]["iops"].as_f64().context("fio reports no IOPS")?;
    say(&format!("{rw} of {bs}, limited to {expected}/s: {iops:.1}/s"));
    ensure!((expected * 0.85..=expected * 1.15).contains(&iops), "{iops} commands a second, not {expected}");
    Ok(())
}

/// `/metrics`, as a scraper gets it.
struct Page(String);

impl Page {
    fn of(site: &Site) -> Result<Self> {
        site.node.must("busybox wget -qO- http://127.0.0.1:9810/metrics").map(Self)
    }

    fn value(&self, series: &str) -> Result<f64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.with_context(|| format!("there is no {series} in\n{}", self.0))
    }
}
