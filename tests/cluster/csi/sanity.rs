//! csi-sanity, CSI's own conformance suite: all of it but the node's part, for devices and for file systems.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result, host};
use serde_json::Value;

use super::{endpoint, node, with_driver};

pub fn csi_sanity_finds_no_fault(context: &Context) -> Result<()> {
    let program = context.ground().program("csi-sanity")?;
    with_driver(context, |_, _, driver| {
        let folder = tempfile::tempdir().context("a folder for csi-sanity")?;
        let node = folder.path().join("node.sock");
        node::serve(&driver.runtime, &node, driver.channel.clone())?;
        let (class, attributes) = (folder.path().join("class.yaml"), folder.path().join("attributes.yaml"));
        std::fs::write(&class, "pool: fast\n").context("writing the parameters")?;
        std::fs::write(&attributes, "writeCache: WriteThrough\n").context("writing the mutable parameters")?;
        // Whole blocks: csi-sanity takes a size that was rounded up for a wrong one.
        for access in ["mount", "block"] {
            let report = folder.path().join(format!("{access}.json"));
            let mut sanity = Command::new(&program);
            sanity.args(["-csi.endpoint", &endpoint(&node), "-csi.controllerendpoint", &endpoint(&driver.socket)]);
            sanity.args(["-csi.testvolumeaccesstype", access, "-csi.testvolumesize", "10485760"]);
            sanity.args(["-csi.testvolumeexpandsize", "20971520"]);
            sanity.args(["-csi.testvolumeparameters".as_ref(), class.as_os_str()]);
            sanity.args(["-csi.testvolumemutableparameters".as_ref(), attributes.as_os_str()]);
            sanity.args(["-ginkgo.skip", "Node Service", "-ginkgo.no-color"]);
            sanity.args(["-ginkgo.json-report".as_ref(), report.as_os_str()]);
            host::run(&mut sanity)?;
            judge(access, &report)?;
        }
        Ok(())
    })
}

/// Why a case may be skipped: the driver does not claim what it is about, or it is the node's.
const MAY_SKIP: [&str; 2] =
    ["SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported", "testnodevolumeattachlimit not enabled"];

/// Fewer cases than this are not what this test is about.
const FEWEST: usize = 60;

fn judge(access: &str, report: &Path) -> Result<()> {
    let text = std::fs::read_to_string(report).context("reading csi-sanity's report")?;
    let report: Value = serde_json::from_str(&text).context("understanding csi-sanity's report")?;
    let cases = report[0]["SpecReports"].as_array().context("csi-sanity's report has no cases")?;
    let in_state = |state: &str| cases.iter().filter(|case| case["State"] == state).collect::<Vec<_>>();
    let (passed, skipped) = (in_state("passed"), in_state("skipped"));
    // What the command line left out is skipped for no reason.
    for case in skipped.iter().filter(|case| !case["Failure"].is_null()) {
        let (name, why) = (&case["LeafNodeText"], case["Failure"]["Message"].as_str().unwrap_or_default());
        ensure!(MAY_SKIP.contains(&why), "{access}: {name} was skipped: {why}");
    }
    ensure!(passed.len() >= FEWEST, "{access}: only {} cases passed", passed.len());
    Ok(())
}
