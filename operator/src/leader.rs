//! Leader election by a Lease: of several operators one writes, the others stand by.
//!
//! A holder that could not renew its Lease for two thirds of the Lease's duration takes it for lost and
//! must stop; another takes it after the whole duration has passed without a change that it saw itself, by
//! its own monotonic clock. This is no fence against a process that was frozen in between: that is why
//! every write of the reconcilers names the version of the object that it was decided on.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use thiserror::Error;
use tokio::time::{sleep, timeout};

/// The Lease's name.
pub const LEASE: &str = "lunette-operator";

/// Leadership is gone: nothing may be written any more.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Lost {
    /// Another holds the Lease now.
    #[error("{0} has become the leader")]
    Taken(String),
    /// The Lease could not be renewed in time.
    #[error("the leader's Lease could not be renewed for {0:?}: is the API server reachable?")]
    NotRenewed(Duration),
}

/// One candidate, and the Lease that it stands for.
pub struct Election {
    api: Api<Lease>,
    me: Candidate,
}

/// One candidate: it decides, and asks nobody.
struct Candidate {
    identity: String,
    duration: Duration,
    /// Another's Lease as last seen: its version, and when this process first saw that version.
    observed: Option<(String, Instant)>,
}

/// What a candidate may do with the Lease that it found.
#[derive(Debug, PartialEq, Eq)]
enum Chance {
    /// It holds it.
    Mine,
    /// Nobody does, or not any more.
    Free,
    /// Another does.
    Held(String),
}

impl Election {
    /// A candidate for the Lease in that namespace.
    pub fn new(api: Api<Lease>, identity: String, duration: Duration) -> Self {
        Self { api, me: Candidate { identity, duration, observed: None } }
    }

    /// Waits until this candidate leads. `reached` is told after each try whether the API server answered.
    pub async fn acquire(&mut self, reached: impl Fn(bool)) {
        let mut told = None;
        loop {
            match timeout(self.me.duration, self.try_acquire()).await {
                Ok(Ok(Chance::Held(holder))) => {
                    reached(true);
                    if told.as_ref() != Some(&holder) {
                        tracing::info!(holder, "standing by: another operator leads");
                        told = Some(holder);
                    }
                }
                Ok(Ok(_)) => {
                    reached(true);
                    tracing::info!(identity = self.me.identity, "leading");
                    return;
                }
                Ok(Err(error)) => {
                    reached(false);
                    tracing::warn!(%error, "cannot take part in the leader's election");
                }
                Err(_) => reached(false),
            }
            sleep(self.me.pace()).await;
        }
    }

    /// Renews the Lease until it is lost.
    pub async fn hold(&mut self) -> Lost {
        let mut renewed = Instant::now();
        loop {
            let left = self.me.deadline().saturating_sub(renewed.elapsed());
            if left.is_zero() {
                return Lost::NotRenewed(renewed.elapsed());
            }
            sleep(self.me.pace().min(left)).await;
            let started = Instant::now();
            match timeout(left, self.try_acquire()).await {
                Ok(Ok(Chance::Held(other))) => return Lost::Taken(other),
                Ok(Ok(_)) => renewed = started,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the leader's Lease"),
                Err(_) => {}
            }
        }
    }

    /// Gives the Lease back, so that another need not wait for its end.
    pub async fn release(&mut self) {
        let Ok(Ok(Some(mut lease))) = timeout(self.me.pace(), self.api.get_opt(LEASE)).await else { return };
        if self.me.chance(Some(&lease), Instant::now()) != Chance::Mine {
            return;
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        if let Ok(Err(error)) = timeout(self.me.pace(), self.api.replace(LEASE, &PostParams::default(), &lease)).await {
            tracing::warn!(%error, "cannot give the leader's Lease back");
        }
    }

    /// One try; a conflict means that another was quicker, and the next try shows it.
    async fn try_acquire(&mut self) -> kube::Result<Chance> {
        let found = self.api.get_opt(LEASE).await?;
        let chance = self.me.chance(found.as_ref(), Instant::now());
        if let Chance::Held(_) = chance {
            return Ok(chance);
        }
        let lease = self.me.claim(found, Timestamp::now());
        let params = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            self.api.replace(LEASE, &params, &lease).await
        } else {
            self.api.create(&params, &lease).await
        };
        written.map(|_| Chance::Mine)
    }
}

impl Candidate {
    fn pace(&self) -> Duration {
        self.duration / 7
    }

    fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    fn chance(&mut self, found: Option<&Lease>, now: Instant) -> Chance {
        let Some(lease) = found else { return Chance::Free };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if holder.is_empty() {
            return Chance::Free;
        }
        if holder == self.identity {
            return Chance::Mine;
        }
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.observed {
            Some((seen, since)) if *seen == version => *since,
            _ => now,
        };
        self.observed = Some((version, since));
        let good_for = Duration::from_secs(u64::from(spec.lease_duration_seconds.unwrap_or(0).max(1).unsigned_abs()));
        if now.saturating_duration_since(since) > good_for { Chance::Free } else { Chance::Held(holder) }
    }

    /// The Lease as it is when this candidate holds it from now on.
    fn claim(&self, found: Option<Lease>, now: Timestamp) -> Lease {
        let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
        let mut lease = found.unwrap_or(Lease { metadata, spec: None });
        let old = lease.spec.take().unwrap_or_default();
        let same = old.holder_identity.as_deref() == Some(&self.identity);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: old.acquire_time.filter(|_| same).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!same)),
            ..LeaseSpec::default()
        });
        lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(identity: &str) -> Candidate {
        Candidate { identity: identity.to_owned(), duration: Duration::from_secs(15), observed: None }
    }

    fn version(mut lease: Lease, version: &str) -> Lease {
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn a_lease_is_taken_only_after_its_duration_without_a_change() {
        let (mut a, b) = (candidate("a"), candidate("b"));
        let start = Instant::now();
        assert_eq!(a.chance(None, start), Chance::Free);
        let held = version(b.claim(None, Timestamp::UNIX_EPOCH), "1");
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(a.chance(Some(&held), start), Chance::Held("b".to_owned()), "old by its own time, but just seen");
        assert_eq!(a.chance(Some(&held), after(15)), Chance::Held("b".to_owned()));
        let renewed = version(held.clone(), "2");
        assert_eq!(a.chance(Some(&renewed), after(16)), Chance::Held("b".to_owned()));
        assert_eq!(a.chance(Some(&renewed), after(32)), Chance::Free);
    }

    #[test]
    fn a_claim_counts_the_changes_of_hands() {
        let (mut a, b) = (candidate("a"), candidate("b"));
        let first = a.claim(None, Timestamp::UNIX_EPOCH);
        assert_eq!(a.chance(Some(&first), Instant::now()), Chance::Mine);
        let again = a.claim(Some(first.clone()), Timestamp::now());
        let spec = |lease: &Lease| lease.spec.clone().expect("a spec");
        assert_eq!(spec(&again).lease_transitions, spec(&first).lease_transitions);
        assert_eq!(spec(&again).acquire_time, spec(&first).acquire_time);
        let taken = b.claim(Some(again), Timestamp::now());
        assert_eq!(spec(&taken).lease_transitions, Some(2));
    }
}
