//! The suite of libiscsi against LUNs of ours: every one of its tests comes to what `libiscsi.expected` says.
//!
//! Several of its processes run side by side, each with some of its suites and a LUN of its own; so it takes a fraction of
//! its time, and each suite has a LUN on which it has something to test. The LUNs are small: then the suite sanitizes
//! them soon. One is on a disk that hangs until its SANITIZE has been given up; one is reached by another target too,
//! which wants no immediate data. A result that is better than expected fails this test too, so that the file stays true.
//! The suite logs in under two names; what it prints is the only machine-readable thing about a skipped test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use lunette_bed::{Context, GuestCommand, Process, Result};

use super::failing::{Disk, on_failing_disk};
use super::initiator::target;
use super::manifest::{lun_in, pool, pool_at};
use super::site::{SOON, SPARE, Site, patiently, say};

/// What each test comes to: name, result, and why where it is not `pass`.
const EXPECTED: &str = include_str!("libiscsi.expected");
/// Longer than the suite takes.
const LONG: Duration = Duration::from_secs(800);
/// The names under which the suite logs in unless told otherwise.
const INITIATORS: [&str; 2] =
    ["iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test", "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test-2"];

/// What runs beside the others: some of the suite's tests, on a LUN that suits them.
struct Lane {
    /// The LUN's name, and its pool.
    lun: &'static str,
    pool: &'static str,
    /// More fields of each initiator, and of the Lun.
    initiator: &'static str,
    spec: &'static str,
    /// One process each: patterns of its tests, `SUITE` or `SUITE.TEST` as fnmatch(3) has them.
    tests: &'static [&'static str],
    /// By how many paths it logs in.
    paths: usize,
    /// The target it logs in to, unless that is ours.
    target: Option<&'static str>,
    /// More options.
    options: &'static str,
}

const PLAIN: Lane =
    Lane { lun: "", pool: "files", initiator: "", spec: "", tests: &[], paths: 1, target: None, options: "" };

/// An administrator's own target.
const PATIENT: &str = "iqn.2026-11.test:patient";

/// Its storage hangs.
const HELD: Lane = Lane { lun: "held", pool: "spare", tests: &["Sanitize.Reset"], options: "-V", ..PLAIN };

/// All suites, each in one lane, so that lanes take about the same time.
const LANES: [Lane; 10] = [
    HELD,
    Lane { lun: "sanitized", tests: &["Sanitize.*[!t]", "St*", "WriteSame16"], ..PLAIN },
    Lane { lun: "two-paths", tests: &["[IMNT]*", "iSCSI[!d]*"], paths: 2, ..PLAIN },
    // The suite wants no immediate data, but libiscsi forgets that when it logs in anew.
    Lane { lun: "patient", tests: &["iSCSId*"], target: Some(PATIENT), ..PLAIN },
    Lane { lun: "written", tests: &["[CU]*", "Write[!S]*"], ..PLAIN },
    Lane { lun: "same", tests: &["WriteSame10.*[!d]", "WriteSame10.*ed"], ..PLAIN },
    Lane { lun: "verified", tests: &["[EOPV]*"], ..PLAIN },
    Lane { lun: "read", tests: &["Re[!a]*", "Read[!O]*"], ..PLAIN },
    // Where a physical block is a logical one, the suite expects of GET LBA STATUS what it asks for.
    Lane { lun: "large-blocks", spec: ", blockSize: 4096", tests: &["G*"], ..PLAIN },
    // It has no UNMAP either, of which WriteSame10.UnmapUntilEnd expects what nobody should do.
    Lane { lun: "read-only", initiator: ", readOnly: true", tests: &["ReadO*", "WriteSame10.*nd"], ..PLAIN },
];

/// Test name to result.
type Results = BTreeMap<String, Outcome>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Pass,
    Fail,
    Skip,
    /// Expected only: now one, now another.
    Varies,
}

pub fn libiscsi_finds_what_is_expected(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    on_failing_disk(&site, |disk| all_lanes(&site, disk))
}

fn all_lanes(site: &Site, disk: &Disk) -> Result<()> {
    let spare = pool_at(HELD.pool, &format!("path: {SPARE}/pool, io: Direct"));
    site.apply("pools.yaml", &(pool() + &spare))?;
    let agent = site.start_agent()?;
    LANES.iter().try_for_each(|lane| apply(site, lane))?;
    LANES.iter().try_for_each(|lane| site.wait_ready(lane.lun, true).map(drop))?;
    export_by_hand(site, "patient")?;
    disk.hang(site)?;
    let began = Instant::now();
    let running = LANES.iter().map(|lane| start(site, lane)).collect::<Result<Vec<_>>>()?;
    go_on_once_given_up(site, disk)?;
    let mut found = Results::new();
    let mut all = String::new();
    for (lane, process) in LANES.iter().zip(running) {
        let printed = process.wait()?.ok()?;
        found.append(&mut parse(&printed).with_context(|| format!("on {} the suite printed\n{printed}", lane.lun))?);
        all += &printed;
    }
    say(&format!("libiscsi's suite took {} s", began.elapsed().as_secs()));
    compare(&expected()?, &found).with_context(|| format!("the suite printed\n{all}"))?;
    withdraw_by_hand(site)?;
    site.end(agent)
}

fn apply(site: &Site, lane: &Lane) -> Result<()> {
    let initiators = INITIATORS.map(|name| format!("{{iqn: '{name}'{}}}", lane.initiator)).join(", ");
    let more = format!(", reclaimPolicy: Delete{}", lane.spec);
    site.apply(&format!("{}.yaml", lane.lun), &lun_in(lane.pool, lane.lun, "16Mi", &initiators, &more))
}

/// Links a LUN's backstore into a target beside ours, open to all, that wants no immediate data.
fn export_by_hand(site: &Site, lun: &str) -> Result<()> {
    let ours = target(&site.lun(lun)?)?.to_owned();
    site.node
        .must(format!(
            "cd /sys/kernel/config/target/iscsi && mkdir -p {PATIENT}/tpgt_1/lun/lun_0 && \
         ln -s $(readlink -f $(find {ours}/tpgt_1/lun/lun_0 -type l | head -1)) {PATIENT}/tpgt_1/lun/lun_0/ && \
         cd {PATIENT}/tpgt_1 && mkdir np/{} && echo No >param/ImmediateData && echo 0 >attrib/authentication && \
         echo 1 >attrib/generate_node_acls && echo 0 >attrib/demo_mode_write_protect && echo 1 >enable",
            site.portal()
        ))
        .map(drop)
}

fn withdraw_by_hand(site: &Site) -> Result<()> {
    site.node
        .must(format!(
            "cd /sys/kernel/config/target/iscsi/{PATIENT} && echo 0 >tpgt_1/enable && rmdir tpgt_1/np/* && \
         find tpgt_1/lun/lun_0 -type l -exec rm {{}} + && rmdir tpgt_1/lun/lun_0 tpgt_1 ../{PATIENT}"
        ))
        .map(drop)
}

/// Has the disk go on when the suite has seen that its SANITIZE did, after all that was to end it.
fn go_on_once_given_up(site: &Site, disk: &Disk) -> Result<()> {
    let log = site.client.share().join(format!("libiscsi-{}.log", HELD.lun));
    patiently(SOON, || {
        let said = std::fs::read_to_string(&log)?;
        ensure!(said.contains("Wait until the SANITIZE operation has finished"), "the suite says:\n{said}");
        Ok(())
    })?;
    disk.go_on(site)
}

/// Runs a lane's tests on the client; it prints the lines that say what came of them.
fn start(site: &Site, lane: &Lane) -> Result<Process> {
    let Lane { lun, tests, paths, options, .. } = lane;
    let known = site.lun(lun)?;
    let target = lane.target.map_or_else(|| target(&known), Ok)?;
    let urls = format!(" iscsi://{}/{target}/0", site.portal()).repeat(*paths);
    let run = |tests: &&str| {
        format!("stdbuf -oL iscsi-test-cu -t 'ALL.{tests}' --dataloss --allow-sanitize {options} {urls}; echo; ")
    };
    let all: String = tests.iter().map(run).collect();
    let telling = "^Suite: |^  Test: |^passed|passed$|FAILED|SKIPPED|^ +[0-9]+[.] |Run Summary|^Elapsed";
    let line = format!("{{ {all}}} 2>&1 | tee /bed/libiscsi-{lun}.log | grep -E '{telling}'");
    site.client.spawn(&format!("libiscsi-{lun}"), GuestCommand::shell(&line).patience(LONG))
}

/// What CUnit prints: `Suite: NAME`, then `  Test: NAME ...`, whatever the test says, and how it ended at the end of a
/// line of that or on one of its own.
fn parse(printed: &str) -> Result<Results> {
    let mut results = Results::new();
    let (mut suite, mut test, mut skipped) = ("", None, false);
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix("Suite: ") {
            suite = name.trim();
        }
        if let Some((name, said)) = line.strip_prefix("  Test: ").and_then(|rest| rest.split_once(" ...")) {
            ensure!(test.is_none(), "no result of {test:?} before {line:?}");
            (test, skipped) = (Some(format!("{suite}.{name}")), false);
            // What is printed while it cleans up can follow.
            if let Some(name) = test.take_if(|_| said.starts_with("passed")) {
                results.insert(name, Outcome::Pass);
            }
        }
        skipped |= line.contains("[SKIPPED]");
        // So it can here.
        let says = |outcome| line.trim_end().ends_with(outcome) || line.starts_with(outcome);
        let outcome = match () {
            () if says("passed") && skipped => Outcome::Skip,
            () if says("passed") => Outcome::Pass,
            () if says("FAILED") => Outcome::Fail,
            _ => continue,
        };
        if let Some(name) = test.take() {
            results.insert(name, outcome);
        }
    }
    ensure!(test.is_none(), "the suite ended in the middle of {test:?}");
    Ok(results)
}

fn expected() -> Result<Results> {
    let lines = EXPECTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(expected_line).collect()
}

/// `NAME RESULT REASON`: only a pass needs no reason.
fn expected_line(line: &str) -> Result<(String, Outcome)> {
    let mut words = line.split_whitespace();
    let (name, result) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let outcome = match (result, words.next()) {
        ("pass", None) => Outcome::Pass,
        ("fail", Some(_)) => Outcome::Fail,
        ("skip", Some(_)) => Outcome::Skip,
        ("varies", Some(_)) => Outcome::Varies,
        _ => bail!("libiscsi.expected: {line:?} is neither NAME pass nor NAME fail|skip|varies REASON"),
    };
    Ok((name.to_owned(), outcome))
}

fn compare(expected: &Results, found: &Results) -> Result<()> {
    let count = |wanted| found.values().filter(|outcome| **outcome == wanted).count();
    let (passed, failed, skipped) = (count(Outcome::Pass), count(Outcome::Fail), count(Outcome::Skip));
    say(&format!("of {} tests {passed} passed, {failed} failed and {skipped} were skipped", found.len()));
    let mut differences = String::new();
    for name in expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name))) {
        let (wanted, got) = (expected.get(name), found.get(name));
        let varies = wanted == Some(&Outcome::Varies) && got.is_some();
        if wanted != got && !varies {
            writeln!(differences, "{name}: expected {wanted:?}, found {got:?}")?;
        }
    }
    ensure!(differences.is_empty(), "libiscsi.expected is no longer true:\n{differences}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_suite_prints_is_understood() {
        let printed = "Suite: Read10\n  Test: Simple ...passed\n  Test: Async ...    [SKIPPED] no\npassed    [FAILED] to clean up\n\
                       Suite: Sanitize\n  Test: Reset ...    [FAILED] READ16 failed\nFAILED\n    1. file.c:9  - 0 == 1\n";
        let found = parse(printed).unwrap();
        let expected =
            [("Read10.Async", Outcome::Skip), ("Read10.Simple", Outcome::Pass), ("Sanitize.Reset", Outcome::Fail)];
        assert_eq!(found, expected.map(|(name, outcome)| (name.to_owned(), outcome)).into());
        assert!(parse("Suite: A\n  Test: B ...").is_err());
    }

    #[test]
    fn every_failure_and_every_skip_has_a_reason() {
        assert!(expected().unwrap().len() > 200);
        assert!(expected_line("A.B fail").is_err() && expected_line("A.B").is_err());
    }
}
