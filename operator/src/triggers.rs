//! What makes which object be looked at again.
//!
//! Each kind is watched once; every event says here which Luns and pools it may concern. Looking once too
//! often costs nothing but a comparison.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use lunette_api::{Lun, LunNode, LunPool, LunSnapshot};

use crate::context::{Guarded, Stores};
use crate::lun::origin::waits_for;

/// Where objects wait to be looked at.
pub struct Queue {
    stores: Stores,
    luns: UnboundedSender<ObjectRef<Guarded<Lun>>>,
    pools: UnboundedSender<ObjectRef<Guarded<LunPool>>>,
    snapshots: UnboundedSender<ObjectRef<Guarded<LunSnapshot>>>,
}

/// The other ends of the queue.
pub struct Waiting {
    /// Luns to look at.
    pub luns: UnboundedReceiver<ObjectRef<Guarded<Lun>>>,
    /// Pools to look at.
    pub pools: UnboundedReceiver<ObjectRef<Guarded<LunPool>>>,
    /// Snapshots to look at.
    pub snapshots: UnboundedReceiver<ObjectRef<Guarded<LunSnapshot>>>,
}

/// A queue and its other ends.
pub fn queue(stores: Stores) -> (Queue, Waiting) {
    let ((luns, luns_waiting), (pools, pools_waiting)) = (unbounded(), unbounded());
    let (snapshots, snapshots_waiting) = unbounded();
    let waiting = Waiting { luns: luns_waiting, pools: pools_waiting, snapshots: snapshots_waiting };
    (Queue { stores, luns, pools, snapshots }, waiting)
}

impl Queue {
    /// A Lun changed: itself, and its pool, which counts it. One that is gone has made room for others.
    pub fn lun(&self, event: &Event<Guarded<Lun>>) {
        match event {
            Event::Apply(lun) | Event::InitApply(lun) => {
                self.push_lun(lun);
                self.pool_of(lun);
                self.waiting_for(lun.namespace().as_deref(), &lun.name_any());
            }
            Event::Delete(lun) => {
                self.pool_of(lun);
                self.luns_where(|other| node_of(other).is_none());
            }
            Event::Init => {}
            Event::InitDone => self.every_pool(),
        }
    }

    /// A snapshot changed: itself, the others of its group, and the Luns that are to be made from it.
    pub fn snapshot(&self, event: &Event<Guarded<LunSnapshot>>) {
        match event {
            Event::Apply(snapshot) | Event::InitApply(snapshot) => {
                let _ = self.snapshots.unbounded_send(ObjectRef::from_obj(snapshot));
                let (namespace, name) = (snapshot.namespace(), snapshot.name_any());
                if let Some(group) = snapshot.0.as_ref().ok().and_then(|snapshot| snapshot.spec.group.as_ref()) {
                    self.snapshots_where(|s| s.spec.group.as_ref() == Some(group) && s.namespace() == namespace);
                }
                self.luns_where(|lun| node_of(lun).is_none() && waits_for(lun, namespace.as_deref(), &name));
            }
            // One that is gone may have kept a pool from going.
            Event::Delete(_) | Event::InitDone => self.every_pool(),
            Event::Init => {}
        }
    }

    /// What was to be made of a Lun: snapshots without a node, and Luns.
    fn waiting_for(&self, namespace: Option<&str>, name: &str) {
        self.snapshots_where(|snapshot| {
            let placed = snapshot.status.as_ref().is_some_and(|s| s.node.is_some());
            !placed && snapshot.namespace().as_deref() == namespace && snapshot.spec.lun == name
        });
        self.luns_where(|lun| node_of(lun).is_none() && waits_for(lun, namespace, name));
    }

    fn snapshots_where(&self, wanted: impl Fn(&LunSnapshot) -> bool) {
        for snapshot in self.stores.snapshots.state() {
            if snapshot.0.as_ref().is_ok_and(&wanted) {
                let _ = self.snapshots.unbounded_send(ObjectRef::from_obj(&*snapshot));
            }
        }
    }

    /// A pool changed: itself, and the Luns that wait for it.
    pub fn pool(&self, event: &Event<Guarded<LunPool>>) {
        if let Event::Apply(pool) | Event::InitApply(pool) | Event::Delete(pool) = event {
            let name = pool.name_any();
            let _ = self.pools.unbounded_send(ObjectRef::from_obj(pool));
            self.luns_where(|lun| node_of(lun).is_none() && lun.spec.pool == name);
        }
    }

    /// A node changed: every pool, which may be served there now, the Luns that wait, and those that it has.
    pub fn node(&self, event: &Event<Guarded<LunNode>>) {
        match event {
            Event::Apply(node) | Event::Delete(node) => self.node_named(&node.name_any()),
            Event::InitDone => self.everything(),
            Event::Init | Event::InitApply(_) => {}
        }
    }

    /// A node came to life or fell silent, or changed.
    pub fn node_named(&self, node: &str) {
        self.every_pool();
        self.luns_where(|lun| node_of(lun).is_none_or(|n| n == node));
        self.snapshots_where(|s| s.metadata.deletion_timestamp.is_some());
    }

    fn everything(&self) {
        self.every_pool();
        self.luns_where(|_| true);
    }

    fn every_pool(&self) {
        for pool in self.stores.pools.state() {
            let _ = self.pools.unbounded_send(ObjectRef::from_obj(&*pool));
        }
    }

    fn pool_of(&self, lun: &Guarded<Lun>) {
        match &lun.0 {
            Ok(lun) => drop(self.pools.unbounded_send(ObjectRef::new(&lun.spec.pool))),
            Err(_) => self.every_pool(),
        }
    }

    fn luns_where(&self, wanted: impl Fn(&Lun) -> bool) {
        for lun in self.stores.luns.state() {
            if lun.0.as_ref().is_ok_and(&wanted) {
                self.push_lun(&lun);
            }
        }
    }

    // A closed queue means that the process is ending.
    fn push_lun(&self, lun: &Guarded<Lun>) {
        let _ = self.luns.unbounded_send(ObjectRef::from_obj(lun));
    }
}

fn node_of(lun: &Lun) -> Option<&str> {
    lun.status.as_ref()?.node.as_deref()
}
