//! What a user applies: claims, and pods with their volumes.

use anyhow::{Context as _, ensure};
use lunette_bed::Result;
use lunette_bed::images::BUSYBOX;
use serde_json::{Value, json};

use super::site::{Installed, PATIENCE, WITHIN, told};

/// Where a pod has its volume.
pub const MOUNT: &str = "/volume";
/// Where a pod has its raw block volume.
pub const DEVICE: &str = "/dev/volume";

/// A claim of namespace `prod` of the class `lunette`, of 384 MiB, but for the change.
pub fn claim(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({"storageClassName": "lunette", "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "384Mi"}}});
    change(&mut spec);
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "prod"}, "spec": spec})
}

/// A pod's specification: a script in a shell, with a claim's volume at [`MOUNT`].
pub fn running(script: &str, claim: &str) -> Value {
    json!({"terminationGracePeriodSeconds": 1, "restartPolicy": "Never",
        "containers": [{"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", format!("set -e; bb() {{ /bin/busybox \"$@\"; }}; {script}")],
            "volumeMounts": [{"name": "volume", "mountPath": MOUNT}]}],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]})
}

/// The same with the raw block volume at [`DEVICE`].
pub fn running_raw(script: &str, claim: &str) -> Value {
    let mut spec = running(script, claim);
    let main = &mut spec["containers"][0];
    main["volumeMounts"] = json!([]);
    main["volumeDevices"] = json!([{"name": "volume", "devicePath": DEVICE}]);
    spec
}

/// Goes on until it is told to end.
pub const FOR_EVER: &str = "trap 'exit 0' TERM; echo begun; while :; do bb sleep 1; done";

/// Writes 8 MiB into [`MOUNT`] that [`CHECK`] knows again.
pub const WRITE: &str =
    "cd /volume; bb dd if=/dev/urandom of=data bs=1M count=8; bb sha256sum data > sum; bb sync; bb cat sum";

/// Reads what [`WRITE`] wrote.
pub const CHECK: &str = "cd /volume; bb sha256sum -c sum";

impl Installed {
    /// Starts a pod in namespace `prod`, on that node if one is named.
    pub fn start_pod(&self, name: &str, node: Option<&str>, mut spec: Value) -> Result<()> {
        if let Some(node) = node {
            spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        }
        self.apply(
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "prod"}, "spec": spec}),
        )
    }

    /// Waits until a pod is in a phase; where it ends otherwise, the error has what it said.
    pub fn wait_pod(&self, name: &str, phase: &str) -> Result<Value> {
        let ended = |pod: &Value| ["Succeeded", "Failed"].iter().any(|end| pod["status"]["phase"] == *end);
        let there = |pod: &Value| pod["status"]["phase"] == phase || ended(pod);
        let waited = self.plane.wait_for_json(["pod", name, "-n", "prod"], PATIENCE, there);
        let pod = waited.with_context(|| self.story_of(name))?;
        ensure!(
            pod["status"]["phase"] == phase,
            "pod {name} should be {phase}: {}\n{}",
            pod["status"],
            self.story_of(name)
        );
        Ok(pod)
    }

    /// Runs a pod to its good end and deletes it, with all that was made for it on its node; what it printed.
    pub fn run_pod(&self, name: &str, node: Option<&str>, spec: Value) -> Result<String> {
        self.start_pod(name, node, spec)?;
        self.wait_pod(name, "Succeeded")?;
        let said = self.plane.kubectl_must(["logs", name, "-n", "prod"])?;
        self.delete_pod(name)?;
        Ok(said)
    }

    /// Has a pod on that node read what [`WRITE`] wrote into a claim's volume: it is all there.
    pub fn finds_data(&self, pod: &str, node: &str, claim: &str) -> Result<()> {
        let said = self.run_pod(pod, Some(node), running(CHECK, claim))?;
        ensure!(said.contains("data: OK"), "{said}");
        Ok(())
    }

    /// Deletes a pod and waits until it is gone.
    pub fn delete_pod(&self, name: &str) -> Result<()> {
        self.plane.kubectl_must(["delete", "pod", name, "-n", "prod", WITHIN]).map(drop)
    }

    /// Runs a script in a pod.
    pub fn in_pod(&self, name: &str, script: &str) -> Result<String> {
        self.plane.kubectl_must(["exec", name, "-n", "prod", "--", "/bin/busybox", "sh", "-c", script])
    }

    /// Deletes a claim, and waits until its volume's Lun is gone.
    pub fn delete_claim(&self, name: &str) -> Result<()> {
        let claim = self.plane.get_json(["pvc", name, "-n", "prod"])?;
        self.plane.kubectl_must(["delete", "pvc", name, "-n", "prod", WITHIN])?;
        let Some(volume) = claim["spec"]["volumeName"].as_str() else { return Ok(()) };
        self.wait_volume_gone(volume).with_context(|| format!("of claim {name}"))
    }

    /// Waits until a PersistentVolume and its Lun are gone.
    pub fn wait_volume_gone(&self, volume: &str) -> Result<()> {
        for kind in ["pv", "lun"] {
            let gone = ["wait", "--for=delete", kind, volume, "-n", super::super::site::SYSTEM, WITHIN];
            self.plane.kubectl_must(gone).with_context(|| format!("{kind} {volume}"))?;
        }
        Ok(())
    }

    /// Changes what a claim asks for.
    pub fn change_claim(&self, name: &str, spec: &Value) -> Result<()> {
        let patch = json!({"spec": spec}).to_string();
        self.plane.kubectl_must(["patch", "pvc", name, "-n", "prod", "--type=merge", "-p", &patch]).map(drop)
    }

    /// Asks for a claim to have another size.
    pub fn resize_claim(&self, name: &str, size: &str) -> Result<()> {
        self.change_claim(name, &json!({"resources": {"requests": {"storage": size}}}))
    }

    /// Waits until a claim has that size, its file system too.
    pub fn wait_capacity(&self, name: &str, size: &str) -> Result<()> {
        let grown = |claim: &Value| claim["status"]["capacity"]["storage"] == size;
        self.plane.wait_for_json(["pvc", name, "-n", "prod"], PATIENCE, grown).map(drop)
    }

    /// Waits until one of the events that a field selector names says this.
    pub fn wait_event(&self, selector: &str, says: &str) -> Result<()> {
        let said = |events: &Value| {
            let all = events["items"].as_array().cloned().unwrap_or_default();
            all.iter().any(|event| event["message"].as_str().is_some_and(|message| message.contains(says)))
        };
        self.plane.wait_for_json(["events", "-A", "--field-selector", selector], PATIENCE, said).map(drop)
    }

    /// Waits until a claim has its volume; where it gets none, the error has what the claim's owner is told.
    pub fn wait_bound(&self, claim: &str) -> Result<()> {
        let bound = |claim: &Value| claim["status"]["phase"] == "Bound";
        let waited = self.plane.wait_for_json(["pvc", claim, "-n", "prod"], PATIENCE, bound);
        waited.with_context(|| self.events_of(&format!("pvc/{claim}"))).map(drop)
    }

    /// Applies a claim as the scheduler leaves it for a first pod on that node, and waits until the node serves its volume.
    pub fn claim_on(&self, node: &str, mut claim: Value) -> Result<()> {
        claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": node});
        self.apply(&claim)?;
        let name = claim["metadata"]["name"].as_str().context("a claim without a name")?;
        self.wait_bound(name)?;
        let lun = self.lun_of(name)?;
        ensure!(lun["status"]["node"] == node, "{lun:#}");
        Ok(())
    }

    /// The name of the volume of a claim that is bound: its PersistentVolume's, and its Lun's.
    pub fn volume_of(&self, claim: &str) -> Result<String> {
        let claim = self.plane.get_json(["pvc", claim, "-n", "prod"])?;
        Ok(claim["spec"]["volumeName"].as_str().context("the claim is bound to no volume")?.to_owned())
    }

    /// The Lun of a claim that is bound.
    pub fn lun_of(&self, claim: &str) -> Result<Value> {
        self.plane.get_json(["lun", &self.volume_of(claim)?, "-n", super::super::site::SYSTEM])
    }

    /// What a user would look at: the pod's events and its output.
    fn story_of(&self, pod: &str) -> String {
        let said = told(self.plane.kubectl_must(["logs", pod, "-n", "prod"]));
        format!("{}\nit printed: {said}", self.events_of(&format!("pod/{pod}")))
    }

    fn events_of(&self, object: &str) -> String {
        told(self.plane.kubectl_must(["events", "-n", "prod", "--for", object]))
    }
}
