//! A LUN's part of configfs, brought to what is wanted, from a worker's point of view.
//!
//! Reading and applying block, and the kernel may never come back from a step: both run on threads of
//! their own, and a step that is overdue is reported and waited for, never tried again over itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lunette_api::conditions::reasons;
use lunette_api::{Initiator, Lun, Session};
use lunette_lio::{
    Acl, ApplyError, Chap, Conflict, DiskAddress, Export, Found, Iqn, Node, Phase, Plan, StepError, Stuck, Target, Uid,
};
use nix::errno::Errno;
use tokio::task::spawn_blocking;

use super::intent::Assignment;
use super::wanted::Wanted;
use super::{Context, credentials};
use crate::check;
use crate::status::StepEnd;
use crate::trouble::Trouble;

/// How long the kernel may take for one step before that is reported.
const STEP_DEADLINE: Duration = Duration::from_secs(15);

/// A change that did not end well.
pub enum Unapplied {
    /// It failed; reading and planning again may mend it.
    Failed(Trouble),
    /// A step is overdue.
    Stuck(Stuck),
}

impl From<Trouble> for Unapplied {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

/// Reads what configfs holds of this LUN, which is to be served.
pub async fn read(context: &Arc<Context>, uid: &Uid) -> Result<Found, Trouble> {
    let uid = uid.clone();
    let read = move |context: &Context| match context.configfs.list(&Node::core()) {
        Err(Errno::ENOENT) => {
            Err(kernel_lacks(context).unwrap_or_else(|| failed("there is no configfs of the target")))
        }
        _ => found(context, &uid),
    };
    on_a_thread(context, read).await
}

/// Reads what configfs still holds of this LUN, which is to go: nothing, where there is no configfs.
pub async fn read_remains(context: &Arc<Context>, uid: &Uid) -> Result<Found, Trouble> {
    let uid = uid.clone();
    on_a_thread(context, move |context| found(context, &uid)).await
}

/// The same of its backstore only; `None` where there is none, or it cannot be read.
pub async fn backstore(context: &Arc<Context>, uid: &Uid) -> Option<Found> {
    let uid = uid.clone();
    let read = move |context: &Context| Ok(lunette_lio::read_backstore(context.configfs.as_ref(), &uid).ok());
    on_a_thread(context, read).await.ok().flatten()
}

fn found(context: &Context, uid: &Uid) -> Result<Found, Trouble> {
    lunette_lio::read_export(context.configfs.as_ref(), &context.prefix, uid).map_err(|error| failed(error.to_string()))
}

async fn on_a_thread<T: Send + 'static>(
    context: &Arc<Context>,
    work: impl FnOnce(&Context) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let context = Arc::clone(context);
    let worked = spawn_blocking(move || work(&context)).await;
    worked.unwrap_or_else(|error| Err(failed(format!("reading configfs failed: {error}"))))
}

fn failed(why: impl Into<String>) -> Trouble {
    Trouble::new(reasons::CONFIGFS_FAILED, why)
}

/// What this node must be given before any LUN can be served, with the commands that do.
fn kernel_lacks(context: &Context) -> Option<Trouble> {
    let missing = check::blocking(&context.preflight.check());
    let message = || format!("this node cannot serve LUNs yet: {}", missing.join("; "));
    (!missing.is_empty()).then(|| Trouble::new(reasons::KERNEL_NOT_READY, message()))
}

/// The steps from what is to what is wanted.
pub fn plan(found: &Found, want: Option<&Export>) -> Result<Plan, Conflict> {
    lunette_lio::plan(found, want)
}

/// Runs the steps of these phases.
pub async fn apply(context: &Arc<Context>, plan: &Plan, phases: &[Phase]) -> Result<(), Unapplied> {
    let steps: Vec<_> = phases.iter().flat_map(|phase| plan.steps(*phase)).cloned().collect();
    if steps.is_empty() {
        return Ok(());
    }
    let (configfs, board) = (Arc::clone(&context.configfs), Arc::clone(&context.board));
    let run = move || {
        lunette_lio::apply_bounded(configfs, &steps, STEP_DEADLINE, |step, result| match result {
            Ok(_) => {
                board.steps().note(StepEnd::Done);
                tracing::debug!(%step, "configfs");
            }
            Err(error) => {
                board.steps().note(StepEnd::Failed);
                tracing::warn!(%error, "configfs");
            }
        })
    };
    match spawn_blocking(run).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ApplyError::Step(error))) => Err(refused(context, error).await.into()),
        Ok(Err(ApplyError::Stuck(stuck))) => {
            context.board.steps().note(StepEnd::Stuck);
            Err(Unapplied::Stuck(stuck))
        }
        Ok(Err(error @ ApplyError::Thread(_))) => Err(failed(error.to_string()).into()),
        Err(error) => Err(failed(format!("applying failed: {error}")).into()),
    }
}

/// Why the kernel refused a step: where a module is missing, that is what has to be mended first.
async fn refused(context: &Arc<Context>, error: StepError) -> Trouble {
    if error.step.node().as_str().contains("/np/") {
        return Trouble::new(reasons::PORTAL_UNAVAILABLE, error.to_string());
    }
    let lacks = on_a_thread(context, |context| Ok(kernel_lacks(context))).await;
    match lacks.ok().flatten() {
        Some(Trouble { reason, message }) => Trouble::new(reason, format!("{message} ({error})")),
        None => failed(error.to_string()),
    }
}

/// The target that the Lun asks for: its initiators with their credentials, this node's portals. Where one
/// stands already, an initiator whose Secret is unfit stays as it stands in it (or out), and that trouble
/// comes beside the target.
///
/// # Errors
/// What is wrong with an initiator, where no target stands yet or the target could be wrong for another.
pub async fn target(
    context: &Context,
    wanted: &Wanted,
    assignment: &Assignment,
    standing: Option<&Target>,
) -> Result<(Target, Option<Trouble>), Trouble> {
    let lun = &assignment.lun;
    let mut acls = BTreeMap::new();
    let mut unfit = None;
    // This node's own entry is about a local disk.
    let remote = lun.spec.initiators.iter().filter(|initiator| initiator.node_name.as_ref() != Some(&context.node));
    for initiator in remote {
        let Some(iqn) = iqn(initiator, assignment)? else {
            unfit.get_or_insert(unknown(initiator));
            continue;
        };
        if acls.contains_key(&iqn) {
            return Err(invalid(format!("initiator {iqn} is listed twice: list it once")));
        }
        match (chap(context, lun, initiator).await, standing) {
            (Ok(chap), _) => drop(acls.insert(iqn, Acl::new(chap, initiator.read_only))),
            (Err(trouble), None) => return Err(trouble),
            (Err(trouble), Some(standing)) => {
                acls.extend(as_it_stands(standing, &iqn, initiator.read_only).map(|acl| (iqn, acl)));
                unfit.get_or_insert(trouble);
            }
        }
    }
    Ok((Target::new(wanted.iqn.clone(), context.portals.iter().cloned(), acls), unfit))
}

/// The name under which an initiator logs in; `None`: of a node that has not said its own.
fn iqn(initiator: &Initiator, assignment: &Assignment) -> Result<Option<Iqn>, Trouble> {
    let named = match (&initiator.iqn, &initiator.node_name) {
        (Some(iqn), None) => Some(iqn),
        (None, Some(node)) => assignment.initiator_names.get(node),
        _ => return Err(invalid("an initiator has neither or both of iqn and nodeName: write exactly one".to_owned())),
    };
    named.map(|iqn| iqn.parse().map_err(|error| invalid(format!("initiator: {error}")))).transpose()
}

fn unknown(initiator: &Initiator) -> Trouble {
    let node = initiator.node_name.as_deref().unwrap_or_default();
    let message = format!(
        "initiator {node}: no LunNode {node} says its initiator name: install open-iscsi there and have its agent run, or list the node by its iqn"
    );
    Trouble::new(reasons::INITIATOR_UNKNOWN, message)
}

fn invalid(message: String) -> Trouble {
    Trouble::new(reasons::INVALID_SPEC, message)
}

async fn chap(context: &Context, lun: &Lun, initiator: &Initiator) -> Result<Option<Chap>, Trouble> {
    let Some(secret) = &initiator.chap_secret else { return Ok(None) };
    let namespace = lun.metadata.namespace.as_deref().unwrap_or("default");
    let data = context.source.secret(namespace, &secret.name).await?;
    credentials::chap(&secret.name, &data).map(Some)
}

/// Nobody gets in without CHAP who is to prove who it is: an ACL that asks for none is left out.
fn as_it_stands(target: &Target, iqn: &Iqn, read_only: bool) -> Option<Acl> {
    let acl = target.tpgs.values().find_map(|tpg| tpg.acls.get(iqn))?;
    acl.chap.is_some().then(|| Acl::new(acl.chap.clone(), read_only))
}

/// Where this machine's own disk of the LUN is, if it was made.
pub async fn disk_address(context: &Arc<Context>, uid: &Uid) -> Result<Option<DiskAddress>, Trouble> {
    let uid = uid.clone();
    let read = move |context: &Context| lunette_lio::disk_address(context.configfs.as_ref(), &uid);
    on_a_thread(context, move |context| read(context).map_err(|error| failed(error.to_string()))).await
}

/// Who is logged in, if that can be read; this node too where the LUN is a disk of it.
pub async fn sessions(context: &Arc<Context>, uid: &Uid, iqn: &Iqn) -> Option<Vec<Session>> {
    let (on_thread, iqn) = (Arc::clone(context), iqn.clone());
    let read = spawn_blocking(move || lunette_lio::sessions(on_thread.configfs.as_ref(), &iqn)).await;
    let local = disk_address(context, uid).await.ok()?.map(|_| Session {
        initiator: context.node.clone(),
        addresses: Vec::new(),
        state: Some("Local".to_owned()),
    });
    Some(read.ok()?.ok()?.into_iter().map(session).chain(local).collect())
}

fn session(session: lunette_lio::Session) -> Session {
    let addresses = session.connections.iter().filter_map(|c| c.address).map(|a| a.to_string()).collect();
    Session { initiator: session.initiator, addresses, state: Some(format!("{:?}", session.state)) }
}
