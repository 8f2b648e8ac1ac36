//! One long load on a disk of the client, each of whose commands is timed: what anything cost that was done meanwhile is
//! read off it afterwards.
//!
//! All times are the client's, so that no other clock need agree with it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{GuestCommand, Process, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::initiator::LONG;
use super::site::{SOON, Site};

/// Where fio writes what each command took, once it ends.
const LOG: &str = "/tmp/timing";
/// Commands that have to have ended before what happened counts as over: more than are ever in flight.
const AFTERWARDS: u64 = 100;

/// The load.
pub struct Timing {
    fio: Process,
    disk: String,
}

/// What its commands took: when some of them ended, in ms, and how long the slowest of those had taken.
pub struct Latencies(Vec<(u64, Duration)>);

impl Site {
    /// Starts random reads and writes of 4 KiB at depth 32 on a disk of the client.
    pub fn start_timing(&self, disk: &str) -> Result<Timing> {
        let line = format!(
            "exec fio --name=timing --filename={disk} --ioengine=libaio --direct=1 --iodepth=32 --rw=randrw --bs=4k \
             --size=32M --time_based --runtime={} --allow_file_create=0 --disable_slat=1 --disable_clat=1 \
             --write_lat_log={LOG} --log_unix_epoch=1 --output-format=json",
            LONG.as_secs()
        );
        let fio = self.client.spawn("timing", GuestCommand::shell(&line).patience(LONG))?;
        let timing = Timing { fio, disk: disk.to_owned() };
        timing.now(self)?;
        Ok(timing)
    }
}

impl Timing {
    /// What time it is, once all that was in flight has been answered.
    pub fn now(&self, site: &Site) -> Result<u64> {
        site.wait_completed(&self.disk, site.completed(&self.disk)? + AFTERWARDS, SOON)?;
        site.client.must("date +%s%3N")?.parse().context("the client's clock shows no number")
    }

    /// Ends the load; none of its commands may have failed.
    pub fn end(self, site: &Site) -> Result<Latencies> {
        self.fio.signal(Signal::SIGINT)?;
        // Its status only says that it was interrupted, as does a line before the report.
        let printed = self.fio.wait()?.stdout;
        let report = printed.find('{').map(|at| serde_json::from_str::<Value>(&printed[at..]));
        let report = report.with_context(|| format!("fio printed no report:\n{printed}"))?.context("fio's report")?;
        let error = &report["jobs"][0]["error"];
        ensure!(*error == 0, "the client saw error {error} of its I/O");
        // Its lines are: when, how long, and more; one for each command. Of every 10 ms the slowest is enough. awk has numbers of
        // 31 bits only, so times are counted from the first.
        let slowest = "NR == 1 {first = $1; print first} {at = int(($1 - first) / 10); if ($2 > most[at]) most[at] = $2} \
                       END {for (at in most) print at * 10, int(most[at] / 1000)}";
        let printed = site.client.must(format!("awk -F', ' '{slowest}' {LOG}_lat.1.log && rm {LOG}_*"))?;
        let (first, rest) = printed.split_once('\n').context("fio's log is empty")?;
        let first: u64 = first.parse().context("fio's log has no times")?;
        let pair = |line: &str| -> Option<(u64, Duration)> {
            let (after, took) = line.split_once(' ')?;
            Some((first + after.parse::<u64>().ok()?, Duration::from_micros(took.parse().ok()?)))
        };
        let pairs: Option<Vec<_>> = rest.lines().map(pair).collect();
        pairs.map(Latencies).context("fio's log is not one of latencies")
    }
}

impl Latencies {
    /// What the slowest command took of those that ended between two times, given in ms.
    ///
    /// # Errors
    /// None did.
    pub fn slowest(&self, from: u64, to: u64) -> Result<Duration> {
        let within = self.0.iter().filter(|(ended, _)| (from..to).contains(ended)).map(|(_, took)| *took);
        within.max().with_context(|| format!("no command ended between {from} and {to} ms"))
    }
}
