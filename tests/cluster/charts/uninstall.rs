//! The two steps around an uninstallation, run as processes with exactly the rights that the chart's hooks give.

use std::path::Path;

use anyhow::ensure;
use lunette_bed::{Context, Output, Result, host};

use super::super::agent::Agent;
use super::super::operator::Operator;
use super::super::site::{SYSTEM, Site, lun, pool};
use super::helm::{Helm, documents};

/// Gives the hooks' accounts their rights, as Helm would.
fn prepare(site: &Site) -> Result<()> {
    let rendered = Helm::alone(&site.bed).render(None)?;
    let rights: Vec<&str> = documents(&rendered)
        .into_iter()
        .filter(|document| document.contains("helm.sh/hook:") && !document.contains("kind: Job"))
        .collect();
    site.plane.kubectl_with_input(["apply", "-f", "-"], &rights.join("\n---\n"))?.ok().map(drop)
}

/// Runs a step as its account.
fn step(site: &Site, step: &str) -> Result<Output> {
    let account = format!("lunette-uninstall-{step}");
    let token = site.plane.kubectl_must(["create", "token", &account, "-n", SYSTEM])?;
    let kubeconfig = site.plane.kubeconfig_for_token(&account, &token)?;
    let mut command = site.bed.command(site.binary("lunette-operator"));
    command.args(["uninstall", step]).env("KUBECONFIG", &kubeconfig).env("LUNETTE_NAMESPACE", SYSTEM);
    let output = host::capture(&mut command, b"")?;
    may_do_nothing_else(site, &kubeconfig)?;
    Ok(Output::of(&format!("lunette-operator uninstall {step}"), &output))
}

fn may_do_nothing_else(site: &Site, kubeconfig: &Path) -> Result<()> {
    for (verb, what) in [("get", "secrets"), ("delete", "luns"), ("patch", "lunpools"), ("create", "pods")] {
        let answer = site.plane.kubectl_as(kubeconfig, ["auth", "can-i", verb, what, "-n", "prod"], "")?;
        ensure!(answer.stdout.trim() == "no", "a hook can {verb} {what}");
    }
    Ok(())
}

pub fn what_exists_is_not_uninstalled(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    prepare(&site)?;
    step(&site, "check")?.ok()?;
    let operator = Operator::start(&site)?;
    site.apply(&pool("fast", |_| ()))?;
    let _agent = Agent::ready(&site.plane, "a")?;
    site.apply(&lun("db", |spec| spec["pool"] = "missing".into()))?;
    let said = step(&site, "check")?.refused()?;
    ensure!(said.contains("there are 1 Luns (prod/db) and 1 LunPools (fast)"), "{said}");
    site.plane.kubectl_must(["delete", "lun", "db", "-n", "prod"])?;
    let said = step(&site, "check")?.refused()?;
    ensure!(said.contains("there are 1 LunPools (fast)"), "{said}");
    site.plane.kubectl_must(["delete", "lunpool", "fast"])?;
    step(&site, "check")?.ok()?;
    drop(operator);
    site.plane.kubectl_must(["create", "-n", SYSTEM, "-f", &stranger(&site)?])?;
    step(&site, "sweep")?.ok()?;
    ensure!(site.plane.kubectl_must(["get", "lunnodes", "-o", "name"])?.is_empty(), "a LunNode is left");
    let leases = site.plane.kubectl_must(["get", "leases", "-n", SYSTEM, "-o", "name"])?;
    ensure!(leases == "lease.coordination.k8s.io/someone-elses", "{leases}");
    // A second time there is nothing to do.
    step(&site, "sweep")?.ok().map(drop)
}

/// A Lease of somebody else in the same namespace, in a file.
fn stranger(site: &Site) -> Result<String> {
    let path = site.bed.folder().join("lease.yaml");
    std::fs::write(&path, "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: someone-elses}}")?;
    Ok(path.display().to_string())
}
