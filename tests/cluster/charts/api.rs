//! What the charts render to, before a real API server: its schemas, its defaults, its Pod Security levels.

use anyhow::{Context as _, ensure};
use lunette_bed::{Bed, Context, ControlPlane, ControlPlaneSpec, Result};
use serde_json::{Value, json};

use super::super::site::{SYSTEM, patiently};
use super::helm::{Helm, documents, kind, parsed};

/// Kinds that are not Kubernetes' own, without their schemas: group, scope, kind and plural.
const FOREIGN_KINDS: [[&str; 4]; 4] = [
    ["monitoring.coreos.com", "Namespaced", "PodMonitor", "podmonitors"],
    ["monitoring.coreos.com", "Namespaced", "PrometheusRule", "prometheusrules"],
    ["snapshot.storage.k8s.io", "Cluster", "VolumeSnapshotClass", "volumesnapshotclasses"],
    ["groupsnapshot.storage.k8s.io", "Cluster", "VolumeGroupSnapshotClass", "volumegroupsnapshotclasses"],
];

fn plane(bed: &Bed, spec: ControlPlaneSpec) -> Result<ControlPlane> {
    let plane = ControlPlane::start(bed, spec)?;
    let crds = bed.ground().layout().checkout().join("manifests/crds").display().to_string();
    plane.kubectl_must(["apply", "--server-side", "-f", &crds])?;
    for kind in FOREIGN_KINDS {
        plane.kubectl_with_input(["apply", "-f", "-"], &anything(kind).to_string())?.ok()?;
    }
    plane.kubectl_must(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    plane.kubectl_must(["create", "namespace", SYSTEM])?;
    Ok(plane)
}

/// A kind that takes anything.
fn anything([group, scope, kind, plural]: [&str; 4]) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"}},
        "spec": {"group": group, "scope": scope, "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}})
}

/// On the newest API and on the oldest that the chart admits.
pub fn the_api_server_takes_it_all(context: &Context) -> Result<()> {
    for spec in [ControlPlaneSpec::new(), ControlPlaneSpec::new().emulated_version("1.34")] {
        let bed = context.bed()?;
        let plane = plane(&bed, spec)?;
        let helm = Helm::alone(&bed);
        for (name, values) in helm.values()? {
            let rendered = helm.render(values.as_deref())?;
            let dry =
                ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
            let answer = plane.kubectl_with_input(dry, &rendered)?;
            let said = answer.ok().with_context(|| format!("rendered with the values {name}"))?;
            let taken = said.lines().count();
            ensure!(taken == documents(&rendered).len(), "{taken} objects taken of what {name} renders to:\n{said}");
            ensure!(!answer.printed().contains("Warning"), "the API server warns of {name}:\n{}", answer.printed());
        }
    }
    Ok(())
}

/// The pods of the operator, of CSI and of the hooks fit the level `restricted`; those of agents cannot.
pub fn only_agents_need_privileges(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let plane = plane(&bed, ControlPlaneSpec::new())?;
    let restricted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    plane.kubectl_with_input(["apply", "-f", "-"], &restricted.to_string())?.ok()?;
    let helm = Helm::alone(&bed);
    // With all that can be asked for: the pod of `helm test` too.
    let values = helm.values()?.into_iter().find(|(name, _)| name == "everything");
    let rendered = helm.render(values.and_then(|(_, file)| file).as_deref())?;
    let mut fit = Vec::new();
    for document in documents(&rendered) {
        if !["Deployment", "DaemonSet", "Job"].contains(&kind(document)) {
            continue;
        }
        let owner = parsed(&plane, document)?;
        let mut spec = owner["spec"]["template"]["spec"].clone();
        let account = spec["serviceAccountName"].as_str().context("no account of its own")?.to_owned();
        // Critical priorities are for the system's namespaces and those with a quota for them; no matter here.
        spec.as_object_mut().context("a pod has a specification")?.remove("priorityClassName");
        plane.kubectl_must(["create", "serviceaccount", &account, "-n", "restricted"])?;
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": "probe", "namespace": "restricted"}});
        let create = || plane.kubectl_with_input(["create", "--dry-run=server", "-f", "-"], &pod.to_string());
        if account == "lunette-node" {
            // A level is enforced a moment after it was written.
            let said = patiently(|| create()?.refused())?;
            ensure!(said.contains("violates PodSecurity \"restricted"), "{said}");
        } else {
            create()?.ok()?;
            fit.push(account);
        }
    }
    fit.sort();
    let all = ["lunette-csi", "lunette-operator", "lunette-test", "lunette-uninstall-check", "lunette-uninstall-sweep"];
    ensure!(fit == all, "{fit:?}");
    Ok(())
}

/// One command makes an empty cluster one with Lunette, another changes it, and a namespace where no agent could
/// start is refused before anything is made.
pub fn helm_installs_and_upgrades(context: &Context) -> Result<()> {
    let bed = context.bed()?;
    let plane = ControlPlane::start(&bed, ControlPlaneSpec::new())?;
    let helm = Helm::of(&bed, &plane);
    let chart = helm.chart("lunette");
    plane.ensure_namespace(SYSTEM)?;
    let level = |level: &str| {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        plane.kubectl_must(["label", "--overwrite", "namespace", SYSTEM, &label])
    };
    level("restricted")?;
    let said = helm.run(["install", "lunette", &chart])?.refused()?;
    ensure!(said.contains("enforces the Pod Security level restricted, under which no agent could start"), "{said}");
    level("privileged")?;
    let notes = helm.run(["install", "lunette", &chart, "--create-namespace"])?.ok()?;
    ensure!(notes.contains("target_core_user") && notes.contains("kubectl get lunnodes"), "{notes}");
    plane.kubectl_must(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    let replicas = |wanted: u64| {
        let operator = plane.get_json(["deployment", "lunette-operator", "-n", SYSTEM])?;
        ensure!(operator["spec"]["replicas"] == wanted, "{operator:#}");
        Ok(())
    };
    replicas(2)?;
    helm.run(["upgrade", "lunette", &chart, "--set", "operator.replicas=3"])?.ok()?;
    replicas(3)?;
    helm.run(["uninstall", "lunette", "--no-hooks"])?.ok()?;
    let ours = "app.kubernetes.io/part-of=lunette";
    let all = "deployments,daemonsets,serviceaccounts,clusterroles,clusterrolebindings,roles,rolebindings,\
               networkpolicies,poddisruptionbudgets,validatingadmissionpolicies,validatingadmissionpolicybindings";
    patiently(|| {
        let left = plane.kubectl_must(["get", all, "-A", "-l", ours, "-o", "name"])?;
        ensure!(left.is_empty(), "left after an uninstallation:\n{left}");
        Ok(())
    })?;
    plane.kubectl_must(["get", "crd", "luns.lunette.io", "lunpools.lunette.io", "lunnodes.lunette.io"])?;
    // What stayed does not stand in the way of the next installation.
    helm.run(["install", "lunette", &chart])?.ok().map(drop)
}
