//! csi-sanity, CSI's own conformance suite, for devices and for file systems: the controller's side with played nodes,
//! and all of it on a real node.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Process, Result, Vm, host};
use serde_json::Value;

use super::super::node::KUBELET;
use super::super::operator::Operator;
use super::super::site::{SOON, SYSTEM, Site};
use super::place::{Kubelet, csi_socket};
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
            judge(access, &report, FEWEST)?;
        }
        Ok(())
    })
}

/// Where the controller's side listens in the VM.
const CONTROLLER: &str = "/run/lunette-csi.sock";
/// Longer than the suite takes under emulation.
const LONG: Duration = Duration::from_secs(840);

/// Both halves, the agent's and the operator's, in one VM: the suite tells both what to do.
pub fn csi_sanity_finds_no_fault_on_a_node(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let kubelet = Kubelet::of(&site, "real-node")?;
    let vm = &kubelet.node.vm;
    let _driver = controller(&site, vm)?;
    let program = context.ground().program("csi-sanity")?;
    vm.must("echo pool: fast >/run/class.yaml; echo writeCache: WriteThrough >/run/attributes.yaml")?;
    for access in ["mount", "block"] {
        let sanity = GuestCommand::new(&program)
            .args(["-csi.endpoint", &format!("unix://{}", csi_socket())])
            .args(["-csi.controllerendpoint", &format!("unix://{CONTROLLER}"), "-csi.testvolumeaccesstype", access])
            .args(["-csi.testvolumesize", "10485760", "-csi.testvolumeexpandsize", "20971520"])
            .args(["-csi.testvolumeparameters", "/run/class.yaml"])
            .args(["-csi.testvolumemutableparameters", "/run/attributes.yaml"])
            .args(["-csi.mountdir", "/run/csi-mount", "-csi.stagingdir", "/run/csi-staging", "-ginkgo.no-color"])
            .args(["-ginkgo.json-report", &format!("/bed/{access}.json")])
            .patience(LONG);
        vm.must(sanity)?;
        judge(access, &vm.share().join(format!("{access}.json")), FEWEST_WITH_NODE)?;
    }
    vm.must(format!("! grep -e {KUBELET} -e /run/csi- /proc/self/mountinfo"))?;
    vm.dmesg_must_be_clean()
}

fn controller(site: &Site, vm: &Vm) -> Result<Process> {
    let token = site.plane.kubectl_must(["create", "token", "lunette-csi", "-n", SYSTEM])?;
    let kubeconfig = site.plane.kubeconfig_for_token("csi", &token)?.display().to_string();
    let line = format!("exec {} csi --endpoint unix://{CONTROLLER}", site.binary("lunette-operator").display());
    let driver = vm.spawn("csi", GuestCommand::shell(&line).env("KUBECONFIG", &kubeconfig).patience(2 * LONG))?;
    vm.wait_for(format!("[ -S {CONTROLLER} ]"), SOON)?;
    Ok(driver)
}

/// Why a case may be skipped: the driver does not claim what it is about, or it is the node's.
const MAY_SKIP: [&str; 2] =
    ["SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported", "testnodevolumeattachlimit not enabled"];

/// Fewer cases than this are not what the tests are about.
const FEWEST: usize = 60;
const FEWEST_WITH_NODE: usize = 60;

fn judge(access: &str, report: &Path, fewest: usize) -> Result<()> {
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
    ensure!(passed.len() >= fewest, "{access}: only {} cases passed", passed.len());
    Ok(())
}
