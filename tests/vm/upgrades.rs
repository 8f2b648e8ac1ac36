//! The agent is replaced by a running successor under I/O at depth 32: a pause that is short, and no error.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result};
use serde_json::Value;

use super::manifest::pool;
use super::site::{SOON, Site, agent_binary, patiently, say};

/// Each pause is measured.
pub fn io_does_not_notice_an_upgrade(context: &Context) -> Result<()> {
    replace(context, 5)
}

pub fn io_does_not_notice_a_hundred_upgrades(context: &Context) -> Result<()> {
    replace(context, 100)
}

fn replace(context: &Context, rounds: usize) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent_for_upgrades()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    let (_, measured) = site.attach("measured", "64Mi", "")?;
    let errors = site.errors_so_far()?;
    let mut writer = site.start_writer(&disk, "--bs=4k --size=24M")?;
    let usual = longest(&site, &measured, |_| Ok(()))?;
    let mut pauses = Vec::new();
    for _ in 0..rounds {
        pauses.push(longest(&site, &measured, upgrade)?);
        writer.must_run()?;
    }
    pauses.sort();
    let at = |part: usize| pauses[(pauses.len() * part / 100).min(pauses.len() - 1)].as_secs_f64();
    let shown: Vec<String> = [50, 90, 99, 100].map(|part| format!("p{part} {:.2} s", at(part))).into();
    say(&format!(
        "{rounds} upgrades at depth 32: the slowest command of each took {}; without one {:.2} s",
        shown.join(", "),
        usual.as_secs_f64()
    ));
    a_successor_that_is_no_use_changes_nothing(&site)?;
    writer.must_run()?;
    let heir = site.start_heir()?;
    let pause = longest(&site, &measured, |site| told_to_stop(site, heir.pid()))?;
    say(&format!("SIGTERM with a successor that stands by: the slowest command took {:.2} s", pause.as_secs_f64()));
    writer.must_run()?;
    ensure!(writer.end(&site)?.contains("rounds:"), "the writer did not say how often it wrote everything");
    site.no_io_errors_since(&errors)?;
    drop(agent);
    site.end(heir)
}

/// SIGTERM to the agent, as a supervisor sends it; then the one that stands by is the agent.
fn told_to_stop(site: &Site, heir: i32) -> Result<()> {
    let stopped =
        "old=$(cat /run/lunette/agent.lock); kill $old && while kill -0 $old 2>/dev/null; do sleep 0.02; done";
    site.node.must(stopped)?;
    let now = patiently(SOON, || serving(site))?;
    ensure!(now.trim() == heir.to_string(), "process {now} serves, and not {heir}, which stood by");
    Ok(())
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
         --time_based --runtime=4 --allow_file_create=0 --output-format=json"
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
