//! Two hundred LUNs come and go, and what they cost while they are there and do nothing.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::held::Held;
use super::manifest::{lun, pool};
use super::site::{POOL, Site, condition, patiently, say};

const LUNS: usize = 200;
/// Enough for all of them, on a busy machine under emulation.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(20);

pub fn two_hundred_luns_come_and_go(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let pid = agent.pid();
    patiently(PATIENCE, || site.luns())?;
    let empty = Held::by(&site, pid)?;
    let luns = all_come(&site)?;
    some_are_used(&site, &luns)?;
    idleness_is_cheap(&site, pid, &empty)?;
    all_go(&site)?;
    nothing_is_held(&site, pid, &empty)?;
    site.end(agent)
}

fn all_come(site: &Site) -> Result<Vec<Value>> {
    let client = site.client.initiator_name();
    let many: Vec<String> =
        (0..LUNS).map(|i| lun(&format!("many-{i:03}"), "16Mi", &client, ", reclaimPolicy: Delete")).collect();
    let started = Instant::now();
    site.apply("many.yaml", &many.concat())?;
    let luns = patiently(PATIENCE, || {
        let luns = site.luns()?;
        let unready = luns.iter().find(|lun| condition(lun, "Ready")["status"] != "True");
        ensure!(luns.len() == LUNS, "status shows {} Luns", luns.len());
        ensure!(
            unready.is_none(),
            "a Lun is not Ready: {}",
            unready.map(|lun| condition(lun, "Ready")).unwrap_or_default()
        );
        Ok(luns)
    })?;
    say(&format!("{LUNS} Luns in one file, all Ready after {:.1} s", started.elapsed().as_secs_f64()));
    Ok(luns)
}

fn some_are_used(site: &Site, luns: &[Value]) -> Result<()> {
    for lun in [&luns[0], &luns[LUNS / 2], &luns[LUNS - 1]] {
        let disk = site.login(lun, None)?;
        site.client.must(format!("dd if=/dev/urandom of={disk} bs=64k count=4 oflag=direct conv=fsync status=none"))?;
        site.logout(lun)?;
    }
    Ok(())
}

fn all_go(site: &Site) -> Result<()> {
    let started = Instant::now();
    site.withdraw("many.yaml")?;
    site.wait_unexported(PATIENCE)?;
    site.wait_emptied(POOL, PATIENCE)?;
    say(&format!("all gone, with their data, {:.1} s after their file", started.elapsed().as_secs_f64()));
    Ok(())
}

fn idleness_is_cheap(site: &Site, pid: i32, empty: &Held) -> Result<()> {
    // What was started with the LUNs comes to rest first.
    std::thread::sleep(Duration::from_secs(2));
    let (before, began) = (Held::by(site, pid)?, Instant::now());
    std::thread::sleep(IDLE);
    let (after, took) = (Held::by(site, pid)?, began.elapsed());
    let percent = (after.processor - before.processor).as_secs_f64() / took.as_secs_f64() * 100.0;
    let each =
        |of: fn(&Held) -> u64| format!("{:.2}", of(&after).saturating_sub(of(empty)) as f64 / 1024.0 / LUNS as f64);
    let of_node = site.node.must("nproc")?;
    say(&format!(
        "{LUNS} idle LUNs: {percent:.1} % of one of {of_node} emulated processors, {:.3} % each",
        percent / LUNS as f64
    ));
    say(&format!(
        "a LUN's part of the agent: {} MiB resident, {} MiB Pss, {} MiB of its own memory; {:.1} threads, {:.1} descriptors",
        each(|held| held.resident),
        each(|held| held.proportional),
        each(|held| held.anonymous),
        after.threads.saturating_sub(empty.threads) as f64 / LUNS as f64,
        after.descriptors.saturating_sub(empty.descriptors) as f64 / LUNS as f64,
    ));
    let own = after.anonymous.saturating_sub(empty.anonymous) / LUNS as u64;
    ensure!(own < 4096, "an idle LUN takes {own} KiB of the agent's own memory: 4 MiB are promised");
    Ok(())
}

fn nothing_is_held(site: &Site, pid: i32, empty: &Held) -> Result<()> {
    patiently(PATIENCE, || {
        let held = Held::by(site, pid)?;
        let mut more = String::new();
        if held.threads > empty.threads {
            let names = site.node.must(format!("cat /proc/{pid}/task/*/comm | sort | uniq -c"))?;
            write!(more, "{} threads, {} before the LUNs came:\n{names}", held.threads, empty.threads)?;
        }
        if held.descriptors > empty.descriptors {
            let files = site.node.must(format!("readlink /proc/{pid}/fd/* | sort | uniq -c"))?;
            write!(more, "{} descriptors, {} before the LUNs came:\n{files}", held.descriptors, empty.descriptors)?;
        }
        ensure!(more.is_empty(), "the agent still holds {more}");
        Ok(())
    })
}
