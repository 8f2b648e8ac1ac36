//! Letting go of this node's LUNs in favour of a successor, a few at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::intent::Intent;
use super::{LEAVE_WITHIN, Node};
use crate::handover::{Baton, Candidate, HandOver, Lost, When};

/// LUNs that pause at the same time: few, so that each pauses shortly, also where there are a thousand.
const GROUP: usize = 8;

/// How long LUNs paused.
#[derive(Default)]
struct Pauses(Vec<Duration>);

impl Node {
    /// Someone is ready to succeed us: now, or when we are told to stop. To whom all was handed over, if so.
    pub(super) async fn met(&mut self, candidate: Candidate) -> Option<Baton> {
        match candidate.when() {
            When::Now => self.hand_over(candidate).await,
            When::AtItsEnd => {
                self.have_wait(candidate).await;
                None
            }
        }
    }

    /// One waits until we are told to stop, and others are sent away.
    async fn have_wait(&mut self, candidate: Candidate) {
        let taken = match &mut self.heir {
            Some(heir) => heir.is_there().await,
            None => false,
        };
        if taken {
            candidate.refuse("another one stands by").await;
        } else {
            tracing::info!(version = candidate.version(), "a successor stands by");
            self.heir = Some(candidate);
        }
    }

    /// We are told to stop: hands over to who stands by, if anybody still does.
    pub(super) async fn hand_to_heir(&mut self) -> Option<Baton> {
        let mut heir = self.heir.take()?;
        if heir.is_there().await { self.hand_over(heir).await } else { None }
    }

    /// Hands every LUN over. If that fails half-way the successor is ended, and following the view starts again what
    /// was let go of.
    async fn hand_over(&mut self, candidate: Candidate) -> Option<Baton> {
        tracing::info!(version = candidate.version(), luns = self.workers.len(), "handing over to a successor");
        match self.hand_all(candidate).await {
            Ok((baton, pauses)) => {
                tracing::info!("handed over: {}", pauses.told());
                Some(baton)
            }
            Err(lost) => {
                tracing::error!("the successor could not take over ({lost}): this agent serves on");
                // Workers that removed an orphan are gone too.
                self.orphans_sought = false;
                None
            }
        }
    }

    async fn hand_all(&mut self, candidate: Candidate) -> Result<(Baton, Pauses), Lost> {
        let (mut hand_over, mut pauses) = (candidate.begin().await?, Pauses::default());
        match self.hand_groups(&mut hand_over, &mut pauses).await {
            Ok(()) => Ok((hand_over.done(), pauses)),
            Err(lost) => {
                hand_over.take_back();
                Err(lost)
            }
        }
    }

    async fn hand_groups(&mut self, hand_over: &mut HandOver, pauses: &mut Pauses) -> Result<(), Lost> {
        self.snapshots.stop();
        let uids: Vec<String> = self.workers.keys().cloned().collect();
        for group in uids.chunks(GROUP) {
            let began = Instant::now();
            let given = self.let_go(group, hand_over).await?;
            hand_over.wait_for(given, |_| pauses.0.push(began.elapsed())).await?;
        }
        Ok(())
    }

    /// Ends the workers of these LUNs; those that the successor can serve now.
    async fn let_go(&mut self, group: &[String], hand_over: &mut HandOver) -> Result<BTreeSet<String>, Lost> {
        for worker in group.iter().filter_map(|uid| self.workers.get(uid)) {
            worker.send_replace(Intent::Leave);
        }
        let (mut given, mut stay) = (BTreeSet::new(), group.iter().cloned().collect::<BTreeSet<_>>());
        let deadline = Instant::now() + LEAVE_WITHIN;
        while stay.iter().any(|uid| self.workers.contains_key(uid)) {
            let left = timeout(deadline.saturating_duration_since(Instant::now()), self.finished.recv());
            let Ok(Some(finished)) = left.await else { break };
            self.forget(&finished.uid);
            if stay.remove(&finished.uid) && finished.let_go {
                hand_over.give(&finished.uid).await?;
                given.insert(finished.uid);
            } else {
                hand_over.name(&finished.uid).await?;
            }
        }
        Ok(given)
    }
}

impl Pauses {
    fn told(mut self) -> String {
        self.0.sort();
        let at = |part: usize| self.0.get((self.0.len() * part / 100).min(self.0.len().saturating_sub(1)));
        let seconds = |pause: Option<&Duration>| pause.map_or(0.0, Duration::as_secs_f64);
        let [p50, p99, max] = [at(50), at(99), self.0.last()].map(seconds);
        format!("{} LUNs paused, p50 {p50:.3} s, p99 {p99:.3} s, longest {max:.3} s", self.0.len())
    }
}
