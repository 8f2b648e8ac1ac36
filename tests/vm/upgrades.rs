//! The agent is replaced by a running successor under I/O at depth 32: a pause that is short, and no error.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result};
use serde_json::Value;

use super::manifest::pool;
use super::site::{SOON, Site, agent_binary, say};

/// How often in one run; each pause is measured.
const ROUNDS: usize = 5;

pub fn io_does_not_notice_an_upgrade(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent_for_upgrades()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    let (_, measured) = site.attach("measured", "64Mi", "")?;
    let errors = site.errors_so_far()?;
    let mut writer = site.start_writer(&disk, "--bs=4k --size=24M")?;
    let usual = longest(&site, &measured, |_| Ok(()))?;
    let mut pauses = Vec::new();
    for _ in 0..ROUNDS {
        pauses.push(longest(&site, &measured, upgrade)?);
        writer.must_run()?;
    }
    pauses.sort();
    let at = |part: usize| pauses[(pauses.len() * part / 100).min(pauses.len() - 1)].as_secs_f64();
    say(&format!(
        "{ROUNDS} upgrades at depth 32: the slowest command of each took p50 {:.2} s, p90 {:.2} s, at most {:.2} s; without one {:.2} s",
        at(50),
        at(90),
        at(100),
        usual.as_secs_f64()
    ));
    a_successor_that_is_no_use_changes_nothing(&site)?;
    writer.must_run()?;
    ensure!(writer.end(&site)?.contains("rounds:"), "the writer did not say how often it wrote everything");
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

/// Upgrades to the same program.
fn upgrade(site: &Site) -> Result<()> {
    let before = serving(site)?;
    let said = site.node.must(format!("{} upgrade", agent_binary(&site.bed).display()))?;
    let now = serving(site)?;
    ensure!(now != before && said.contains(&now), "process {now} serves after {before}, and upgrade says {said:?}");
    Ok(())
}

/// The process that holds the agent's lock.
fn serving(site: &Site) -> Result<String> {
    site.node.must("cat /run/lunette/agent.lock")
}

/// The slowest of a LUN's commands while something is done.
fn longest(site: &Site, disk: &str, act: impl FnOnce(&Site) -> Result<()>) -> Result<Duration> {
    let line = format!(
        "fio --name=pause --filename={disk} --ioengine=libaio --direct=1 --iodepth=32 --rw=randrw --bs=4k --size=32M \
         --time_based --runtime=6 --allow_file_create=0 --output-format=json"
    );
    let load = site.client.spawn("pause", GuestCommand::shell(&line).patience(Duration::from_secs(120)))?;
    site.wait_completed(disk, site.completed(disk)? + 50, SOON)?;
    act(site)?;
    let report = load.wait()?.ok().context("the client saw an I/O error")?;
    let report: Value = serde_json::from_str(&report).context("fio's report is no JSON")?;
    let job = &report["jobs"][0];
    ensure!(job["error"] == 0, "fio counts error {}", job["error"]);
    let slowest = ["read", "write"].iter().filter_map(|side| job[side]["clat_ns"]["max"].as_f64()).fold(0.0, f64::max);
    Ok(Duration::from_secs_f64(slowest / 1e9))
}

fn a_successor_that_is_no_use_changes_nothing(site: &Site) -> Result<()> {
    let before = serving(site)?;
    let agent = agent_binary(&site.bed);
    let refused = site.node.run(format!("{} upgrade /bin/false", agent.display()))?;
    ensure!(
        !refused.success() && refused.stderr.contains("serves on"),
        "upgrade to /bin/false says:\n{}",
        refused.stderr
    );
    ensure!(serving(site)? == before, "another process serves");
    Ok(())
}
