//! One node's part in a group that several nodes serve: it does what the operator asks of it ([`lunette_api::Barrier`]),
//! and answers.
//!
//! What it remembers of an attempt is here and nowhere else. Who has forgotten it (an agent that was started anew) has
//! missed the attempt, unless its copies are kept already. Invariant: `Kept` is answered only by who was still from before
//! it answered `Held` until it saw `Keep`.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use lunette_api::conditions::reasons;
use lunette_api::{Asked, Barrier, Hold, Holding, LunSnapshotStatus};
use lunette_backend::Usage;
use tokio::time::Instant;

use super::super::super::instant::{self, Drafts, Held, OTHERS_WITHIN, Taken};
use super::{FIRST_PAUSE, LAST_PAUSE, Member, Set, asked, drafts, remove_found};
use crate::trouble::Trouble;

/// What this node remembers of the last attempt.
#[derive(Default)]
pub(super) struct Rendezvous {
    attempt: u32,
    since: Option<Instant>,
    members: Vec<String>,
    stage: Stage,
    answer: Option<Answer>,
    /// The time that the last copies kept are of, and for how long commands had to wait.
    pub taken: Option<(Timestamp, Duration)>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Nothing,
    Prepared(Drafts),
    Held(Held),
}

struct Answer {
    is: Holding,
    trouble: Trouble,
    told: bool,
}

/// How far this node remembers to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Nowhere, or it has forgotten.
    Nothing,
    /// Copies are prepared.
    Prepared,
    /// The Luns are still.
    Held,
    /// They were, for as long as they may.
    Over,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until something changes.
    Wait,
    /// Remove what is there, and prepare copies.
    Prepare,
    /// Hold the Luns still and take the copies.
    Hold,
    /// Keep them, and let the Luns go on.
    Keep,
    /// They are kept: say so.
    IsKept,
    /// Give the attempt up.
    Miss,
}

/// What to do when `step` is asked for; `answered` is the last answer for this attempt, `found` says whether the pool
/// has all of the node's copies.
pub(super) fn next(step: Asked, at: At, answered: Option<Holding>, found: bool) -> Next {
    match (step, at) {
        _ if answered == Some(Holding::Missed) => Next::Wait,
        (_, At::Over) => Next::Miss,
        (Asked::Prepare, At::Prepared) | (Asked::Hold, At::Held) | (Asked::Use, _) => Next::Wait,
        (Asked::Prepare, _) => Next::Prepare,
        (Asked::Hold, At::Prepared) => Next::Hold,
        (Asked::Keep, At::Held) => Next::Keep,
        // Copies become volumes after all were seen to be still, and before that is answered.
        (Asked::Keep, At::Nothing) if found && answered >= Some(Holding::Held) => Next::IsKept,
        (Asked::Hold | Asked::Keep, _) => Next::Miss,
    }
}

/// How long an attempt waits for its turn: the first not at all.
fn delay(attempt: u32) -> Duration {
    match attempt {
        0 | 1 => Duration::ZERO,
        more => (FIRST_PAUSE * 2u32.saturating_pow(more.min(10) - 2)).min(LAST_PAUSE),
    }
}

impl Rendezvous {
    /// Until when Luns are held still, if they are.
    pub fn until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Held(held) => Some(held.until()),
            Stage::Nothing | Stage::Prepared(_) => None,
        }
    }

    /// Begins anew where the attempt is another, or is of others.
    fn begin(&mut self, attempt: u32, members: &[Member]) {
        let uids: Vec<String> = members.iter().map(|member| member.uid().to_owned()).collect();
        if self.attempt != attempt || self.members != uids {
            let since = self.since.filter(|_| self.attempt == attempt).unwrap_or_else(Instant::now);
            *self = Self { attempt, since: Some(since), members: uids, taken: self.taken, ..Self::default() };
        }
    }

    fn at(&self) -> At {
        match &self.stage {
            Stage::Nothing => At::Nothing,
            Stage::Prepared(_) => At::Prepared,
            Stage::Held(held) if held.until() <= Instant::now() => At::Over,
            Stage::Held(_) => At::Held,
        }
    }

    /// The last answer for this attempt: ours, or what an earlier agent said of all members.
    fn answered(&self, members: &[Member]) -> Option<Holding> {
        let said = |member: &Member| member.hold().filter(|hold| hold.attempt == self.attempt).map(|hold| hold.is);
        self.answer.as_ref().map(|answer| answer.is).or_else(|| members.iter().map(said).min().flatten())
    }

    fn is_due(&self) -> bool {
        self.since.is_none_or(|since| since.elapsed() >= delay(self.attempt))
    }
}

impl Set {
    /// Does what is asked next; whether that is done, and known to the source.
    pub(super) async fn meet(
        &mut self,
        members: &[Member],
        found: &[Option<Usage>],
        barrier: Barrier,
    ) -> Result<bool, Trouble> {
        self.rendezvous.begin(barrier.attempt, members);
        let answered = self.rendezvous.answered(members);
        match next(barrier.step, self.rendezvous.at(), answered, found.iter().all(Option::is_some)) {
            Next::Wait => Ok(self.tell(members).await),
            Next::Prepare if !self.rendezvous.is_due() => Ok(false),
            Next::Prepare => self.prepare(members, found).await,
            Next::Hold => self.hold(members).await,
            Next::Keep => self.keep(members).await,
            Next::IsKept => Ok(self.answer(members, Holding::Kept, waiting("it is kept", members)).await),
            Next::Miss => {
                let text = "the others of its group were not still within the time for which its Lun may be held, or its \
                            agent was started anew: nothing is kept, and I/O goes on; trying again";
                Ok(self.miss(members, Trouble::new(reasons::NOT_STILL, text)).await)
            }
        }
    }

    async fn prepare(&mut self, members: &[Member], found: &[Option<Usage>]) -> Result<bool, Trouble> {
        remove_found(members, found).await?;
        let drafts = instant::take_ahead(&self.context.pausers, drafts(members).await?).await?;
        self.rendezvous.stage = Stage::Prepared(drafts);
        Ok(self.answer(members, Holding::Prepared, waiting("it is ready to be taken", members)).await)
    }

    async fn hold(&mut self, members: &[Member]) -> Result<bool, Trouble> {
        let Stage::Prepared(drafts) = std::mem::take(&mut self.rendezvous.stage) else { return Ok(false) };
        match instant::hold(&self.context.pausers, drafts, OTHERS_WITHIN).await {
            Ok(held) => {
                self.rendezvous.stage = Stage::Held(held);
                Ok(self.answer(members, Holding::Held, waiting("its Lun is held still", members)).await)
            }
            Err(trouble) => Ok(self.miss(members, trouble).await),
        }
    }

    async fn keep(&mut self, members: &[Member]) -> Result<bool, Trouble> {
        let Stage::Held(held) = std::mem::take(&mut self.rendezvous.stage) else { return Ok(false) };
        let kept = match held.release() {
            Ok(Taken { drafts, at, paused }) => {
                let kept = asked(move || drafts.keep()).await;
                kept.map(|()| (at, paused))
            }
            Err(trouble) => Err(trouble),
        };
        match kept {
            Ok((at, paused)) => {
                tracing::info!(snapshots = members.len(), ?paused, "kept, with those of other nodes");
                self.rendezvous.taken = Some((at, paused));
                Ok(self.answer(members, Holding::Kept, waiting("it is kept", members)).await)
            }
            Err(trouble) => Ok(self.miss(members, trouble).await),
        }
    }

    async fn miss(&mut self, members: &[Member], trouble: Trouble) -> bool {
        // What was held goes on, and what was taken is dropped.
        self.rendezvous.stage = Stage::Nothing;
        tracing::warn!(reason = trouble.reason, snapshots = members.len(), "{}", trouble.message);
        self.answer(members, Holding::Missed, trouble).await
    }

    async fn answer(&mut self, members: &[Member], is: Holding, trouble: Trouble) -> bool {
        self.rendezvous.answer = Some(Answer { is, trouble, told: false });
        self.tell(members).await
    }

    /// Tells the source the last answer, of all members at once: others are held still meanwhile.
    async fn tell(&mut self, members: &[Member]) -> bool {
        let Some(answer) = self.rendezvous.answer.as_ref().filter(|answer| !answer.told) else { return true };
        let hold = Some(Hold { attempt: self.rendezvous.attempt, is: answer.is });
        let status = |member: &Member| LunSnapshotStatus { hold, ..self.troubled(member, &answer.trouble) };
        let said: Vec<LunSnapshotStatus> = members.iter().map(status).collect();
        let source = &self.context.source;
        let told = join_all(members.iter().zip(&said).map(|(m, status)| source.report_snapshot(&m.snapshot, status)));
        let told = told.await.into_iter().all(|told| told);
        for (member, status) in members.iter().zip(said) {
            self.show(member, status.clone());
            self.said.insert(member.uid().to_owned(), status);
        }
        if let Some(answer) = &mut self.rendezvous.answer {
            answer.told = told;
        }
        told
    }
}

fn waiting(what: &str, members: &[Member]) -> Trouble {
    let group = members.iter().find_map(|member| member.snapshot.spec.group.as_ref());
    let (name, all) = group.map_or(("", 0), |group| (group.name.as_str(), group.members));
    Trouble::new(
        reasons::WAITING_FOR_GROUP,
        format!("{what}; waiting for the other nodes of the {all} of group {name}"),
    )
}

#[cfg(test)]
mod tests;
