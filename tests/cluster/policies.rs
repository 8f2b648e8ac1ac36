//! What agents, the operator and users may write: what is allowed, and each refusal word for word.

use anyhow::ensure;
use lunette_bed::{Context, Output, Result};
use serde_json::{Value, json};

use super::agent::{Agent, condition, lease, status_of};
use super::site::{SYSTEM, Site, lun, patiently, pool};

fn refused(answer: &Output, words: &str) -> Result<()> {
    let said = answer.refused()?;
    ensure!(said.contains(words), "refused, but not with {words:?}:\n{said}");
    Ok(())
}

pub fn an_agent_writes_its_own_node_only(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    let (a, b) = (Agent::ready(&site.plane, "a")?, Agent::ready(&site.plane, "b")?);
    let node = |name: &str| json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": name}, "spec": {}});
    let mine = "the agent of node a may write LunNode a only, not";
    refused(&a.try_apply(&[], &node("c"))?, &format!("{mine} c"))?;
    let mut theirs = node("b");
    theirs["status"] = json!({"kernel": "forged"});
    refused(&a.try_apply(&["--subresource=status"], &theirs)?, &format!("{mine} b"))?;
    refused(
        &a.try_apply(&[], &lease("b", 5)?)?,
        "the agent of node a may write Lease lunette-node-a only, not lunette-node-b",
    )?;
    let mut leader = lease("a", 5)?;
    leader["metadata"]["name"] = json!("lunette-operator");
    refused(&a.try_apply(&[], &leader)?, "may write Lease lunette-node-a only, not lunette-operator")?;
    a.beat(60)?;
    b.beat(60)?;
    for (verb, what) in [
        ("delete", "lunnode"),
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "luns"),
        ("delete", "luns"),
        ("patch", "luns"),
        ("patch", "lunpools"),
        ("get", "pods"),
        ("patch", "nodes"),
        ("create", "roles"),
    ] {
        let answer = a.kubectl(&["auth", "can-i", verb, what, "-n", "prod"], "")?;
        ensure!(answer.stdout.trim() == "no", "an agent can {verb} {what}");
    }
    no_node_no_write(&site)
}

/// A token of the agents that names no node is good for nothing.
fn no_node_no_write(site: &Site) -> Result<()> {
    let token = site.plane.kubectl_must(["create", "token", "lunette-node", "-n", SYSTEM])?;
    let nobody = site.plane.kubeconfig_for_token("agent-of-nowhere", &token)?;
    let node = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode", "metadata": {"name": "x"}, "spec": {}});
    let words = "this token of lunette-node names no node: use the agent's pod, or kubectl create token --bound-object-kind Node";
    for object in [node, lease("x", 5)?] {
        refused(&site.plane.kubectl_as(&nobody, ["create", "-f", "-"], &object.to_string())?, words)?;
    }
    Ok(())
}

/// A Lun that node `a` serves, as the operator would have written it.
fn placed(site: &Site, name: &str) -> Result<Value> {
    site.apply(&lun(name, |_| ()))?;
    let status = json!({"node": "a", "epoch": 1, "wwid": "naa.1", "state": "Placed", "target": {"iqn": "iqn.x", "lun": 0},
        "conditions": [condition("Placed", "True", "Placed", "", None)]});
    let apply = ["apply", "--server-side", "--subresource=status", "--field-manager=lunette-operator", "-f", "-"];
    site.plane.kubectl_with_input(apply, &status_of(&site.lun(name)?, &status)?.to_string())?.ok()?;
    site.lun(name)
}

pub fn an_agent_writes_its_own_luns_only(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    let (a, b) = (Agent::ready(&site.plane, "a")?, Agent::ready(&site.plane, "b")?);
    let db = placed(&site, "policy-db")?;
    a.serve(&db)?;
    let shown = site.lun("policy-db")?;
    ensure!(shown["status"]["conditions"].as_array().map(Vec::len) == Some(3), "both parts are there: {shown:#}");
    ensure!(shown["status"]["target"]["iqn"] == "iqn.x" && shown["status"]["target"]["portals"][0] == "192.0.2.1:3260");
    let status = |status: Value| status_of(&db, &status);
    let on_status = ["--subresource=status"];
    let elsewhere = "the agent of node b may write the status of Luns on its node only: this one is on a";
    refused(&b.try_apply(&on_status, &status(json!({"allocated": 1}))?)?, elsewhere)?;
    let theirs = "status.node, epoch, wwid, state, target.iqn and target.lun are the operator's to write";
    for forged in [
        json!({"node": "a", "epoch": 2}),
        json!({"node": "b", "epoch": 2}),
        json!({"wwid": "naa.2"}),
        json!({"state": "Ready"}),
        json!({"target": {"iqn": "iqn.y"}}),
        json!({"target": {"lun": 1}}),
    ] {
        refused(&a.try_apply(&on_status, &status(forged)?)?, theirs)?;
    }
    let conditions = "conditions Placed, Released and NodeReachable are the operator's to write";
    for type_ in ["Placed", "Released", "NodeReachable"] {
        let forged = json!({"conditions": [condition(type_, "False", "Forged", "", None)]});
        refused(&a.try_apply(&on_status, &status(forged)?)?, conditions)?;
    }
    site.apply(&lun("policy-unplaced", |_| ()))?;
    let unplaced = status_of(&site.lun("policy-unplaced")?, &json!({"allocated": 1}))?;
    refused(
        &a.try_apply(&on_status, &unplaced)?,
        "may write the status of Luns on its node only: this one is on none",
    )?;
    let wider = lun("policy-db", |spec| spec["size"] = json!("2Gi"));
    refused(&a.try_apply(&[], &wider)?, "cannot patch resource \"luns\"")
}

pub fn an_agent_writes_its_own_snapshots_only(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    let (a, b) = (Agent::ready(&site.plane, "a")?, Agent::ready(&site.plane, "b")?);
    let object = json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot",
        "metadata": {"name": "policy-s", "namespace": "prod"}, "spec": {"lun": "policy-db"}});
    site.apply(&object)?;
    let status = json!({"node": "a", "pool": "fast", "source": {"uid": "u", "wwid": "naa.1", "blockSize": 512},
        "conditions": [condition("Placed", "True", "Placed", "", None)]});
    let apply = ["apply", "--server-side", "--subresource=status", "--field-manager=lunette-operator", "-f", "-"];
    site.plane.kubectl_with_input(apply, &status_of(&object, &status)?.to_string())?.ok()?;
    let on_status = ["--subresource=status"];
    let taken = json!({"readyToUse": true, "size": 512, "creationTime": "2026-01-02T03:04:05Z",
        "conditions": [condition("Ready", "True", "Taken", "", None)]});
    let said = |status: &Value| status_of(&object, status);
    refused(
        &b.try_apply(&on_status, &said(&taken)?)?,
        "the agent of node b may write the status of LunSnapshots on its node only: this one is on a",
    )?;
    let barrier = json!({"barrier": {"attempt": 1, "step": "Use"}});
    for forged in [json!({"pool": "other"}), json!({"source": {"uid": "v"}}), barrier] {
        let theirs = "status.node, pool, source and barrier are the operator's to write";
        refused(&a.try_apply(&on_status, &said(&forged)?)?, theirs)?;
    }
    let forged = json!({"conditions": [condition("Placed", "False", "Forged", "", None)]});
    let conditions = "conditions Placed and Released are the operator's to write";
    refused(&a.try_apply(&on_status, &said(&forged)?)?, conditions)?;
    refused(&a.try_apply(&[], &object)?, "cannot patch resource \"lunsnapshots\"")?;
    a.apply(&on_status, &said(&taken)?)?;
    let shown = site.plane.get_json(["lunsnapshot", "policy-s", "-n", "prod"])?;
    ensure!(shown["status"]["conditions"].as_array().map(Vec::len) == Some(2), "both parts are there: {shown:#}");
    site.plane.kubectl_must(["delete", "lunsnapshot", "policy-s", "-n", "prod"]).map(drop)
}

pub fn the_operator_grants_named_secrets_only(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    let token = site.plane.kubectl_must(["create", "token", "lunette-operator", "-n", SYSTEM])?;
    let operator = site.plane.kubeconfig_for_token("operator-by-hand", &token)?;
    let apply = |object: &Value| {
        let apply = ["apply", "--server-side", "--field-manager=lunette-operator", "-f", "-"];
        site.plane.kubectl_as(&operator, apply, &object.to_string())
    };
    let role = |name: &str, rule: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": "prod"}, "rules": [rule]})
    };
    let read = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["chap"]});
    let changed = |field: &str, value: Value| {
        let mut rule = read.clone();
        rule[field] = value;
        role("lunette-chap-x", rule)
    };
    patiently(|| {
        refused(
            &apply(&role("mine", read.clone()))?,
            "the operator may write Roles and RoleBindings named lunette-chap-* only",
        )
    })?;
    let only = "the operator may grant only the verb get on Secrets, by their names";
    for object in [
        changed("resourceNames", json!([])),
        changed("verbs", json!(["get", "list"])),
        changed("resources", json!(["pods"])),
        changed("resources", json!(["secrets", "pods"])),
        changed("verbs", json!(["*"])),
        changed("apiGroups", json!(["", "apps"])),
    ] {
        refused(&apply(&object)?, only)?;
    }
    apply(&role("lunette-chap-x", read.clone()))?.ok()?;
    let binding = |role: &str, subject: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "lunette-chap-x", "namespace": "prod"}, "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}})
    };
    let account = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": SYSTEM});
    let to_itself = apply(&binding("lunette-chap-x", account("lunette-operator")))?;
    refused(&to_itself, "the operator may grant to the ServiceAccount lunette-node only")?;
    refused(
        &apply(&binding("other", account("lunette-node")))?,
        "the operator may bind only the Role of the same name",
    )?;
    apply(&binding("lunette-chap-x", account("lunette-node")))?.ok()?;
    let reads = |kubeconfig| site.plane.kubectl_as(kubeconfig, ["get", "secret", "chap", "-n", "prod"], "");
    refused(&reads(&operator)?, "cannot get resource \"secrets\"")?;
    let agent = Agent::new(&site.plane, "a")?;
    let found = agent.kubectl(&["auth", "can-i", "get", "secret/chap", "-n", "prod"], "")?;
    ensure!(found.stdout.trim() == "yes", "the grant has no effect");
    refused(&agent.kubectl(&["get", "secret", "other", "-n", "prod"], "")?, "cannot get resource \"secrets\"")
}

pub fn a_pool_keeps_other_namespaces_out(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    site.apply(&pool("theirs", |spec| spec["namespaces"] = json!(["test"])))?;
    site.apply(&pool("everyones", |_| ()))?;
    let user = site.plane.kubeconfig_for_user("user", &["system:masters"])?;
    let create = |name: &str, pool: &str| {
        let object = lun(name, |spec| spec["pool"] = json!(pool));
        site.plane.kubectl_as(&user, ["create", "-f", "-"], &object.to_string())
    };
    let words = "pool theirs is not for namespace prod: an admin lists it in the spec.namespaces of the pool";
    patiently(|| refused(&create("outsider", "theirs")?, words))?;
    create("insider", "everyones")?.ok()?;
    create("early", "not-there-yet")?.ok().map(drop)
}
