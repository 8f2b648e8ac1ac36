//! A control plane on which Lunette is installed, and what the tests say to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Bed, Context, ControlPlane, ControlPlaneSpec, Result};
use serde_json::{Value, json};

/// How long something that takes a moment may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(90);
/// Where operator and agents are installed.
pub const SYSTEM: &str = "lunette-system";

/// A control plane with the CRDs and `manifests/install.yaml`.
#[derive(Debug)]
pub struct Site {
    pub plane: ControlPlane,
    pub bed: Bed,
}

impl Site {
    /// One of the test's own.
    pub fn up(context: &Context) -> Result<Site> {
        Site::of(context, ControlPlaneSpec::new())
    }

    /// The same, on a control plane like this.
    pub fn of(context: &Context, spec: ControlPlaneSpec) -> Result<Site> {
        let bed = context.bed()?;
        let site = Site { plane: ControlPlane::start(&bed, spec)?, bed };
        site.install()?;
        Ok(site)
    }

    fn install(&self) -> Result<()> {
        let manifests = self.manifests();
        let (crds, install) = (manifests.join("crds"), manifests.join("install.yaml"));
        let server_side = ["apply", "--server-side", "-f"];
        self.plane.kubectl_must([server_side.as_slice(), &[&crds.display().to_string()]].concat())?;
        self.plane.kubectl_must(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
        self.plane.kubectl_must([server_side.as_slice(), &[&install.display().to_string()]].concat())?;
        self.plane.ensure_namespace("prod")?;
        self.policies_are_in_force()
    }

    /// A policy is enforced a moment after it was written, and the one with parameters when its watch of
    /// pools has begun.
    fn policies_are_in_force(&self) -> Result<()> {
        let stranger =
            json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": "probe"}, "spec": {}});
        let token = self.plane.token_for_node_sa(SYSTEM, "lunette-node", "probe-node")?;
        let agent = self.plane.kubeconfig_for_token("probe", &token)?;
        let dry = ["create", "--dry-run=server", "-f", "-"];
        patiently(|| self.plane.kubectl_as(&agent, dry, &stranger.to_string())?.refused().map(drop))?;
        let pool = pool("probe", |spec| spec["namespaces"] = json!(["elsewhere"]));
        self.apply(&pool)?;
        let lun = lun("probe", |spec| spec["pool"] = json!("probe"));
        patiently(|| self.plane.kubectl_with_input(dry, &lun.to_string())?.refused().map(drop))?;
        self.plane.kubectl_must(["delete", "lunpool", "probe"]).map(drop)
    }

    /// The folder of the manifests.
    pub fn manifests(&self) -> PathBuf {
        self.bed.ground().layout().checkout().join("manifests")
    }

    /// A binary of ours.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.bed.ground().layout().program(name)
    }

    /// Applies an object as an administrator.
    pub fn apply(&self, object: &Value) -> Result<()> {
        self.plane
            .kubectl_with_input(["apply", "--server-side", "--force-conflicts", "-f", "-"], &object.to_string())?
            .ok()
            .map(drop)
    }

    /// Asserts that the object is refused to whoever applies it as users do, with these words.
    pub fn refused(&self, object: &Value, words: &str) -> Result<()> {
        let answer = self.plane.kubectl_with_input(["apply", "-f", "-"], &object.to_string())?;
        let said = answer.refused().with_context(|| format!("accepted: {object}"))?;
        ensure!(said.contains(words), "refused, but not with {words:?}:\n{said}");
        Ok(())
    }

    /// A Lun of namespace `prod`.
    pub fn lun(&self, name: &str) -> Result<Value> {
        self.plane.get_json(["lun", name, "-n", "prod"])
    }

    /// Waits until a Lun of namespace `prod` is as it should be.
    pub fn wait_lun(&self, name: &str, accepted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.plane.wait_for_json(["lun", name, "-n", "prod"], SOON, accepted)
    }

    /// Waits until an object is gone.
    pub fn wait_gone(&self, what: &[&str]) -> Result<()> {
        patiently(|| {
            let left =
                self.plane.kubectl_must([["get", "--ignore-not-found", "-o", "name"].as_slice(), what].concat())?;
            ensure!(left.is_empty(), "{left} is still there");
            Ok(())
        })
    }

    /// The notes of the events of that reason on an object.
    pub fn events(&self, namespace: &str, name: &str, reason: &str) -> Result<Vec<String>> {
        let list = self.plane.get_json(["events.events.k8s.io", "-n", namespace])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let of = |e: &&Value| e["regarding"]["name"] == name && e["reason"] == reason;
        Ok(items.iter().filter(of).map(|e| e["note"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

/// Asks again until there is an answer; the last failure if there is none soon.
pub fn patiently<T>(ask: impl FnMut() -> Result<T>) -> Result<T> {
    lunette_bed::patiently(SOON, ask)
}

/// A Lun of namespace `prod`, in the pool `fast`, of 1 GiB, but for the change.
pub fn lun(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({"pool": "fast", "size": "1Gi"});
    change(&mut spec);
    json!({"apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": name, "namespace": "prod"}, "spec": spec})
}

/// A pool in a directory, but for the change.
pub fn pool(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({"directory": {"path": "/var/lib/lunette/pool"}});
    change(&mut spec);
    json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunPool", "metadata": {"name": name}, "spec": spec})
}

/// One condition of an object's status; null where it has none of that type.
pub fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == type_).unwrap_or_default()
}

/// Whether a condition has that status and reason.
pub fn says(object: &Value, type_: &str, status: &str, reason: &str) -> bool {
    let found = condition(object, type_);
    found["status"] == status && found["reason"] == reason
}
