//! One LunSnapshot, from what is stored to what should be: the thin shell around the decisions beside it.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use lunette_api::conditions::reasons;
use lunette_api::{GROUP, LunSnapshot, OPERATOR_MANAGER, SNAPSHOT_FINALIZER, VERSION};
use serde_json::json;

use super::decide::{OperatorStatus, placed, release, waiting};
use crate::context::{Context, Guarded};
use crate::error::Error;
use crate::events::Weight;
use crate::finalizer;

/// When a snapshot without a node is looked at again though nothing seems to have changed.
const RETRY: Duration = Duration::from_secs(60);

/// Brings one snapshot to where it should be.
///
/// # Errors
/// When it cannot be read, or the API server refuses.
pub async fn reconcile(snapshot: Arc<Guarded<LunSnapshot>>, context: Arc<Context>) -> Result<Action, Error> {
    let snapshot = match &snapshot.0 {
        Ok(snapshot) => snapshot,
        Err(invalid) => return Err(context.malformed("LunSnapshot", &*snapshot, invalid).await),
    };
    let api = Api::namespaced(context.client.clone(), &snapshot.namespace().unwrap_or_default());
    if snapshot.metadata.deletion_timestamp.is_some() {
        let_go(&api, snapshot, &context).await
    } else {
        keep(&api, snapshot, &context).await
    }
}

/// A snapshot that is to be taken, or was.
async fn keep(api: &Api<LunSnapshot>, snapshot: &LunSnapshot, context: &Context) -> Result<Action, Error> {
    let snapshot = finalizer::ensure(api, snapshot.clone(), SNAPSHOT_FINALIZER).await?;
    let lun = context.lun(&snapshot.namespace().unwrap_or_default(), &snapshot.spec.lun);
    let (status, outcome) = placed(&snapshot, lun.as_ref(), &group(&snapshot, context));
    if !status.is_in(&snapshot) {
        apply(api, &snapshot, &status).await?;
        if let Err(why) = &outcome {
            let about = snapshot.object_ref(&());
            context.events.publish(&about, Weight::Warning, why.reason, "Place", &why.message).await;
        }
    }
    Ok(outcome.map_or_else(|_| Action::requeue(RETRY), |()| Action::await_change()))
}

/// All snapshots of the same group, this one as it was read just now.
fn group(snapshot: &LunSnapshot, context: &Context) -> Vec<LunSnapshot> {
    if snapshot.spec.group.is_none() {
        return Vec::new();
    }
    let all = context.stores.snapshots.state();
    let others = all.iter().filter_map(|other| other.0.as_ref().ok()).filter(|other| {
        other.spec.group == snapshot.spec.group
            && other.namespace() == snapshot.namespace()
            && other.uid() != snapshot.uid()
    });
    others.chain([snapshot]).cloned().collect()
}

/// A snapshot that is being deleted.
async fn let_go(api: &Api<LunSnapshot>, snapshot: &LunSnapshot, context: &Context) -> Result<Action, Error> {
    if !snapshot.finalizers().iter().any(|f| f == SNAPSHOT_FINALIZER) {
        return Ok(Action::await_change());
    }
    match release(snapshot) {
        Ok(why) => {
            finalizer::remove(api, snapshot, SNAPSHOT_FINALIZER).await?;
            let about = snapshot.object_ref(&());
            context.events.publish(&about, Weight::Normal, reasons::DELETED, "Delete", &why).await;
        }
        Err(node) => {
            let status = waiting(snapshot, &node, context.is_fresh(&node));
            if !status.is_in(snapshot) {
                apply(api, snapshot, &status).await?;
            }
        }
    }
    Ok(Action::await_change())
}

async fn apply(api: &Api<LunSnapshot>, snapshot: &LunSnapshot, status: &OperatorStatus) -> Result<(), Error> {
    let name = snapshot.name_any();
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "LunSnapshot",
        "metadata": {"name": name, "uid": snapshot.uid(), "resourceVersion": snapshot.resource_version()},
        "status": status,
    });
    let params = PatchParams::apply(OPERATOR_MANAGER).force();
    let done = api.patch_status(&name, &params, &Patch::Apply(&patch)).await;
    done.map(drop).map_err(Error::api(format!("write the status of LunSnapshot {name}")))
}
