//! The node loses its power again and again: what was acknowledged as durable is there afterwards.
//!
//! Four writers on the client, each record in a place of its own, acknowledged by a flush or by FUA, on a pool with
//! direct I/O and on one with buffered I/O: what the agent fails to flush is lost with the node's memory.
//!
//! A write that one life of the node took into its cache, and whose flush only the next life saw, is nobody's promise:
//! SCSI has no word by which an initiator would learn that a cache was lost, so it does not send the write again. Such
//! records are counted apart; with FUA, or `writeCache: WriteThrough`, there are none.

use std::fs;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Process, Result};
use std::time::{Duration, Instant};

use super::manifest::{lun_in, pool, pool_at};
use super::site::{SOON, Site, say};

const ROUNDS: usize = 10;
/// Records that each round waits for.
const RECORDS: usize = 6;
/// How the client notices that the node is gone: a ping every second, given up after two. By default both take five.
const IMPATIENT: [&str; 2] = ["node.conn[0].timeo.noop_out_interval = 1", "node.conn[0].timeo.noop_out_timeout = 2"];
/// A record is this long; the writers' regions are this many records long.
const BLOCK: usize = 4096;
const REGION: usize = 2048;

/// One who writes records: which disk, which region of it, and how they are made durable.
struct Recorder {
    name: &'static str,
    disk: usize,
    region: usize,
    durable: &'static str,
}

impl Recorder {
    /// Whether its writes and what makes them durable are two commands.
    fn flushes_apart(&self) -> bool {
        self.durable.contains("fsync")
    }
}

const RECORDERS: [Recorder; 4] = [
    Recorder { name: "direct-flush", disk: 0, region: 0, durable: "oflag=direct conv=notrunc,fsync" },
    Recorder { name: "direct-fua", disk: 0, region: 1, durable: "oflag=direct,dsync conv=notrunc" },
    Recorder { name: "buffered-flush", disk: 1, region: 0, durable: "oflag=direct conv=notrunc,fsync" },
    Recorder { name: "buffered-fua", disk: 1, region: 1, durable: "oflag=direct,dsync conv=notrunc" },
];

pub fn nothing_acknowledged_is_lost_in_a_power_cut(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    let errors = site.errors_so_far()?;
    apply(&site)?;
    let mut agent = site.start_agent()?;
    let disks =
        site.with_settings(&IMPATIENT.join("\\n"), || Ok([log_in(&site, "direct")?, log_in(&site, "buffered")?]))?;
    let mut recorders = record(&site, &disks)?;
    let (mut across, mut pauses) = (Vec::new(), Vec::new());
    await_records(&mut recorders, RECORDS)?;
    for _ in 0..ROUNDS {
        let cut = Instant::now();
        site.node.power_cut()?;
        across.extend(under_way(&mut recorders)?);
        drop(agent);
        site.node.power_on()?;
        site.mount()?;
        apply(&site)?;
        agent = site.start_agent()?;
        await_records(&mut recorders, 1)?;
        pauses.push(cut.elapsed());
        await_records(&mut recorders, RECORDS)?;
    }
    pauses.sort();
    say(&format!("after a power cut, boot included, I/O went on after {pauses:.1?}"));
    site.client.must("touch /tmp/recorded")?;
    let acknowledged = recorders.wait_at_most(SOON)?.ok()?;
    all_are_there(&site, &disks, &acknowledged, &across)?;
    site.no_io_errors_since(&errors)?;
    site.end(agent)
}

fn await_records(recorders: &mut Process, number: usize) -> Result<()> {
    for _ in 0..number {
        recorders.next_line(SOON)?.context("the recorders ended early")?;
    }
    Ok(())
}

/// The records that the recorders were about when the power went: none is acknowledged while the node is off.
fn under_way(recorders: &mut Process) -> Result<Vec<(&'static str, usize)>> {
    std::thread::sleep(Duration::from_millis(500));
    while let Ok(Some(_)) = recorders.next_line(Duration::ZERO) {}
    ensure!(recorders.ended()?.is_none(), "the recorders ended early");
    let acknowledged = recorders.stdout_so_far();
    Ok(RECORDERS.iter().map(|recorder| (recorder.name, numbers(&acknowledged, recorder.name).len())).collect())
}

/// The numbers of a recorder's acknowledged records.
fn numbers(acknowledged: &str, name: &str) -> Vec<usize> {
    acknowledged.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok()).collect()
}

fn apply(site: &Site) -> Result<()> {
    site.node.must("mkdir -p /srv/cached")?;
    let client = format!("{{iqn: '{}'}}", site.client.initiator_name());
    let manifests = [
        pool(),
        pool_at("cached", "path: /srv/cached, io: Buffered"),
        lun_in("files", "direct", "64Mi", &client, ""),
        lun_in("cached", "buffered", "64Mi", &client, ""),
    ];
    site.apply("all.yaml", &manifests.concat())
}

fn log_in(site: &Site, name: &str) -> Result<String> {
    site.login(&site.wait_ready(name, true)?, None)
}

/// Starts the writers; they print `NAME NUMBER` when a record is durable.
fn record(site: &Site, disks: &[String; 2]) -> Result<Process> {
    let writers = RECORDERS.map(|Recorder { name, disk, region, durable }| {
        let (disk, first) = (&disks[disk], region * REGION);
        format!(
            "(i=0; until [ -e /tmp/recorded ]; do yes {name}-$i | head -c {BLOCK} | \
             dd of={disk} bs={BLOCK} seek=$(({first} + i)) iflag=fullblock {durable} status=none || exit 1; \
             echo {name} $i; i=$((i + 1)); done) &"
        )
    });
    let script = format!("rm -f /tmp/recorded; {} wait", writers.concat());
    site.client.spawn("recorders", GuestCommand::shell(&script).patience(Duration::from_secs(900)))
}

fn all_are_there(site: &Site, disks: &[String; 2], acknowledged: &str, across: &[(&str, usize)]) -> Result<()> {
    for recorder in &RECORDERS {
        let (name, numbers) = (recorder.name, numbers(acknowledged, recorder.name));
        ensure!(numbers.len() > ROUNDS, "{name} had only {} records acknowledged", numbers.len());
        let region = read_back(site, &disks[recorder.disk], recorder.region)?;
        let excused = |number: &usize| recorder.flushes_apart() && across.contains(&(name, *number));
        let lost = numbers.iter().filter(|number| !is_there(&region, name, **number));
        let (cached, lost): (Vec<usize>, Vec<usize>) = lost.partition(|number| excused(number));
        ensure!(lost.is_empty(), "{name}: of {} acknowledged records, these are lost: {lost:?}", numbers.len());
        let mut told = format!("{name}: {} records acknowledged in {ROUNDS} power cuts, none lost", numbers.len());
        if !cached.is_empty() {
            told += &format!(", but {} written before a cut and flushed after it", cached.len());
        }
        say(&told);
    }
    Ok(())
}

fn read_back(site: &Site, disk: &str, region: usize) -> Result<Vec<u8>> {
    let skip = region * REGION;
    site.client.must(format!(
        "dd if={disk} of=/bed/read-back bs={BLOCK} skip={skip} count={REGION} iflag=direct status=none"
    ))?;
    fs::read(site.client.share().join("read-back")).context("reading what the client read back")
}

fn is_there(region: &[u8], name: &str, number: usize) -> bool {
    let line = format!("{name}-{number}\n");
    let wanted = line.bytes().cycle().take(BLOCK);
    region.iter().copied().skip(number * BLOCK).take(BLOCK).eq(wanted)
}
