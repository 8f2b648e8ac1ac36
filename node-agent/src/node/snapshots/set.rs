//! One set of snapshots of one instant, from what is wanted to what is.

mod rendezvous;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use lunette_api::conditions::{self, reasons};
use lunette_api::{Asked, Barrier, Hold, LunPool, LunSnapshot, LunSnapshotStatus};
use lunette_backend::{CopySpec, Draft, PoolError, PoolErrorKind, Usage, VolumeId};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::super::Context;
use super::super::instant::{self, Drafts, Taken};
use crate::storage::AnyPool;
use crate::trouble::Trouble;
use rendezvous::Rendezvous;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// One snapshot of a set.
#[derive(Clone, Debug)]
pub struct Member {
    snapshot: Arc<LunSnapshot>,
    /// Where its bytes may be.
    pools: Vec<Arc<LunPool>>,
    /// Whether its bytes are to go.
    removed: bool,
    /// Whether nobody asks for its status any more.
    gone: bool,
}

impl PartialEq for Member {
    /// Most of the status is what we write: it makes no difference.
    fn eq(&self, other: &Self) -> bool {
        let placed = |member: &Self| member.status().map(|s| (s.node.clone(), s.source.clone()));
        self.uid() == other.uid()
            && (self.removed, self.gone) == (other.removed, other.gone)
            && placed(self) == placed(other)
            && self.is_reported() == other.is_reported()
            && self.barrier() == other.barrier()
            && self.snapshot.metadata.generation == other.snapshot.metadata.generation
            && self.pools.len() == other.pools.len()
            && self.pools.iter().zip(&other.pools).all(|(a, b)| a.spec == b.spec)
    }
}

impl Member {
    /// A snapshot as it is wanted.
    pub fn of(snapshot: &Arc<LunSnapshot>, pools: Vec<Arc<LunPool>>) -> Self {
        let removed = snapshot.metadata.deletion_timestamp.is_some();
        Self { snapshot: Arc::clone(snapshot), pools, removed, gone: false }
    }

    /// It is in no view any more; its bytes go if its author's leaving it out says so.
    pub fn make_gone(&mut self, reclaims: bool) {
        self.gone = true;
        self.removed |= reclaims;
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        self.snapshot.metadata.uid.as_deref().unwrap_or_default()
    }

    fn status(&self) -> Option<&LunSnapshotStatus> {
        self.snapshot.status.as_ref()
    }

    /// Whether it was said to be taken.
    fn is_reported(&self) -> bool {
        self.status().is_some_and(|status| status.ready_to_use == Some(true))
    }

    /// The UID of the Lun that it is of; empty where that is not known any more.
    fn source(&self) -> &str {
        self.status().and_then(|status| status.source.as_ref()).map_or("", |source| source.uid.as_str())
    }

    /// What the operator asks, where other nodes serve Luns of its group.
    fn barrier(&self) -> Option<Barrier> {
        self.status().and_then(|status| status.barrier)
    }

    /// What was last answered to that.
    fn hold(&self) -> Option<Hold> {
        self.status().and_then(|status| status.hold)
    }

    fn name(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        format!("{}/{}", text(&self.snapshot.metadata.namespace), text(&self.snapshot.metadata.name))
    }

    /// Asks the pool where its bytes are, or are to be, about its volume.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&AnyPool, &VolumeId) -> Result<T, PoolError> + Send + 'static,
    ) -> Result<T, Trouble> {
        let volume = volume(self.uid())?;
        let pools = self.pools.iter().map(|pool| AnyPool::new(&pool.spec)).collect::<Result<Vec<_>, _>>()?;
        if pools.is_empty() {
            let name = self.status().and_then(|status| status.pool.clone()).unwrap_or_default();
            return Err(Trouble::new(reasons::POOL_NOT_FOUND, format!("there is no LunPool {name}: create it again")));
        }
        asked(move || ask(home(&pools, &volume)?, &volume)).await
    }
}

/// The one pool, or that of several that has the volume.
fn home<'a>(pools: &'a [AnyPool], volume: &VolumeId) -> Result<&'a AnyPool, PoolError> {
    match pools {
        [one] => Ok(one),
        several => several.iter().find(|pool| pool.usage(volume).is_ok()).ok_or_else(|| {
            let text = "its Lun is not known to this node, and no pool has its bytes: add the Lun's manifest";
            PoolError::new(PoolErrorKind::NotFound, text)
        }),
    }
}

fn volume(uid: &str) -> Result<VolumeId, Trouble> {
    VolumeId::parse(uid).ok_or_else(|| {
        Trouble::new(reasons::INVALID_SPEC, format!("the UID {uid:?} is no UUID: leave metadata.uid out"))
    })
}

/// The worker of one set.
pub struct Set {
    context: Arc<Context>,
    pause: Duration,
    /// What was said last, by UID: nothing is said twice.
    said: BTreeMap<String, LunSnapshotStatus>,
    /// With other nodes.
    rendezvous: Rendezvous,
}

impl Set {
    /// One that has not looked yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, pause: FIRST_PAUSE, said: BTreeMap::new(), rendezvous: Rendezvous::default() }
    }

    /// Works until the set is gone.
    pub async fn run(mut self, mut wanted: watch::Receiver<Vec<Member>>) {
        loop {
            let members = wanted.borrow_and_update().clone();
            let done = self.pass(&members).await;
            if done && members.iter().all(|member| member.gone) {
                return;
            }
            let changed = match self.rest(done) {
                None => wanted.changed().await,
                Some(pause) => timeout(pause, wanted.changed()).await.unwrap_or(Ok(())),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// How long to wait at most for something to change.
    fn rest(&mut self, done: bool) -> Option<Duration> {
        let held = self.rendezvous.until().map(|until| until.saturating_duration_since(Instant::now()));
        if done {
            return held;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_PAUSE);
        Some(held.map_or(pause, |held| held.min(pause)))
    }

    /// Whether all is as it is wanted, and said.
    async fn pass(&mut self, members: &[Member]) -> bool {
        let mut done = true;
        for member in members.iter().filter(|member| member.removed) {
            done &= self.remove(member).await;
        }
        let kept: Vec<Member> = members.iter().filter(|member| !member.removed && !member.gone).cloned().collect();
        match self.make_taken(&kept).await {
            Ok(told) => done &= told,
            Err(trouble) => {
                tracing::warn!(reason = trouble.reason, snapshots = kept.len(), "{}", trouble.message);
                for member in kept.iter().filter(|member| !member.is_reported()) {
                    self.say_trouble(member, &trouble).await;
                }
                done = false;
            }
        }
        if done {
            self.pause = FIRST_PAUSE;
        }
        done
    }

    /// Removes the bytes, and says so; whether both are done.
    async fn remove(&mut self, member: &Member) -> bool {
        let removed = member.ask(|pool, volume| match pool.remove(volume) {
            Err(error) if error.kind == PoolErrorKind::NotFound => Ok(()),
            other => other,
        });
        let (trouble, done) = match removed.await {
            Ok(()) => (Trouble::new(reasons::REMOVED, "its bytes are gone"), true),
            Err(trouble) => (trouble, false),
        };
        if member.gone {
            self.context.board.remove_snapshot(member.uid());
            return done;
        }
        self.say_trouble(member, &trouble).await && done
    }

    /// Finds what was taken, or takes all; whether the source knows.
    async fn make_taken(&mut self, members: &[Member]) -> Result<bool, Trouble> {
        let mut found = Vec::new();
        for member in members {
            found.push(look(member).await?);
        }
        if let Some((lost, _)) =
            members.iter().zip(&found).find(|(member, found)| member.is_reported() && found.is_none())
        {
            let trouble = Trouble::new(
                reasons::SOURCE_NOT_FOUND,
                "its bytes are not in the pool any more: nobody but an agent should remove them; delete the snapshot",
            );
            self.say_trouble(lost, &trouble).await;
            return Err(trouble);
        }
        let barrier = members.iter().filter_map(Member::barrier).max().filter(|barrier| barrier.step != Asked::Use);
        if let Some(barrier) = barrier.filter(|_| !members.iter().all(Member::is_reported)) {
            return self.meet(members, &found, barrier).await;
        }
        if found.iter().all(Option::is_some) {
            let mut told = true;
            for (member, usage) in members.iter().zip(found.into_iter().flatten()) {
                told &= self.say_found(member, usage).await;
            }
            return Ok(told);
        }
        complete(members)?;
        self.take(members, &found).await
    }

    async fn take(&mut self, members: &[Member], found: &[Option<Usage>]) -> Result<bool, Trouble> {
        remove_found(members, found).await?;
        let drafts = drafts(members).await?;
        let taken = instant::take(&self.context.pausers, drafts).await?;
        let Taken { drafts, at, paused } = taken;
        asked(move || drafts.keep()).await?;
        tracing::info!(snapshots = members.len(), ?paused, "taken");
        let mut told = true;
        for member in members {
            let usage = look(member).await?.ok_or_else(|| {
                Trouble::new(reasons::SOURCE_NOT_FOUND, "it was taken and is not there: see the pool's storage")
            })?;
            told &= self.say_taken(member, usage.size, at, Some(paused)).await;
        }
        Ok(told)
    }

    /// What an agent took that could not say so.
    async fn say_found(&mut self, member: &Member, usage: Usage) -> bool {
        if member.is_reported() {
            self.show(member, member.status().cloned().unwrap_or_default());
            return true;
        }
        if let Some(said) = self.said.get(member.uid()).filter(|said| said.ready_to_use == Some(true)).cloned() {
            return self.say(member, said).await;
        }
        let described = || usage.described.and_then(|time| Timestamp::try_from(time).ok());
        let at = self.rendezvous.taken.map(|(at, _)| at).or_else(described).unwrap_or_else(Timestamp::now);
        self.say_taken(member, usage.size, at, self.rendezvous.taken.map(|(_, paused)| paused)).await
    }

    async fn say_taken(&mut self, member: &Member, size: u64, at: Timestamp, paused: Option<Duration>) -> bool {
        let mut status = LunSnapshotStatus {
            ready_to_use: Some(true),
            size: Some(size),
            creation_time: Some(Time(at)),
            pause_microseconds: paused.map(|paused| u64::try_from(paused.as_micros()).unwrap_or(u64::MAX)),
            ..LunSnapshotStatus::default()
        };
        let generation = member.snapshot.metadata.generation;
        let message = "Luns can be made from it";
        conditions::set(&mut status.conditions, conditions::READY, true, reasons::TAKEN, message, generation);
        self.say(member, status).await
    }

    async fn say_trouble(&mut self, member: &Member, trouble: &Trouble) -> bool {
        let status = self.troubled(member, trouble);
        self.say(member, status).await
    }

    /// The status of one that is not taken.
    fn troubled(&self, member: &Member, trouble: &Trouble) -> LunSnapshotStatus {
        let before = self.said.get(member.uid()).map(|said| said.conditions.clone());
        let there = || member.status().map(|s| s.conditions.clone()).unwrap_or_default();
        let mut status = LunSnapshotStatus { ready_to_use: Some(false), ..LunSnapshotStatus::default() };
        status.conditions = before.unwrap_or_else(there);
        status.conditions.retain(|c| c.type_ == conditions::READY);
        let (generation, message) = (member.snapshot.metadata.generation, trouble.message.as_str());
        conditions::set(&mut status.conditions, conditions::READY, false, trouble.reason, message, generation);
        status
    }

    /// Tells the source, unless it knows; whether it does.
    async fn say(&mut self, member: &Member, status: LunSnapshotStatus) -> bool {
        self.show(member, status.clone());
        if self.said.get(member.uid()) == Some(&status) && status.ready_to_use != Some(true) {
            return true;
        }
        let told = self.context.source.report_snapshot(&member.snapshot, &status).await;
        if told {
            self.said.insert(member.uid().to_owned(), status);
        }
        told
    }

    fn show(&self, member: &Member, ours: LunSnapshotStatus) {
        let there = member.status().cloned().unwrap_or_default();
        let mut conditions = there.conditions;
        conditions.retain(|c| ours.conditions.iter().all(|our| our.type_ != c.type_));
        conditions.extend(ours.conditions.iter().cloned());
        let LunSnapshotStatus { node, pool, source, barrier, .. } = there;
        let status = LunSnapshotStatus { node, pool, source, barrier, conditions, ..ours };
        let snapshot = LunSnapshot { status: Some(status), ..LunSnapshot::clone(&member.snapshot) };
        self.context.board.put_snapshot(member.uid(), snapshot);
    }
}

/// Of a set that a crash or another node's failure cut in two, none was said to be taken: the rest would be of another time.
async fn remove_found(members: &[Member], found: &[Option<Usage>]) -> Result<(), Trouble> {
    for (member, _) in members.iter().zip(found).filter(|(_, found)| found.is_some()) {
        member.ask(|pool, volume| pool.remove(volume)).await?;
    }
    Ok(())
}

/// Whether every snapshot of the group is there.
fn complete(members: &[Member]) -> Result<(), Trouble> {
    let Some(group) = members.iter().find_map(|member| member.snapshot.spec.group.as_ref()) else { return Ok(()) };
    let there = members.len();
    if u32::try_from(there).is_ok_and(|there| there >= group.members) {
        return Ok(());
    }
    let message = format!(
        "{there} of the {} snapshots of group {} are on this node: none is taken before all are there, on this node or others",
        group.members, group.name
    );
    Err(Trouble::new(reasons::WAITING_FOR_GROUP, message))
}

/// What the pool has of a snapshot.
async fn look(member: &Member) -> Result<Option<Usage>, Trouble> {
    member
        .ask(|pool, volume| match pool.usage(volume) {
            Ok(usage) => Ok(Some(usage)),
            Err(error) if error.kind == PoolErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
}

/// Copies of all, prepared.
async fn drafts(members: &[Member]) -> Result<Drafts, Trouble> {
    let mut drafts = Drafts::default();
    for member in members {
        drafts.push(draft(member).await?, Some(member.source()));
    }
    Ok(drafts)
}

async fn draft(member: &Member) -> Result<Box<dyn Draft>, Trouble> {
    if member.source().is_empty() {
        let lun = &member.snapshot.spec.lun;
        let message = format!("Lun {lun} is not served by this node, so it cannot be taken: add the Lun's manifest");
        return Err(Trouble::new(reasons::SOURCE_NOT_FOUND, message));
    }
    let copy = CopySpec { source: volume(member.source())?, size: None, owner: member.name() };
    let drafted = member.ask(move |pool, id| pool.draft(id, &copy)).await?;
    drafted.ok_or_else(|| Trouble::new(reasons::CONFLICT, "it was taken in the same moment by another; looking again"))
}

/// Asks storage, which may take its time: this task has nothing else to do.
async fn asked<T: Send + 'static>(ask: impl FnOnce() -> Result<T, PoolError> + Send + 'static) -> Result<T, Trouble> {
    match spawn_blocking(ask).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(Trouble::new(reasons::POOL_UNAVAILABLE, format!("asking the pool failed: {error}"))),
    }
}
