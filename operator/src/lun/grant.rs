//! Who may read a Lun's CHAP Secrets: a Role for exactly those names, bound to the agents.
//!
//! Agents have no access to Secrets but by these grants, and the operator none at all: it may hand out
//! `get` on named Secrets to the agents' ServiceAccount and, held to it by an admission policy, nothing
//! else. A grant belongs to its Lun, and goes with it or with the last Secret that the Lun names.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use lunette_api::{Lun, OPERATOR_MANAGER};

use crate::error::Error;

/// What every grant's name begins with; the admission policy knows it too.
const PREFIX: &str = "lunette-chap-";

/// The grants that this process has made or found as they should be, by the Lun's UID.
#[derive(Debug, Default)]
pub struct Grants {
    known: Mutex<HashMap<String, BTreeSet<String>>>,
}

/// Whom the grants are for.
#[derive(Clone, Copy, Debug)]
pub struct Agents<'a> {
    /// Their namespace.
    pub namespace: &'a str,
    /// Their ServiceAccount.
    pub service_account: &'a str,
}

/// The Secrets that a Lun's initiators name.
pub fn secrets(lun: &Lun) -> BTreeSet<String> {
    lun.spec.initiators.iter().filter_map(|i| i.chap_secret.as_ref()).map(|s| s.name.clone()).collect()
}

impl Grants {
    /// Makes the grant of a Lun what it should be. What this process knows to be so is not asked again.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn ensure(&self, client: &Client, lun: &Lun, agents: Agents<'_>) -> Result<(), Error> {
        let (uid, wanted) = (lun.uid().unwrap_or_default(), secrets(lun));
        if self.lock().get(&uid) == Some(&wanted) {
            return Ok(());
        }
        if wanted.is_empty() {
            remove(client, lun).await?;
        } else {
            write(client, lun, &wanted, agents).await?;
        }
        self.lock().insert(uid, wanted);
        Ok(())
    }

    /// Removes the grant of a Lun that goes.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn revoke(&self, client: &Client, lun: &Lun) -> Result<(), Error> {
        let known = self.lock().remove(&lun.uid().unwrap_or_default());
        if known.is_some_and(|secrets| secrets.is_empty()) {
            return Ok(());
        }
        remove(client, lun).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(client: &Client, lun: &Lun, secrets: &BTreeSet<String>, agents: Agents<'_>) -> Result<(), Error> {
    let namespace = lun.namespace().unwrap_or_default();
    let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &namespace);
    let (role, binding) = (role(lun, secrets), binding(lun, agents));
    if roles.get_opt(&role.name_any()).await.map_err(failed(lun))?.is_none_or(|r| r.rules != role.rules) {
        apply(&roles, &role, lun).await?;
    }
    if bindings.get_opt(&binding.name_any()).await.map_err(failed(lun))?.is_none_or(|b| b.subjects != binding.subjects)
    {
        apply(&bindings, &binding, lun).await?;
    }
    Ok(())
}

async fn apply<K>(api: &Api<K>, object: &K, lun: &Lun) -> Result<(), Error>
where
    K: Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let params = PatchParams::apply(OPERATOR_MANAGER).force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object)).await.map(|_| ()).map_err(failed(lun))
}

async fn remove(client: &Client, lun: &Lun) -> Result<(), Error> {
    let (namespace, name) = (lun.namespace().unwrap_or_default(), grant_name(lun));
    let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &namespace);
    let there = bindings.get_opt(&name).await.map_err(failed(lun))?.is_some();
    if there {
        gone(bindings.delete(&name, &DeleteParams::default()).await, lun)?;
    }
    let there = roles.get_opt(&name).await.map_err(failed(lun))?.is_some();
    if there {
        gone(roles.delete(&name, &DeleteParams::default()).await, lun)?;
    }
    Ok(())
}

fn gone<T>(result: kube::Result<T>, lun: &Lun) -> Result<(), Error> {
    match result.map_err(failed(lun)) {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}

fn failed(lun: &Lun) -> impl FnOnce(kube::Error) -> Error + use<> {
    Error::api(format!("keep the agents' access to the Secrets of Lun {}", lun.name_any()))
}

/// Not the Lun's name: a user's own Role must never be met.
fn grant_name(lun: &Lun) -> String {
    format!("{PREFIX}{}", lun.uid().unwrap_or_default())
}

fn metadata(lun: &Lun) -> ObjectMeta {
    let owner = OwnerReference { controller: Some(true), ..lun.owner_ref(&()).unwrap_or_default() };
    ObjectMeta {
        name: Some(grant_name(lun)),
        namespace: lun.namespace(),
        labels: Some([("app.kubernetes.io/managed-by".to_owned(), OPERATOR_MANAGER.to_owned())].into()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    }
}

fn role(lun: &Lun, secrets: &BTreeSet<String>) -> Role {
    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["secrets".to_owned()]),
        resource_names: Some(secrets.iter().cloned().collect()),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    Role { metadata: metadata(lun), rules: Some(vec![rule]) }
}

fn binding(lun: &Lun, agents: Agents<'_>) -> RoleBinding {
    RoleBinding {
        metadata: metadata(lun),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: grant_name(lun),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: agents.service_account.to_owned(),
            namespace: Some(agents.namespace.to_owned()),
            api_group: None,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_names_the_luns_secrets_once_and_nothing_else() {
        let lun: Lun = serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "db", "namespace": "prod", "uid": "u"},
            "spec": {"pool": "fast", "size": "1Gi", "initiators": [
                {"iqn": "iqn.2026-01.io.example:b", "chapSecret": {"name": "chap-b"}},
                {"iqn": "iqn.2026-01.io.example:a", "chapSecret": {"name": "chap-a"}},
                {"iqn": "iqn.2026-01.io.example:c", "chapSecret": {"name": "chap-a"}},
                {"iqn": "iqn.2026-01.io.example:d"}]},
        }))
        .expect("a Lun");
        let role = serde_json::to_value(role(&lun, &secrets(&lun))).expect("JSON");
        assert_eq!(
            role["rules"],
            json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["chap-a", "chap-b"]}])
        );
        assert_eq!(role["metadata"]["ownerReferences"][0]["uid"], "u");
        let agents = Agents { namespace: "lunette-system", service_account: "lunette-node" };
        let binding = serde_json::to_value(binding(&lun, agents)).expect("JSON");
        assert_eq!(
            binding["subjects"],
            json!([{"kind": "ServiceAccount", "name": "lunette-node", "namespace": "lunette-system"}])
        );
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    }

    #[test]
    fn the_admission_policy_knows_the_same_prefix() {
        let manifest = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/install.yaml"));
        assert!(manifest.contains(&format!("variables.name.startsWith('{PREFIX}')")));
    }
}
