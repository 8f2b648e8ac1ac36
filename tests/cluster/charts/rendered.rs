//! What the charts render to, without any cluster: lint, refusals, and files that are compared with committed ones.
//!
//! `make manifests` runs the comparing tests with `LUNETTE_WRITE_RENDERED` set: they write the files then.

use std::path::Path;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};

use super::super::installed::site::{SIDECARS, pinned};
use super::helm::{Helm, documents, kind};

const HEADER: &str = "\
# Lunette in a cluster: kubectl apply -f manifests/crds -f manifests/install.yaml
#
# Rendered from charts/lunette by `make manifests`; edit the chart instead.
#
# Programs with ServiceAccounts of their own: `lunette-operator` decides which node serves which Lun, `lunette-node`
# serves them, privileged, one on each node, and `lunette-csi` makes Luns of claims, with sidecars of the Kubernetes
# project. None can do another's part, and an agent can write only what belongs to its own node: the
# ValidatingAdmissionPolicies see to that.
";

/// What the plain manifest shows whole, and no value changes.
const SHOWN_PLAIN: [&str; 7] = [
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

pub fn lint_finds_nothing(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let helm = Helm::alone(&bed);
    helm.run(["lint", "--strict", &helm.chart("lunette-crds")])?.ok()?;
    for (_, values) in helm.values()? {
        let (chart, values) = (helm.chart("lunette"), values.map(|path| path.display().to_string()));
        let mut arguments = vec!["lint", "--strict", chart.as_str()];
        arguments.extend(values.iter().flat_map(|path| ["--values", path.as_str()]));
        helm.run(arguments)?.ok()?;
    }
    Ok(())
}

pub fn values_that_cannot_be_are_refused(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let helm = Helm::alone(&bed);
    for (value, words) in [
        ("nodes.log=debug", "additional properties 'nodes' not allowed"),
        ("operator.image.regisrty=x", "additional properties 'regisrty' not allowed"),
        ("node.image.digest=sha256:0123", "/node/image/digest"),
        ("operator.replicas=0", "/operator/replicas"),
        ("node.updateStrategy.type=Recreate", "/node/updateStrategy/type"),
        ("node.poolDirectories={relative}", "/node/poolDirectories/0"),
        ("node.poolDirectories={/srv/../etc}", "/node/poolDirectories/0"),
        ("csi.kubeletDir=relative", "/csi/kubeletDir"),
        ("csi.attacher.extraArgs={v=4}", "/csi/attacher/extraArgs/0"),
        ("csi.provisioner.enabled=false", "additional properties 'enabled' not allowed"),
        ("storageClasses[0].name=a", "missing property 'parameters'"),
        ("storageClasses[0].name=a,storageClasses[0].parameters.fsType=xfs", "missing property 'pool'"),
        ("monitoring.podMonitor.interval=often", "/monitoring/podMonitor/interval"),
        ("monitoring.dashboards.enabled=maybe", "/monitoring/dashboards/enabled"),
        ("lunette-crds.labels.a=b", "additional properties 'labels' not allowed"),
    ] {
        let said = helm.run(["template", &helm.chart("lunette"), "--set", value])?.refused()?;
        ensure!(said.contains(words), "{value} is refused, but not with {words:?}:\n{said}");
    }
    let old = helm.run(["template", &helm.chart("lunette"), "--kube-version", "1.33.0"])?.refused()?;
    ensure!(old.contains("chart requires kubeVersion: >=1.34.0-0"), "{old}");
    Ok(())
}

/// The versions that the chart installs are those that the tests build.
pub fn the_sidecars_are_those_that_are_tested(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let helm = Helm::alone(&bed);
    let rendered = helm.run(["template", &helm.chart("lunette"), "--set", "csi.snapshotter.enabled=true"])?.ok()?;
    for (program, module) in SIDECARS {
        let image = format!("image: registry.k8s.io/sig-storage/{program}:{}\n", pinned(&bed, module)?);
        ensure!(rendered.contains(&image), "the chart does not install {}", image.trim());
    }
    Ok(())
}

pub fn the_plain_manifest_is_the_charts(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let helm = Helm::alone(&bed);
    let chart = helm.chart("lunette");
    let values = format!("{chart}/ci/plain-values.yaml");
    let rendered = helm.run(["template", "lunette", &chart, "--values", &values, "--no-hooks"])?.ok()?;
    let plain: Vec<String> = documents(&rendered).into_iter().map(without_helm).collect();
    compare(&helm.checkout().join("manifests/install.yaml"), &format!("{HEADER}{}\n", plain.join("\n---\n")))
}

pub fn each_value_does_what_it_did(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let helm = Helm::alone(&bed);
    for (name, values) in helm.values()?.into_iter().filter(|(name, _)| name != "plain") {
        let rendered = helm.render(values.as_deref())?;
        let own: Vec<&str> = documents(&rendered).into_iter().filter(|d| !SHOWN_PLAIN.contains(&kind(d))).collect();
        let golden = helm.checkout().join("tests/cluster/charts/golden").join(format!("{name}.yaml"));
        compare(&golden, &format!("{}\n", own.join("\n---\n")))?;
    }
    Ok(())
}

/// A document without what only Helm has use for.
fn without_helm(document: &str) -> String {
    let of_helm = ["# Source: ", "app.kubernetes.io/managed-by: Helm", "helm.sh/chart: "];
    let lines = document.lines().filter(|line| !of_helm.iter().any(|start| line.trim_start().starts_with(start)));
    lines.collect::<Vec<_>>().join("\n")
}

/// That a committed file is what was rendered; or writes it, when asked to.
fn compare(path: &Path, rendered: &str) -> Result<()> {
    if std::env::var_os("LUNETTE_WRITE_RENDERED").is_some() {
        return std::fs::write(path, rendered).with_context(|| format!("writing {}", path.display()));
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let differs = committed.lines().zip(rendered.lines()).find(|(old, new)| old != new);
    ensure!(
        committed == rendered,
        "{} is not what charts/lunette renders to; first difference: {differs:?}. Run `make manifests` and look at the change",
        path.display()
    );
    Ok(())
}
