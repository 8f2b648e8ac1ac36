//! The suite of libiscsi against a LUN of ours: every one of its tests comes to what `libiscsi.expected` says.
//!
//! The LUN is small: then the suite sends no transfer that is longer than VPD page B0h allows, and sanitizes it soon.
//! A result that is better than expected fails this test too, so that the file stays true. The suite logs in under two
//! names and on two paths; what it prints is the only machine-readable thing about a skipped test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use lunette_bed::{Context, GuestCommand, Result};

use super::initiator::target;
use super::manifest::{lun_in, pool};
use super::site::{Site, say};

/// What each test comes to: name, result, and why where it is not `pass`.
const EXPECTED: &str = include_str!("libiscsi.expected");
/// Longer than the suite takes.
const LONG: Duration = Duration::from_secs(800);
/// The names under which the suite logs in unless told otherwise.
const INITIATORS: [&str; 2] =
    ["iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test", "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-test-2"];

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
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let initiators = INITIATORS.map(|name| format!("{{iqn: '{name}'}}")).join(", ");
    site.apply("suite.yaml", &lun_in("files", "suite", "16Mi", &initiators, ", reclaimPolicy: Delete"))?;
    let lun = site.wait_ready("suite", true)?;
    let url = format!("iscsi://{}/{}/0", site.portal(), target(&lun)?);
    let printed = run(&site, &url)?;
    let found = parse(&printed)?;
    compare(&expected()?, &found).with_context(|| format!("the suite printed\n{printed}"))?;
    site.end(agent)
}

/// Runs the suite on the client; the lines that say what came of its tests.
fn run(site: &Site, url: &str) -> Result<String> {
    let script = format!(
        "stdbuf -oL iscsi-test-cu -t ALL --dataloss --allow-sanitize {url} {url} >/bed/libiscsi.log 2>&1; \
         grep -E '^Suite: |^  Test: |^passed|^FAILED|SKIPPED|^ +[0-9]+[.] |Run Summary|FAILED|^Elapsed' /bed/libiscsi.log"
    );
    let began = Instant::now();
    let printed = site.client.must(GuestCommand::shell(&script).patience(LONG))?;
    say(&format!("libiscsi's suite took {} s", began.elapsed().as_secs()));
    Ok(printed)
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
        let outcome = match line.trim_end() {
            line if line.ends_with("passed") && skipped => Outcome::Skip,
            line if line.ends_with("passed") => Outcome::Pass,
            line if line.ends_with("FAILED") => Outcome::Fail,
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
        let printed = "Suite: Read10\n  Test: Simple ...passed\n  Test: Async ...    [SKIPPED] no\npassed\n\
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
