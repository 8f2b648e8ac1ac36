//! csi-sanity, CSI's own conformance suite: all of it but the node's part, for devices and for file systems.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result, host};

use super::{Driver, endpoint, node, with_driver};

pub fn csi_sanity_finds_no_fault(context: &Context) -> Result<()> {
    let program = context.ground().program("csi-sanity")?;
    with_driver(context, |_, _, driver| {
        let folder = tempfile::tempdir().context("a folder for csi-sanity")?;
        let node = folder.path().join("node.sock");
        node::serve(&driver.runtime, &node, driver.channel.clone())?;
        let (class, attributes) = (folder.path().join("class.yaml"), folder.path().join("attributes.yaml"));
        std::fs::write(&class, "pool: fast\n").context("writing the parameters")?;
        std::fs::write(&attributes, "writeCache: WriteThrough\n").context("writing the mutable parameters")?;
        for access in ["mount", "block"] {
            let mut sanity = Command::new(&program);
            sanity.args(["-csi.endpoint", &endpoint(&node), "-csi.controllerendpoint", &endpoint(&driver.socket)]);
            sanity.args(["-csi.testvolumeaccesstype", access, "-csi.testvolumesize", "10485760"]);
            sanity.args(["-csi.testvolumeexpandsize", "20971521"]);
            sanity.args(["-csi.testvolumeparameters".as_ref(), class.as_os_str()]);
            sanity.args(["-csi.testvolumemutableparameters".as_ref(), attributes.as_os_str()]);
            sanity.args(["-ginkgo.skip", "Node Service", "-ginkgo.no-color", "-ginkgo.v"]);
            judge(&host::run(&mut sanity)?, access, driver, folder.path())?;
        }
        Ok(())
    })
}

/// What may be skipped: what the driver does not claim.
const MAY_SKIP: [&str; 3] = ["napshot", "only volumes", "pagination"];

fn judge(printed: &str, access: &str, driver: &Driver, folder: &Path) -> Result<()> {
    let summary = printed.lines().find(|line| line.contains(" Passed") && line.contains(" Failed"));
    let summary = summary.with_context(|| format!("csi-sanity says no result in {}", folder.display()))?;
    ensure!(summary.contains("| 0 Failed |") || summary.contains(" 0 Failed"), "{access}: {summary}");
    println!("\n     csi-sanity, {access}: {}", summary.trim());
    let skipped = printed.lines().filter(|line| line.contains("[SKIPPED]"));
    for line in skipped {
        let known = MAY_SKIP.iter().any(|what| line.contains(what)) || line.contains("not supported");
        ensure!(known, "{access}: skipped for no known reason: {line}\n{}", driver.daemon.log_tail());
    }
    Ok(())
}
