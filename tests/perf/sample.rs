//! What the guest's kernel has counted at one moment, and the cost of a command between two moments.
//!
//! The guest's clock counts instructions, so its nanoseconds are instructions, and whatever was not idle was busy.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use lunette_bed::Result;

/// Counters of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    /// Nanoseconds of the clock.
    now: u64,
    /// Of these, without anything to do.
    idle: u64,
    /// Commands that the disk has completed.
    commands: u64,
    /// Context switches of the whole guest.
    switches: u64,
    /// Nanoseconds that the server ran.
    server: u64,
    /// Context switches of the server.
    server_switches: u64,
}

/// What one command costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Instructions of the whole guest.
    pub whole: f64,
    /// Context switches of the whole guest.
    pub switches: f64,
    /// Commands in a second of the guest's time: comparable within one run only.
    pub rate: f64,
    /// Of these, what the server's process has; none for a target in the kernel.
    pub server: Option<ServerCost>,
}

/// The server's part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerCost {
    /// Instructions, in the kernel too.
    pub instructions: f64,
    /// System calls.
    pub calls: f64,
    /// Context switches.
    pub switches: f64,
}

impl Cost {
    /// Reads what `measure` of `guest.sh` printed.
    pub fn read(text: &str) -> Result<Cost> {
        let sections = sections(text);
        let section = |name| sections.get(name).with_context(|| format!("the guest gave no sample {name:?}"));
        let (from, to) = (Sample::of(section("from")?)?, Sample::of(section("to")?)?);
        let mut cost = Cost::between(&from, &to)?;
        if let (Some(from), Some(to)) = (sections.get("traced from"), sections.get("traced to")) {
            let calls = calls(to)?.saturating_sub(calls(from)?);
            let commands = commands(to)?.saturating_sub(commands(from)?);
            ensure!(commands > 0, "no command completed while system calls were counted");
            cost.server = cost.server.map(|server| ServerCost { calls: calls as f64 / commands as f64, ..server });
        }
        Ok(cost)
    }

    fn between(from: &Sample, to: &Sample) -> Result<Cost> {
        let commands = (to.commands - from.commands) as f64;
        ensure!(commands > 0.0, "no command completed");
        let elapsed = to.now - from.now;
        let each = |from: u64, to: u64| (to - from) as f64 / commands;
        let server = ServerCost {
            instructions: each(from.server, to.server),
            calls: 0.0,
            switches: each(from.server_switches, to.server_switches),
        };
        Ok(Cost {
            whole: (elapsed - (to.idle - from.idle)) as f64 / commands,
            switches: each(from.switches, to.switches),
            rate: commands / elapsed as f64 * 1e9,
            server: (to.server > 0).then_some(server),
        })
    }
}

type Files<'a> = Vec<(&'a str, &'a str)>;

/// By name, the files of each sample with their content, as `tail -v` heads them.
fn sections(text: &str) -> BTreeMap<&str, Files<'_>> {
    text.split("=== ")
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, files)| (name.trim(), files.split("==> ").filter_map(|file| file.split_once(" <==\n")).collect()))
        .collect()
}

impl Sample {
    fn of(files: &Files<'_>) -> Result<Sample> {
        let timers = content(files, "/timer_list")?;
        let tasks = |end: &'static str| files.iter().filter(move |(path, _)| path.ends_with(end));
        Ok(Sample {
            now: after(timers, "now at ").context("the kernel's timer list has no clock")?,
            idle: after(timers, ".idle_sleeptime : ").context("the kernel's timer list has no idle time")?,
            commands: commands(files)?,
            switches: after(content(files, "/proc/stat")?, "ctxt ").context("/proc/stat counts no context switches")?,
            server: tasks("/schedstat").filter_map(|(_, text)| number(text)).sum(),
            server_switches: tasks("/status").flat_map(|(_, text)| text.lines()).filter_map(switches).sum(),
        })
    }
}

fn content<'a>(files: &Files<'a>, end: &str) -> Result<&'a str> {
    let file = files.iter().find(|(path, _)| path.ends_with(end));
    Ok(file.with_context(|| format!("the guest did not show its {end}"))?.1)
}

/// Reads and writes that a disk has completed: Documentation/block/stat.rst.
fn commands(files: &Files<'_>) -> Result<u64> {
    let file =
        files.iter().find(|(path, _)| path.starts_with("/sys/block/")).context("the guest did not show its disk")?;
    let fields: Vec<u64> = file.1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    ensure!(fields.len() > 4, "the disk's statistics read {:?}", file.1);
    Ok(fields[0] + fields[4])
}

/// Events in the trace, those that were overwritten too.
fn calls(files: &Files<'_>) -> Result<u64> {
    let stats = content(files, "/stats")?;
    let value = |name| after(stats, name).with_context(|| format!("the trace does not say its {name}"));
    Ok(value("entries: ")? + value("\noverrun: ")?)
}

fn switches(line: &str) -> Option<u64> {
    let (name, value) = line.split_once(':')?;
    name.ends_with("voluntary_ctxt_switches").then(|| number(value)).flatten()
}

/// The number that follows `word`.
fn after(text: &str, word: &str) -> Option<u64> {
    number(text.split_once(word)?.1)
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, now: u64, idle: u64, reads: u64, run: u64) -> String {
        format!(
            "=== {name}
==> /proc/timer_list <==
Timer List Version: v0.9
now at {now} nsecs

cpu: 0
  .idle_sleeptime : {idle} nsecs

==> /proc/stat <==
cpu  1 2 3
ctxt {reads}

==> /sys/block/sda/stat <==
     {reads}        0     1000       5     7        0        0        0

==> /proc/9/task/9/schedstat <==
{run} 77 3

==> /proc/9/task/10/schedstat <==
1000 77 3

==> /proc/9/task/9/status <==
Name:\tserver
voluntary_ctxt_switches:\t{reads}
nonvoluntary_ctxt_switches:\t5
"
        )
    }

    #[test]
    fn a_command_costs_what_was_not_idle() {
        let text = sample("from", 1_000, 100, 10, 500) + &sample("to", 101_000, 20_100, 20, 40_500);
        let cost = Cost::read(&text).expect("it is whole");
        assert_eq!((cost.whole, cost.switches), (8_000.0, 1.0));
        let server = cost.server.expect("there is one");
        assert_eq!((server.instructions, server.switches), (4_000.0, 1.0));
        assert!((cost.rate - 100_000.0).abs() < 0.001);
    }

    #[test]
    fn system_calls_are_those_of_the_traced_time() {
        let trace = |name: &str, reads: u64, entries: u64| {
            format!(
                "=== traced {name}\n==> /sys/block/sda/stat <==\n {reads} 0 0 0 0 0\n\n==> /t/stats <==\nentries: {entries}\noverrun: 30\n"
            )
        };
        let text =
            sample("from", 0, 0, 10, 1) + &sample("to", 9, 0, 20, 2) + &trace("from", 100, 0) + &trace("to", 200, 250);
        assert_eq!(Cost::read(&text).expect("it is whole").server.expect("there is one").calls, 2.5);
    }

    #[test]
    fn a_window_without_commands_is_an_error() {
        let text = sample("from", 1_000, 100, 10, 500) + &sample("to", 101_000, 20_100, 10, 40_500);
        assert!(Cost::read(&text).is_err());
    }
}
