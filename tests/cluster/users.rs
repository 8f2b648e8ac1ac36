//! A user who may edit one namespace: what is not hers she can neither make, nor name, nor have somebody read for her.

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::agent::Agent;
use super::operator::Operator;
use super::site::{Site, condition, lun, patiently, pool, says};

const CLIENT: &str = "iqn.2026-01.io.example:c";

pub fn a_user_reaches_what_is_hers_only(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let agent = Agent::ready(&site.plane, "a")?;
    site.apply(&pool("fast", |_| ()))?;
    somebody_else_has_things(&site)?;
    let she = site.plane.kubeconfig_for_user("she", &[])?;
    let create = |object: &Value| site.plane.kubectl_as(&she, ["create", "-f", "-"], &object.to_string());
    let elsewhere = json!([{"iqn": CLIENT, "chapSecret": {"name": "key", "namespace": "theirs"}}]);
    let mut in_theirs = lun("guest", |_| ());
    in_theirs["metadata"]["namespace"] = json!("theirs");
    for (object, words) in [
        (pool("mine", |spec| spec["directory"]["path"] = json!("/etc")), "cannot create resource \"lunpools\""),
        (in_theirs, "cannot create resource \"luns\""),
        (lun("path", |spec| spec["directory"] = json!({"path": "/etc"})), "unknown field \"spec.directory\""),
        (
            lun("secret", |spec| spec["initiators"] = elsewhere),
            "unknown field \"spec.initiators[0].chapSecret.namespace\"",
        ),
        (
            lun("copy", |spec| spec["source"] = json!({"snapshot": "theirs/kept"})),
            "snapshot must be the name of a LunSnapshot of this namespace",
        ),
        (
            lun("image", |spec| spec["source"] = json!({"image": "../../etc/shadow"})),
            "image must be the name of a file in the folder import of the pool",
        ),
    ] {
        let said = create(&object)?.refused()?;
        ensure!(said.contains(words), "refused, but not with {words:?}:\n{said}");
    }
    a_name_is_one_of_her_namespace(&site, &agent, |object| create(object)?.ok().map(drop))?;
    for verb in ["update", "patch"] {
        let can = ["auth", "can-i", verb, "luns", "--subresource=status", "-n", "prod"];
        let answer = site.plane.kubectl_as(&she, can, "")?;
        ensure!(answer.stdout.trim() == "no", "a user can {verb} a Lun's status");
    }
    Ok(())
}

/// A Secret and a snapshot in a namespace of their own; and the user's rights in hers.
fn somebody_else_has_things(site: &Site) -> Result<()> {
    site.plane.ensure_namespace("theirs")?;
    site.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "theirs"},
        "stringData": {"username": "u", "password": "sixteen-bytes-ok"}}))?;
    site.apply(&json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot",
        "metadata": {"name": "kept", "namespace": "theirs"}, "spec": {"lun": "db"}}))?;
    site.apply(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "she", "namespace": "prod"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "she"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lunette-edit"}}))
}

/// Names that exist in the other namespace only lead nowhere from hers.
fn a_name_is_one_of_her_namespace(site: &Site, agent: &Agent, create: impl Fn(&Value) -> Result<()>) -> Result<()> {
    create(&lun("copies", |spec| spec["source"] = json!({"snapshot": "kept"})))?;
    create(&lun("opens", |spec| spec["initiators"] = json!([{"iqn": CLIENT, "chapSecret": {"name": "key"}}])))?;
    let copies = site.wait_lun("copies", |lun| says(lun, "Placed", "False", "SourceNotFound"))?;
    let message = condition(&copies, "Placed")["message"].clone();
    ensure!(
        message.as_str().is_some_and(|m| m.starts_with("LunSnapshot kept does not exist in this namespace")),
        "{message}"
    );
    site.wait_lun("opens", |lun| lun["status"]["node"] == "a")?;
    let may_read = |namespace: &str| {
        let answer = agent.kubectl(&["auth", "can-i", "get", "secret/key", "-n", namespace], "")?;
        Ok::<_, lunette_bed::Error>(answer.stdout.trim() == "yes")
    };
    patiently(|| {
        ensure!(may_read("prod")?, "the grant is not there yet");
        Ok(())
    })?;
    ensure!(!may_read("theirs")?, "a Lun of one namespace opens a Secret of another");
    Ok(())
}
