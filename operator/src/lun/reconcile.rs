//! One Lun, from what is stored to what should be: the thin shell around the decisions beside it.
//!
//! It may die between any two of its writes and be run again: each write is decided on the object as it is
//! stored, names that version of it, and the finalizer is there before the first trace of the Lun anywhere
//! else. A Lun that has a node keeps it.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use lunette_api::conditions::{NODE_REACHABLE, PLACED, RELEASED, reasons};
use lunette_api::{LUN_FINALIZER, Lun};

use crate::context::{Context, Guarded};
use crate::error::Error;
use crate::events::Weight;
use crate::finalizer;
use crate::lun::place::{NoPlace, place};
use crate::lun::release::{self, Node, Release};
use crate::lun::status::{OperatorStatus, Remark};
use crate::node::view::{Taken, node_view};

/// When a Lun without a node is tried again though nothing seems to have changed.
const RETRY_PLACEMENT: Duration = Duration::from_secs(60);

/// Brings one Lun to where it should be.
///
/// # Errors
/// When it cannot be read, or the API server refuses.
pub async fn reconcile(lun: Arc<Guarded<Lun>>, context: Arc<Context>) -> Result<Action, Error> {
    let lun = match &lun.0 {
        Ok(lun) => lun,
        Err(invalid) => return Err(context.malformed("Lun", &*lun, invalid).await),
    };
    let api = Api::namespaced(context.client.clone(), &lun.namespace().unwrap_or_default());
    if lun.metadata.deletion_timestamp.is_some() {
        let_go(&api, lun, &context).await
    } else {
        keep(&api, lun, &context).await
    }
}

/// A Lun that is to be served.
async fn keep(api: &Api<Lun>, lun: &Lun, context: &Context) -> Result<Action, Error> {
    let lun = finalizer::ensure(api, lun.clone(), LUN_FINALIZER).await?;
    match lun.status.as_ref().and_then(|s| s.node.clone()) {
        Some(node) => serve(api, &lun, &node, context).await,
        None => find_node(api, &lun, context).await,
    }
}

/// A Lun that has a node: the node stays, what is said of it may change.
async fn serve(api: &Api<Lun>, lun: &Lun, node: &str, context: &Context) -> Result<Action, Error> {
    context.grants.ensure(&context.client, lun, context.agents()).await?;
    let mut remarks = vec![placed(node)];
    remarks.extend(unreachable(node, context));
    say(api, lun, Some(node), &remarks, context).await?;
    Ok(Action::await_change())
}

/// A Lun that has none yet.
async fn find_node(api: &Api<Lun>, lun: &Lun, context: &Context) -> Result<Action, Error> {
    let uid = lun.uid().unwrap_or_default();
    let taken = match context.take(&uid, |taken| choose(lun, taken, context)) {
        Ok(taken) => taken,
        Err(why) => return no_node(api, lun, &why, context).await,
    };
    write_placement(api, lun, &taken.node, context).await.inspect_err(|_| context.give_back(&uid))?;
    Ok(Action::await_change())
}

async fn write_placement(api: &Api<Lun>, lun: &Lun, node: &str, context: &Context) -> Result<(), Error> {
    // Before the node is named: its agent reads the Secrets at once.
    if !super::grant::secrets(lun).is_empty() {
        context.grants.ensure(&context.client, lun, context.agents()).await?;
    }
    say(api, lun, Some(node), &[placed(node)], context).await
}

fn choose(lun: &Lun, taken: &[Taken], context: &Context) -> Result<Taken, NoPlace> {
    let name = &lun.spec.pool;
    let pool = context.pool(name).ok_or_else(|| NoPlace::PoolNotFound(name.clone()))?;
    let pool = pool.0.as_ref().map_err(|e| NoPlace::PoolUnreadable(name.clone(), e.error.clone()))?;
    let nodes: Vec<_> = context.nodes().iter().map(|(node, fresh)| node_view(node, name, *fresh, taken)).collect();
    let origin = context.origin(lun)?;
    let node = place(lun, pool, origin.as_ref(), &nodes)?;
    Ok(Taken { node, pool: name.clone(), bytes: lun.spec.size.bytes()? })
}

async fn no_node(api: &Api<Lun>, lun: &Lun, why: &NoPlace, context: &Context) -> Result<Action, Error> {
    context.metrics.not_placed(why.reason());
    let remark = Remark { type_: PLACED, status: false, reason: why.reason(), message: why.to_string() };
    say(api, lun, None, &[remark], context).await?;
    Ok(Action::requeue(RETRY_PLACEMENT))
}

/// A Lun that is being deleted.
async fn let_go(api: &Api<Lun>, lun: &Lun, context: &Context) -> Result<Action, Error> {
    if !lun.finalizers().iter().any(|f| f == LUN_FINALIZER) {
        return Ok(Action::await_change());
    }
    match release::release(lun) {
        Release::Waiting(node) => wait(api, lun, &node, context).await?,
        Release::NeverPlaced => end(api, lun, "no node ever served it", context).await?,
        Release::Unexported(node) => end(api, lun, &format!("node {node} has removed the export"), context).await?,
        Release::Forced(node) => {
            end(api, lun, &format!("given up by annotation: node {node} may still hold it"), context).await?;
        }
    }
    Ok(Action::await_change())
}

async fn wait(api: &Api<Lun>, lun: &Lun, node: &str, context: &Context) -> Result<(), Error> {
    let state = if !context.has_node(node) {
        Node::Unknown
    } else if context.is_fresh(node) {
        Node::Alive
    } else {
        Node::Silent(last_sign(node, context))
    };
    let message = release::waiting_message(lun, node, &state);
    let waiting = Remark { type_: RELEASED, status: false, reason: reasons::WAITING_FOR_NODE, message };
    let mut remarks = vec![placed(node), waiting];
    remarks.extend(unreachable(node, context));
    say(api, lun, Some(node), &remarks, context).await
}

async fn end(api: &Api<Lun>, lun: &Lun, why: &str, context: &Context) -> Result<(), Error> {
    context.grants.revoke(&context.client, lun).await?;
    finalizer::remove(api, lun, LUN_FINALIZER).await?;
    context.events.publish(&lun.object_ref(&()), Weight::Normal, reasons::DELETED, "Delete", why).await;
    Ok(())
}

fn placed(node: &str) -> Remark {
    Remark { type_: PLACED, status: true, reason: reasons::PLACED, message: format!("node {node} serves it") }
}

/// The remark that a node's agent is silent, while it is.
fn unreachable(node: &str, context: &Context) -> Option<Remark> {
    if context.is_fresh(node) {
        return None;
    }
    let since = last_sign(node, context).map_or_else(String::new, |last| format!(" since {last}"));
    let message = format!(
        "the agent of node {node} has given no sign of life{since}: initiators wait until it is back; \
         see its pod, or lunette-node on that node"
    );
    Some(Remark { type_: NODE_REACHABLE, status: false, reason: reasons::NODE_LOST, message })
}

fn last_sign(node: &str, context: &Context) -> Option<String> {
    context.beats(|beats| beats.last(node)).map(|t| t.to_string())
}

/// Writes what is not there yet, and tells in events what is news.
async fn say(
    api: &Api<Lun>,
    lun: &Lun,
    node: Option<&str>,
    remarks: &[Remark],
    context: &Context,
) -> Result<(), Error> {
    let status = OperatorStatus::new(lun, node, remarks);
    if status.is_in(lun) {
        return Ok(());
    }
    status.apply(api, lun).await?;
    let about = lun.object_ref(&());
    for remark in OperatorStatus::news(lun, remarks) {
        let weight = if remark.status || remark.type_ == RELEASED { Weight::Normal } else { Weight::Warning };
        context.events.publish(&about, weight, remark.reason, remark.type_, &remark.message).await;
    }
    Ok(())
}
