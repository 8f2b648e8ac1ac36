//! Towards a served LUN: volume, backstore, thread, target.
//!
//! The order matters. A ring that is there is served before anything else is looked at: initiators wait
//! for it. The target comes last, so that nobody logs in to what is not served.

use lunette_api::conditions::reasons;
use lunette_lio::{Export, Found, Phase};

use super::super::export;
use super::super::foresight::Standing;
use super::super::intent::Assignment;
use super::super::report::Progress;
use super::super::wanted::Wanted;
use super::{FIRST_PAUSE, Next, Worker};
use crate::attach::{Outcome, Refusal};
use crate::handover::Served;
use crate::storage::AnyPool;
use crate::trouble::Trouble;

impl Worker {
    pub(super) async fn serve(&mut self, assignment: Assignment) -> Next {
        self.removing = false;
        self.last = Some(assignment.clone());
        self.reporter.show(&assignment.lun);
        let (outcome, trouble) = match self.make_served(&assignment).await {
            Ok(outcome) => (outcome, None),
            Err(trouble) => (Err(Refusal::from(trouble.clone())), Some(trouble)),
        };
        self.tell_predecessor(trouble.as_ref());
        self.reporter.serving(&assignment.lun, &self.progress, trouble.as_ref()).await;
        self.answer(&outcome);
        match trouble {
            Some(trouble) => Next::Trouble(trouble),
            None => {
                self.pause = FIRST_PAUSE;
                Next::Well
            }
        }
    }

    /// The beginning of the first pass; later ones have a thread.
    async fn begin(&mut self, assignment: &Assignment) -> Result<(), Trouble> {
        let Some(others) = self.others.take() else { return Ok(()) };
        let begun = self.go_on(assignment).await;
        if self.is_serving() {
            self.tell_predecessor(None);
            others.wait().await;
        }
        begun
    }

    /// Serves a ring that is there before anything else is looked at: initiators wait for it.
    async fn go_on(&mut self, assignment: &Assignment) -> Result<(), Trouble> {
        let (Ok(wanted), Ok(pool)) = (Wanted::read(&self.uid, &assignment.lun), pool(assignment)) else {
            return Ok(());
        };
        if let Some(Standing { found, access }) = self.context.foresight.take(&self.uid) {
            match self.ensure_thread(&wanted, &pool, &found, access).await {
                Ok(()) => return Ok(()),
                Err(trouble) => tracing::debug!(uid = %self.uid, "not as it was beforehand: {}", trouble.message),
            }
        }
        match export::backstore(&self.context, &self.uid).await {
            Some(found) if is_enabled(&found) => self.ensure_thread(&wanted, &pool, &found, None).await,
            _ => Ok(()),
        }
    }

    /// Has our predecessor know, if there is one that waits for it.
    fn tell_predecessor(&self, trouble: Option<&Trouble>) {
        let uid = self.uid.to_string();
        let served = match trouble {
            Some(trouble) if !self.is_serving() => Served::Not(uid, trouble.message.clone()),
            _ => Served::Serving(uid),
        };
        // Nobody listens when there is none.
        let _ = self.context.served.send(served);
    }

    /// Every step towards a served LUN, in order; `progress` says how far it came. The outcome is that of the
    /// local disk.
    async fn make_served(&mut self, assignment: &Assignment) -> Result<Outcome, Trouble> {
        self.bury_thread();
        let sessions = std::mem::take(&mut self.progress.sessions);
        self.progress = Progress { serving: self.is_serving(), sessions, ..Progress::default() };
        let begun = self.begin(assignment).await;
        let found = export::read(&self.context, &self.uid).await?;
        self.progress.exported = stands(&found);
        begun?;
        let wanted = Wanted::read(&self.uid, &assignment.lun)?;
        let pool = pool(assignment)?;
        if is_enabled(&found) {
            self.ensure_thread(&wanted, &pool, &found, None).await?;
        } else {
            allowed(assignment, &self.context.node)?;
        }
        self.ensure_copied(&wanted, &pool, assignment).await?;
        self.ensure_volume(&wanted, &pool).await?;
        let found = self.ensure_backstore(&wanted, found).await?;
        self.ensure_thread(&wanted, &pool, &found, None).await?;
        self.ensure_size_is_known(wanted.spec.size);
        let target = self.ensure_target(&wanted, assignment, &found).await;
        // What is wrong with the network is no matter to a local disk.
        let outcome = self.ensure_local(&wanted, assignment, &found).await;
        self.tell_of_a_failed_disk(&found, &outcome);
        self.ensure_access_is_known(&wanted, found).await;
        target?;
        self.progress.capacity = Some(wanted.spec.size);
        self.progress.allocated = self.allocated(&wanted, &pool).await;
        if let Some(sessions) = export::sessions(&self.context, &self.uid, &wanted.iqn).await {
            self.progress.sessions = sessions;
        }
        Ok(outcome)
    }

    async fn ensure_volume(&mut self, wanted: &Wanted, pool: &AnyPool) -> Result<(), Trouble> {
        let (pool, volume, spec) = (pool.clone(), wanted.volume.clone(), wanted.spec.clone());
        self.patiently(move || {
            pool.create(&volume, &spec)?;
            pool.grow(&volume, spec.size)
        })
        .await?
        .map_err(Trouble::from)
    }

    async fn ensure_backstore(&mut self, wanted: &Wanted, found: Found) -> Result<Found, Trouble> {
        let target = found.export.target.clone();
        let want = Export { backstore: Some(wanted.backstore()), target, local: None };
        let plan = export::plan(&found, Some(&want))?;
        if plan.steps(Phase::Backstore).is_empty() {
            return Ok(found);
        }
        self.applied(&plan, &[Phase::Backstore]).await?;
        export::read(&self.context, &self.uid).await
    }

    /// One initiator whose Secret is unfit must not keep another's access from being withdrawn: what stands
    /// of it stays, the rest is brought about, and then the trouble is told.
    async fn ensure_target(&mut self, wanted: &Wanted, assignment: &Assignment, found: &Found) -> Result<(), Trouble> {
        let standing = found.export.target.as_ref();
        let (target, trouble) = export::target(&self.context, wanted, assignment, standing).await?;
        let want = Export { backstore: Some(wanted.backstore()), target: Some(target), local: None };
        let plan = export::plan(found, Some(&want))?;
        self.applied(&plan, &[Phase::Target]).await?;
        self.progress.exported = true;
        trouble.map_or(Ok(()), Err)
    }

    async fn allocated(&mut self, wanted: &Wanted, pool: &AnyPool) -> Option<u64> {
        let (pool, volume) = (pool.clone(), wanted.volume.clone());
        let usage = self.patiently(move || pool.usage(&volume)).await.ok()?.ok()?;
        Some(usage.allocated)
    }
}

pub(super) fn pool(assignment: &Assignment) -> Result<AnyPool, Trouble> {
    let name = &assignment.lun.spec.pool;
    let pool = assignment.pool.as_ref().ok_or_else(|| {
        let message = format!("there is no LunPool {name}: create it, or name another");
        Trouble::new(reasons::POOL_NOT_FOUND, message)
    })?;
    Ok(AnyPool::new(&pool.spec)?)
}

/// Whether the pool is for this node and for the Lun's namespace. An operator has seen to that where there
/// is one; a directory of manifests has only us. It is asked before a LUN is first served: what serves
/// already is not cut off because an admin narrowed a pool.
fn allowed(assignment: &Assignment, node: &str) -> Result<(), Trouble> {
    let Some(pool) = &assignment.pool else { return Ok(()) };
    let name = &assignment.lun.spec.pool;
    let namespace = assignment.lun.metadata.namespace.as_deref().unwrap_or("default");
    let among = |list: &[String], what: &str| list.is_empty() || list.iter().any(|entry| entry == what);
    if !among(&pool.spec.namespaces, namespace) {
        let message = format!(
            "LunPool {name} is not for namespace {namespace}: use another pool, or have an admin add the namespace"
        );
        return Err(Trouble::new(reasons::POOL_NOT_ALLOWED, message));
    }
    if !among(&pool.spec.nodes, node) {
        let message = format!("LunPool {name} is not for node {node}: use another pool, or have an admin add the node");
        return Err(Trouble::new(reasons::POOL_NOT_ALLOWED, message));
    }
    Ok(())
}

/// Whether there is a ring.
pub fn is_enabled(found: &Found) -> bool {
    found.export.backstore.as_ref().is_some_and(|backstore| backstore.enabled)
}

/// Whether initiators can log in.
fn stands(found: &Found) -> bool {
    found.export.target.as_ref().is_some_and(|target| target.tpgs.values().any(|tpg| tpg.enabled))
}
