//! The agent dies and comes back under I/O: the initiator waits and goes on, and everything it wrote is there.

use std::time::{Duration, Instant};

use anyhow::ensure;
use lunette_bed::{Context, Process, Result};
use nix::sys::signal::Signal;

use super::failing::on_failing_disk;
use super::initiator::Writer;
use super::manifest::{lun_in, pool, pool_at};
use super::site::{SERVED, SOON, SPARE, Site, say};
use super::stuck::{freeze, stands_still, thaw};
use super::witness::Witness;

const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(20);
const ROUNDS: u32 = 20;
const HANGING_ROUNDS: u32 = 2;

/// How long I/O stood still in one round.
struct Pause {
    since_kill: Duration,
    since_restart: Duration,
    restarted: Instant,
    /// From the restart until the ring was served.
    served: Duration,
}

pub fn io_survives_crashes_of_the_agent(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let mut agent = site.start_agent()?;
    let (_, disk) = site.attach("db", "64Mi", "")?;
    let errors = site.errors_so_far()?;
    let mut writer = site.start_writer(&disk, "--bs=4k --size=24M")?;
    let mut pauses = Vec::new();
    for round in 1..=ROUNDS {
        let outage = if round == ROUNDS { LONG } else { SHORT };
        agent = outage_of(&site, agent, &disk, outage, Site::kill_agent, &mut pauses)?;
        writer.must_run()?;
    }
    tell("SIGKILL for 3 s", &pauses[..pauses.len() - 1]);
    tell("SIGKILL for 20 s", &pauses[pauses.len() - 1..]);
    let agent = stopped_and_started(&site, agent, &disk, &mut writer)?;
    let rounds = writer.end(&site)?;
    ensure!(rounds.contains("rounds:"), "the writer did not say how often it wrote everything:\n{rounds}");
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

/// What initiators with their own settings hold out: longer than Linux lets a command run, so that it gives commands up.
pub fn io_survives_outages_of_minutes(context: &Context) -> Result<()> {
    survive(context, &[45, 170], "")
}

/// What initiators hold out that have the settings which we give ours, and which the guides name for others.
pub fn io_survives_ten_minutes_with_our_settings(context: &Context) -> Result<()> {
    survive(context, &[600], "node.session.timeo.replacement_timeout = 3600")
}

/// A verifying writer whose agent is away for so many seconds, one time after the other.
fn survive(context: &Context, outages: &[u64], setting: &str) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let mut agent = site.start_agent()?;
    let (_, disk) = site.with_settings(setting, || site.attach("db", "64Mi", ""))?;
    let errors = site.errors_so_far()?;
    let mut writer = site.start_writer(&disk, "--bs=4k --size=24M")?;
    // With nobody to answer what initiators give up, the target's threads wait for that, which the node's kernel complains of.
    site.node.must("echo 0 >/proc/sys/kernel/hung_task_timeout_secs")?;
    for seconds in outages {
        let mut pauses = Vec::new();
        let witness = Witness::at(&site, &disk)?;
        agent = outage_of(&site, agent, &disk, Duration::from_secs(*seconds), Site::kill_agent, &mut pauses)?;
        writer.must_run()?;
        tell(&format!("SIGKILL for {seconds} s"), &pauses);
        say(&format!("what the client saw: {}", witness.tells(&site, pauses[0].restarted)?));
    }
    site.node.must("echo 120 >/proc/sys/kernel/hung_task_timeout_secs")?;
    ensure!(writer.end(&site)?.contains("rounds:"), "the writer did not say how often it wrote everything");
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

/// The agent is killed while its writes hang: in a frozen file system, where they have not begun, or in a disk, where they are
/// out of every process's hands. They land when that goes on, with the next agent and newer writes of the same few blocks
/// already waiting.
pub fn no_write_of_a_dead_agent_lands_late(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    lands_before_newer_ones(&site, "Auto", |disk| freeze(&site, disk), || thaw(&site))?;
    on_failing_disk(&site, |below| {
        let hang = |disk: &str| below.hang(&site).and_then(|()| stands_still(&site, disk));
        lands_before_newer_ones(&site, "Direct", hang, || below.go_on(&site))
    })
}

fn lands_before_newer_ones(
    site: &Site,
    io: &str,
    hang: impl Fn(&str) -> Result<()>,
    go_on: impl Fn() -> Result<()>,
) -> Result<()> {
    site.apply("pool.yaml", &pool_at("spare", &format!("path: {SPARE}/pool, io: {io}")))?;
    let mut agent = site.start_agent_again_and_again()?;
    let client = format!("{{iqn: '{}'}}", site.client.initiator_name());
    site.apply("db.yaml", &lun_in("spare", "db", "64Mi", &client, ""))?;
    let disk = site.login(&site.wait_ready("db", true)?, None)?;
    let errors = site.errors_so_far()?;
    let mut writer = site.start_writer(&disk, "--bs=4k --size=1M")?;
    for _ in 0..HANGING_ROUNDS {
        site.wait_completed(&disk, site.completed(&disk)? + 200, SOON)?;
        hang(&disk)?;
        let before = site.completed(&disk)?;
        agent.signal(Signal::SIGKILL)?;
        let next = site.start_agent_again_and_again()?;
        std::thread::sleep(SHORT);
        go_on()?;
        site.wait_completed(&disk, before + 200, SOON)?;
        agent.wait()?;
        agent = next;
        writer.must_run()?;
    }
    ensure!(writer.end(site)?.contains("rounds:"), "the writer did not say how often it wrote everything");
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

fn stopped_and_started(site: &Site, agent: Process, disk: &str, writer: &mut Writer) -> Result<Process> {
    let mut pauses = Vec::new();
    let agent = outage_of(site, agent, disk, Duration::ZERO, Site::stop_agent, &mut pauses)?;
    writer.must_run()?;
    tell("SIGTERM and start", &pauses);
    Ok(agent)
}

/// One outage, from I/O under way to I/O under way; the next agent.
fn outage_of(
    site: &Site,
    agent: Process,
    disk: &str,
    outage: Duration,
    end: fn(&Site, Process) -> Result<()>,
    pauses: &mut Vec<Pause>,
) -> Result<Process> {
    let before = site.completed(disk)?;
    site.wait_completed(disk, before + 100, SOON)?;
    let ended = Instant::now();
    end(site, agent)?;
    let stands = site.completed(disk)?;
    std::thread::sleep(outage.saturating_sub(ended.elapsed()));
    let still = site.completed(disk)?;
    ensure!(still == stands, "{} requests were answered while no agent ran", still - stands);
    let restarted = Instant::now();
    let said = site.agent_log()?.len();
    let agent = site.start_agent()?;
    let served = served_after(site, said, restarted)?;
    site.wait_completed(disk, still, SOON)?;
    pauses.push(Pause { since_kill: ended.elapsed(), since_restart: restarted.elapsed(), restarted, served });
    Ok(agent)
}

/// When an agent that has just been started says that it serves a ring; what stands in the log before `said` is older.
fn served_after(site: &Site, said: usize, restarted: Instant) -> Result<Duration> {
    loop {
        if site.agent_log()?.get(said..).is_some_and(|log| log.contains(SERVED)) {
            return Ok(restarted.elapsed());
        }
        ensure!(restarted.elapsed() < SOON, "the agent serves no ring after {SOON:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn tell(what: &str, pauses: &[Pause]) {
    let figures = |of: fn(&Pause) -> Duration| {
        let mut sorted: Vec<Duration> = pauses.iter().map(of).collect();
        sorted.sort();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        format!("p50 {:.2} s, max {:.2} s", median.as_secs_f64(), sorted.last().map_or(0.0, Duration::as_secs_f64))
    };
    let (kill, restart) = (figures(|pause| pause.since_kill), figures(|pause| pause.since_restart));
    let served = figures(|pause| pause.served);
    say(&format!(
        "{what}, {} times: I/O paused {kill}; after the restart {restart}, of which until the ring was served {served}",
        pauses.len()
    ));
}
