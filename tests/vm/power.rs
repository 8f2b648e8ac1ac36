//! The node loses its power again and again: what was acknowledged as durable is there afterwards.
//!
//! Four writers on the client, each record in a place of its own, acknowledged by a flush or by FUA, on a pool with
//! direct I/O and on one with buffered I/O: what the agent fails to flush is lost with the node's memory.

use std::fs;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Process, Result};
use std::time::Duration;

use super::manifest::{lun_in, pool, pool_at};
use super::site::{SOON, Site, say};

const ROUNDS: usize = 10;
/// Records that each round waits for.
const RECORDS: usize = 12;
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
    let disks = [log_in(&site, "direct")?, log_in(&site, "buffered")?];
    let mut recorders = record(&site, &disks)?;
    for _ in 0..ROUNDS {
        for _ in 0..RECORDS {
            recorders.next_line(SOON)?.context("the recorders ended early")?;
        }
        site.node.power_cut()?;
        drop(agent);
        site.node.power_on()?;
        site.mount()?;
        apply(&site)?;
        agent = site.start_agent()?;
    }
    // They go on only when the last cut is over.
    for _ in 0..RECORDS {
        recorders.next_line(SOON)?.context("the recorders ended early")?;
    }
    site.client.must("touch /tmp/recorded")?;
    let acknowledged = recorders.wait_at_most(SOON)?.ok()?;
    all_are_there(&site, &disks, &acknowledged)?;
    site.no_io_errors_since(&errors)?;
    site.end(agent)
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

fn all_are_there(site: &Site, disks: &[String; 2], acknowledged: &str) -> Result<()> {
    for recorder in &RECORDERS {
        let numbers = acknowledged.lines().filter_map(|line| line.strip_prefix(recorder.name)?.trim().parse().ok());
        let numbers: Vec<usize> = numbers.collect();
        ensure!(numbers.len() > ROUNDS, "{} had only {} records acknowledged", recorder.name, numbers.len());
        let region = read_back(site, &disks[recorder.disk], recorder.region)?;
        let lost = numbers.iter().filter(|number| !is_there(&region, recorder.name, **number));
        let lost: Vec<&usize> = lost.collect();
        ensure!(
            lost.is_empty(),
            "{}: of {} acknowledged records, these are lost: {lost:?}",
            recorder.name,
            numbers.len()
        );
        say(&format!("{}: {} records acknowledged in {ROUNDS} power cuts, none lost", recorder.name, numbers.len()));
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
