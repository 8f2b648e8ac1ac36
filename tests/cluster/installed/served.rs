//! LUNs that pods serve, while the pods go and come.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result};

use super::super::site::SYSTEM;
use super::site::{Installed, PATIENCE, WITHIN};

pub fn a_lun_is_served_by_an_agents_pod(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let lun = site.lun("first", None)?;
    let disk = site.login(&lun)?;
    let script = format!(
        "mkfs.ext4 -q {disk} && mount {disk} /mnt && head -c 8M /dev/urandom > /mnt/data && sha256sum /mnt/data > /tmp/sum \
         && umount /mnt && mount {disk} /mnt && sha256sum -c /tmp/sum && umount /mnt"
    );
    site.client.must(GuestCommand::shell(&script).patience(PATIENCE))?;
    site.logout(&lun)?;
    let logs = site.plane.kubectl_must(["logs", "-n", SYSTEM, "daemonset/lunette-node", "--all-pods", "--tail=-1"])?;
    ensure!(!logs.contains("\"level\":\"ERROR\""), "agents report errors:\n{logs}");
    Ok(())
}

pub fn a_deleted_agents_pod_costs_no_io(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let node = site.nodes[0].name();
    let lun = site.lun("pod", Some(node))?;
    let writer = site.start_writer(&site.login(&lun)?)?;
    // Once in order, once as if it had crashed.
    for how in ["--grace-period=30", "--force"] {
        let old = site.agent_pod(node)?;
        site.plane.kubectl_must(["delete", "pod", &old, "-n", SYSTEM, how, WITHIN])?;
        site.agents_are_ready()?;
        ensure!(site.agent_pod(node)? != old, "the pod {old} is still there");
        site.io_goes_on(&writer)?;
    }
    writer.end(&site)?;
    site.logout(&lun)?;
    site.nodes[0].vm().dmesg_must_be_clean()
}

pub fn a_rollout_of_the_agents_costs_no_io(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let mut writers = Vec::new();
    for node in &site.nodes {
        let lun = site.lun(&format!("rollout-{}", node.name()), Some(node.name()))?;
        writers.push((site.start_writer(&site.login(&lun)?)?, lun));
    }
    let before = [site.agent_pod("node-a")?, site.agent_pod("node-b")?];
    let helm = site.helm();
    let chart = helm.chart("lunette");
    let upgrade = ["upgrade", "lunette", &chart, "--reuse-values", "--set", "node.log=debug"];
    helm.run(upgrade.into_iter().chain(["--wait", WITHIN]))?.ok().with_context(|| site.pods())?;
    site.agents_are_ready()?;
    for (node, old) in site.nodes.iter().zip(&before) {
        ensure!(site.agent_pod(node.name())? != *old, "the agent of {} was not replaced", node.name());
    }
    for (writer, lun) in writers {
        writer.end(&site)?;
        site.logout(&lun)?;
        let name = lun["metadata"]["name"].as_str().unwrap_or_default();
        site.plane.wait_for_json(["lun", name, "-n", "prod"], PATIENCE, |lun| lun["status"]["state"] == "Ready")?;
    }
    Ok(())
}
