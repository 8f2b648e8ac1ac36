//! The snapshots that this node holds: taken, reported, and removed when they are not wanted any more.
//!
//! One task for each set of snapshots that are of one instant: a group, or one alone. A set whose pool does not answer
//! keeps no other waiting. What was taken is found again after a crash, and what was only begun is begun anew. A
//! snapshot that was reported as taken is never taken once more: it would be of another time.

mod set;

use std::collections::BTreeMap;
use std::sync::Arc;

use lunette_api::{LunPool, LunSnapshot};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Context;
use crate::source::View;
use set::{Member, Set};

/// The tasks of all sets.
pub struct Snapshots {
    context: Arc<Context>,
    sets: BTreeMap<String, (watch::Sender<Vec<Member>>, JoinHandle<()>)>,
}

impl Snapshots {
    /// None yet.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, sets: BTreeMap::new() }
    }

    /// Does what the view says of snapshots; it must be complete.
    pub fn follow(&mut self, view: &View) {
        let mut wanted: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for snapshot in view.snapshots.values() {
            let member = Member::of(snapshot, pools(snapshot, view));
            wanted.entry(key(snapshot)).or_default().push(member);
        }
        self.sets.retain(|_, (_, task)| !task.is_finished());
        for (key, (members, _)) in &self.sets {
            if !wanted.contains_key(key) {
                self.let_go(members);
            }
        }
        for (key, members) in wanted {
            self.tell(key, members);
        }
    }

    /// Ends all tasks; what they have begun is begun anew by the next agent, and what waits goes on.
    pub fn stop(&mut self) {
        for (_, (_, task)) in std::mem::take(&mut self.sets) {
            task.abort();
        }
    }

    /// A set that is in no view any more. A directory of manifests deletes by leaving out; an API server shows a
    /// snapshot until its bytes are gone, or somebody has given up.
    fn let_go(&self, members: &watch::Sender<Vec<Member>>) {
        let reclaims = self.context.source.leaving_out_deletes();
        members.send_if_modified(|members| {
            let before = members.clone();
            members.iter_mut().for_each(|member| member.make_gone(reclaims));
            *members != before
        });
    }

    fn tell(&mut self, key: String, members: Vec<Member>) {
        if let Some((sender, _)) = self.sets.get(&key) {
            let reclaims = self.context.source.leaving_out_deletes();
            sender.send_if_modified(|old| {
                let is_left = |member: &&Member| members.iter().all(|other| other.uid() != member.uid());
                let mut left: Vec<Member> = old.iter().filter(is_left).cloned().collect();
                left.iter_mut().for_each(|member| member.make_gone(reclaims));
                let next = [members, left].concat();
                let changed = *old != next;
                *old = next;
                changed
            });
            return;
        }
        let (sender, receiver) = watch::channel(members);
        let task = tokio::spawn(Set::new(Arc::clone(&self.context)).run(receiver));
        self.sets.insert(key, (sender, task));
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a snapshot is of one instant with.
fn key(snapshot: &LunSnapshot) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    match &snapshot.spec.group {
        Some(group) => format!("{}/{}", text(&snapshot.metadata.namespace), group.name),
        None => text(&snapshot.metadata.uid),
    }
}

/// Where its bytes may be: in the pool that its status names, or in any, where the Lun that it is of is not known any
/// more.
fn pools(snapshot: &LunSnapshot, view: &View) -> Vec<Arc<LunPool>> {
    match snapshot.status.as_ref().and_then(|status| status.pool.as_ref()) {
        Some(name) => view.pools.get(name).cloned().into_iter().collect(),
        None => view.pools.values().cloned().collect(),
    }
}
