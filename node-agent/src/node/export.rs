//! A LUN's part of configfs, brought to what is wanted, from a worker's point of view.
//!
//! Reading and applying block, and the kernel may never come back from a step: both run on threads of
//! their own, and a step that is overdue is reported and waited for, never tried again over itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lunette_api::conditions::reasons;
use lunette_api::{Lun, Session};
use lunette_lio::{Acl, ApplyError, Conflict, Export, Found, Iqn, Phase, Plan, Stuck, Target};
use tokio::task::spawn_blocking;

use super::wanted::Wanted;
use super::{Context, Trouble, credentials};

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

/// Reads what configfs holds of this LUN.
pub async fn read(context: &Arc<Context>, uid: &lunette_lio::Uid) -> Result<Found, Trouble> {
    let (context, uid) = (Arc::clone(context), uid.clone());
    let read = spawn_blocking(move || lunette_lio::read_export(context.configfs.as_ref(), &context.prefix, &uid));
    match read.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Trouble::new(reasons::CONFIGFS_FAILED, error.to_string())),
        Err(error) => Err(Trouble::new(reasons::CONFIGFS_FAILED, format!("reading configfs failed: {error}"))),
    }
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
    let configfs = Arc::clone(&context.configfs);
    let run = move || {
        lunette_lio::apply_bounded(configfs, &steps, STEP_DEADLINE, |step, result| match result {
            Ok(_) => tracing::debug!(%step, "configfs"),
            Err(error) => tracing::warn!(%error, "configfs"),
        })
    };
    match spawn_blocking(run).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ApplyError::Step(error))) => {
            Err(Trouble::new(reason(error.step.node().as_str()), error.to_string()).into())
        }
        Ok(Err(ApplyError::Stuck(stuck))) => Err(Unapplied::Stuck(stuck)),
        Ok(Err(error @ ApplyError::Thread(_))) => Err(Trouble::new(reasons::CONFIGFS_FAILED, error.to_string()).into()),
        Err(error) => Err(Trouble::new(reasons::CONFIGFS_FAILED, format!("applying failed: {error}")).into()),
    }
}

fn reason(node: &str) -> &'static str {
    if node.contains("/np/") { reasons::PORTAL_UNAVAILABLE } else { reasons::CONFIGFS_FAILED }
}

/// The target that the Lun asks for: its initiators with their credentials, this node's portals.
pub async fn target(context: &Context, wanted: &Wanted, lun: &Lun) -> Result<Target, Trouble> {
    let mut acls = BTreeMap::new();
    for initiator in &lun.spec.initiators {
        let iqn: Iqn = initiator
            .iqn
            .parse()
            .map_err(|error| Trouble::new(reasons::INVALID_SPEC, format!("initiator: {error}")))?;
        let chap = match &initiator.chap_secret {
            None => None,
            Some(secret) => {
                let namespace = lun.metadata.namespace.as_deref().unwrap_or("default");
                let data = context.source.secret(namespace, &secret.name).await?;
                Some(credentials::chap(&secret.name, &data)?)
            }
        };
        if acls.insert(iqn, Acl::new(chap, initiator.read_only)).is_some() {
            let message = format!("initiator {} is listed twice: list it once", initiator.iqn);
            return Err(Trouble::new(reasons::INVALID_SPEC, message));
        }
    }
    Ok(Target::new(wanted.iqn.clone(), context.portals.iter().cloned(), acls))
}

/// Who is logged in.
pub async fn sessions(context: &Arc<Context>, iqn: &Iqn) -> Vec<Session> {
    let (context, iqn) = (Arc::clone(context), iqn.clone());
    let read = spawn_blocking(move || lunette_lio::sessions(context.configfs.as_ref(), &iqn)).await;
    let Ok(Ok(sessions)) = read else { return Vec::new() };
    sessions.into_iter().map(session).collect()
}

fn session(session: lunette_lio::Session) -> Session {
    let addresses = session.connections.iter().filter_map(|c| c.address).map(|a| a.to_string()).collect();
    Session { initiator: session.initiator, addresses, state: Some(format!("{:?}", session.state)) }
}
