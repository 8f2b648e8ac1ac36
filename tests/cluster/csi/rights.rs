//! What the driver's ServiceAccount may do, tried with its token.

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::super::site::{SYSTEM, Site, lun, patiently, pool};

pub fn csi_writes_its_own_only(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    site.apply(&pool("fast", |_| ()))?;
    site.apply(&lun("db", |_| ()))?;
    let uid = site.lun("db")?["metadata"]["uid"].clone();
    let token = site.plane.kubectl_must(["create", "token", "lunette-csi", "-n", SYSTEM])?;
    let csi = site.plane.kubeconfig_for_token("csi", &token)?;
    let refused = |verb: &[&str], object: &Value, words: &str| {
        patiently(|| {
            let said = site.plane.kubectl_as(&csi, verb.iter().copied(), &object.to_string())?.refused()?;
            ensure!(said.contains(words), "refused, but not with {words:?}:\n{said}");
            Ok(())
        })
    };
    let create = ["create", "-f", "-"];
    refused(&create, &lun("other", |_| ()), "may create Luns in namespace lunette-system only")?;
    let snapshot = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot",
        "metadata": {"name": "s", "namespace": "prod"}, "spec": {"lun": "db"}});
    refused(&create, &snapshot, "may write LunSnapshots in namespace lunette-system only")?;
    let patch = |patch: &'static str| ["patch", "lun", "db", "-n", "prod", "--type=merge", "-p", patch];
    refused(
        &patch(r#"{"spec":{"reclaimPolicy":"Delete"}}"#),
        &json!({}),
        "may not change what becomes of a Lun's data",
    )?;
    refused(&patch(r#"{"metadata":{"finalizers":["example.com/x"]}}"#), &json!({}), "may not change the finalizers")?;
    let give_up = patch(r#"{"metadata":{"annotations":{"lunette.io/force-delete":"true"}}}"#);
    refused(&give_up, &json!({}), "may not give up waiting for a node")?;
    for (name, type_) in [("db-admin", "lunette.io/chap"), ("lunette-csi-x", "Opaque")] {
        refused(
            &create,
            &secret(name, type_, &uid),
            "may write Secrets named lunette-csi-* of type lunette.io/chap only",
        )?;
    }
    refused(&create, &secret("lunette-csi-x", "lunette.io/chap", &Value::Null), "must belong to one Lun")?;
    site.apply(&secret("db-admin", "Opaque", &Value::Null))?;
    refused(&["delete", "secret", "db-admin", "-n", "prod"], &json!({}), "may write Secrets named")?;
    refused(&["get", "secrets", "-n", "prod"], &json!({}), "cannot list resource \"secrets\"")?;
    refused(&["get", "secret", "db-admin", "-n", "prod"], &json!({}), "cannot get resource \"secrets\"")?;
    let own = secret("lunette-csi-x", "lunette.io/chap", &uid);
    site.plane.kubectl_as(&csi, create, &own.to_string())?.ok()?;
    site.plane.kubectl_as(&csi, ["delete", "secret", "lunette-csi-x", "-n", "prod"], "")?.ok().map(drop)
}

fn secret(name: &str, type_: &str, lun: &Value) -> Value {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "prod"},
        "type": type_, "stringData": {"username": "u", "password": "p"}});
    if !lun.is_null() {
        let owner = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "name": "db", "uid": lun});
        secret["metadata"]["ownerReferences"] = json!([owner]);
    }
    secret
}
