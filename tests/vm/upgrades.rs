//! The agent is replaced by a running successor under I/O at depth 32: a pause that is short, and no error.

use anyhow::{Context as _, bail, ensure};
use lunette_bed::{Context, GuestCommand, Result, Vm};

use super::initiator::LONG;
use super::manifest::pool;
use super::site::{SOON, Site, agent_binary, patiently, say};
use super::timing::Latencies;

/// Commands that show what is usual.
const UNDISTURBED: u64 = 2000;

pub fn io_does_not_notice_an_upgrade(context: &Context) -> Result<()> {
    replace(context, 5)
}

pub fn io_does_not_notice_a_hundred_upgrades(context: &Context) -> Result<()> {
    replace(context, 100)
}

/// Times one load through all of it. A pause is what the slowest command took of those that ended between the beginning of
/// one upgrade and that of the next.
fn replace(context: &Context, rounds: usize) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent_for_upgrades()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    let (_, measured) = site.attach("measured", "64Mi", "")?;
    let errors = site.errors_so_far()?;
    // It is there to find a wrong byte: what is timed is the other one.
    let mut writer = site.start_writer(&disk, "--bs=4k --size=8M --rate_iops=100")?;
    let timing = site.start_timing(&measured)?;
    let mut moments = vec![timing.now(&site)?];
    site.wait_completed(&measured, site.completed(&measured)? + UNDISTURBED, SOON)?;
    moments.extend(upgrade(&site, rounds)?);
    moments.push(timing.now(&site)?);
    writer.must_run()?;
    a_successor_that_is_no_use_changes_nothing(&site)?;
    let heir = site.start_heir()?;
    moments.push(timing.now(&site)?);
    told_to_stop(&site, heir.pid())?;
    moments.push(timing.now(&site)?);
    tell(&timing.end(&site)?, &moments)?;
    ensure!(writer.end(&site)?.contains("rounds:"), "the writer did not say how often it wrote everything");
    site.no_io_errors_since(&errors)?;
    drop(agent);
    site.end(heir)
}

/// The first stretch is without an upgrade, the last but one is of a successor that was no use, and at the end of the last
/// one the agent was told to stop.
fn tell(latencies: &Latencies, moments: &[u64]) -> Result<()> {
    let slowest = moments.windows(2).map(|pair| latencies.slowest(pair[0], pair[1])).collect::<Result<Vec<_>>>()?;
    let [usual, pauses @ .., _, stopped] = slowest.as_slice() else { bail!("{} stretches are too few", slowest.len()) };
    let mut pauses = pauses.to_vec();
    pauses.sort();
    let at = |part: usize| pauses[(pauses.len() * part / 100).min(pauses.len() - 1)].as_secs_f64();
    let shown: Vec<String> = [50, 90, 99, 100].map(|part| format!("p{part} {:.2} s", at(part))).into();
    say(&format!(
        "{} upgrades at depth 32: the slowest command of each took {}; without one {:.2} s",
        pauses.len(),
        shown.join(", "),
        usual.as_secs_f64()
    ));
    let stopped = stopped.as_secs_f64();
    say(&format!("SIGTERM with a successor that stands by: the slowest command took {stopped:.2} s"));
    Ok(())
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

/// Upgrades to the same program so many times; when each began, by the client's clock.
fn upgrade(site: &Site, rounds: usize) -> Result<Vec<u64>> {
    // What the host asks of a busy guest takes longer than an upgrade: the node does it all.
    let script = format!(
        "for round in $(seq {rounds}); do\n\
         began=$(date +%s%3N); before=$(cat /run/lunette/agent.lock); said=$({} upgrade) || exit 1\n\
         sleep 0.5; echo \"$began $before $(cat /run/lunette/agent.lock) $said\"\n\
         done",
        agent_binary(&site.bed).display()
    );
    let printed = site.node.must(GuestCommand::shell(&script).patience(LONG))?;
    let ahead = clock(&site.client)? - clock(&site.node)?;
    printed.lines().map(|line| began(line).map(|began| began.saturating_add_signed(ahead))).collect()
}

/// When an upgrade began, if it did what it says: another process serves.
fn began(line: &str) -> Result<u64> {
    let [began, before, now, said] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
        bail!("{line:?} is not about an upgrade")
    };
    ensure!(now != before && said.contains(now), "process {now} serves after {before}, and upgrade says {said:?}");
    began.parse().with_context(|| format!("{began:?} is no time"))
}

/// A guest's clock, in ms.
fn clock(vm: &Vm) -> Result<i64> {
    vm.must("date +%s%3N")?.parse().context("a clock shows no number")
}

/// The process that holds the agent's lock.
fn serving(site: &Site) -> Result<String> {
    site.node.must("cat /run/lunette/agent.lock")
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
