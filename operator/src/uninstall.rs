//! Before and after an uninstallation: the two steps that the chart's hooks run, each with a few rights of its own.
//!
//! `check` refuses while there is something that only a running agent and operator can let go of in order: Luns
//! (exports in kernels, finalizers), LunSnapshots and LunPools (finalizers). `sweep` removes what agents wrote about themselves and
//! nobody owns any more. Neither touches data, and both may be run again.

use std::fmt::Debug;

use anyhow::{Context as _, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt};
use lunette_api::{Lun, LunNode, LunPool, LunSnapshot, NODE_LEASE_PREFIX};
use serde::de::DeserializeOwned;

use crate::args::UninstallStep;
use crate::leader;

/// How the Leases of CSI's sidecars end: with the driver's name, as they write it.
const SIDECARS_LEASE_SUFFIX: &str = "csi-lunette-io";

/// How many objects of a kind a refusal names.
const NAMED: usize = 5;

/// Runs one step.
///
/// # Errors
/// When the uninstallation must not go on, or the API server refuses.
pub fn main(step: &UninstallStep) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::try_default()
            .await
            .context("no cluster to talk to: set KUBECONFIG, or run in a pod with a ServiceAccount")?;
        match step {
            UninstallStep::Check => check(client).await,
            UninstallStep::Sweep { namespace } => sweep(client, namespace).await,
        }
    })
}

async fn check(client: Client) -> anyhow::Result<()> {
    let luns = names::<Lun>(&client).await?;
    let snapshots = names::<LunSnapshot>(&client).await?;
    let pools = names::<LunPool>(&client).await?;
    match refusal(&luns, &snapshots, &pools) {
        Some(why) => bail!(why),
        None => Ok(()),
    }
}

/// Namespace and name of each object of a kind; none where the cluster has no such kind.
async fn names<K>(client: &Client) -> anyhow::Result<Vec<String>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    // Metadata alone: an object that does not fit its type counts too.
    let listed = Api::<K>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let objects = match listed {
        Ok(list) => list.items,
        Err(error) if is_absent(&error) => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", K::plural(&()))),
    };
    let name = |object: &PartialObjectMeta<K>| match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    };
    Ok(objects.iter().map(name).collect())
}

/// Why the uninstallation must wait, and what to do.
fn refusal(luns: &[String], snapshots: &[String], pools: &[String]) -> Option<String> {
    if luns.is_empty() && snapshots.is_empty() && pools.is_empty() {
        return None;
    }
    let left: Vec<String> = [("Luns", luns), ("LunSnapshots", snapshots), ("LunPools", pools)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| format!("{} {kind} ({})", names.len(), shown(names)))
        .collect();
    Some(format!(
        "not uninstalled: there are {}, and without agents and operator nobody could take them away. Delete them \
         first: `kubectl delete lun NAME -n NAMESPACE` (and `lunsnapshot`), then `kubectl delete lunpool NAME`. Data of Luns with \
         reclaimPolicy Retain stay where they are",
        left.join(" and ")
    ))
}

fn shown(names: &[String]) -> String {
    let more = if names.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}

async fn sweep(client: Client, namespace: &str) -> anyhow::Result<()> {
    let nodes = Api::<LunNode>::all(client.clone());
    match nodes.delete_collection(&DeleteParams::default(), &ListParams::default()).await {
        Err(error) if !is_absent(&error) => return Err(error).context("cannot delete the LunNodes"),
        _ => {}
    }
    let leases = Api::<Lease>::namespaced(client, namespace);
    let found = leases.list_metadata(&ListParams::default()).await.context("cannot list the Leases")?;
    for name in found.items.iter().map(ResourceExt::name_any).filter(|name| is_ours(name)) {
        match leases.delete(&name, &DeleteParams::default()).await {
            Err(error) if !is_absent(&error) => {
                return Err(error).with_context(|| format!("cannot delete Lease {name}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_ours(lease: &str) -> bool {
    lease == leader::LEASE || lease.starts_with(NODE_LEASE_PREFIX) || lease.ends_with(SIDECARS_LEASE_SUFFIX)
}

/// The object, or its whole kind, is not there.
fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn nothing_left_is_no_reason_to_wait() {
        assert_eq!(refusal(&[], &[], &[]), None);
    }

    #[test]
    fn what_is_left_is_named_but_not_without_end() {
        let luns = some(&["prod/a", "prod/b", "prod/c", "prod/d", "prod/e", "prod/f"]);
        let said = refusal(&luns, &[], &some(&["fast"])).unwrap();
        assert!(said.contains("6 Luns (prod/a, prod/b, prod/c, prod/d, prod/e, ...) and 1 LunPools (fast)"), "{said}");
        assert!(
            refusal(&[], &[], &some(&["fast"])).unwrap().starts_with("not uninstalled: there are 1 LunPools (fast),")
        );
    }

    #[test]
    fn only_leases_of_ours_go() {
        assert!(is_ours("lunette-operator") && is_ours("lunette-node-a"));
        assert!(is_ours("csi-lunette-io") && is_ours("external-resizer-csi-lunette-io"));
        assert!(!is_ours("lunette-other") && !is_ours("kube-scheduler") && !is_ours("csi-example-io"));
    }
}
