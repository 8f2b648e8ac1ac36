//! What makes which object be looked at again.
//!
//! Each kind is watched once; every event says here which Luns and pools it may concern. Looking once too
//! often costs nothing but a comparison.

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use lunette_api::{Lun, LunNode, LunPool};

use crate::context::{Guarded, Stores};

/// Where objects wait to be looked at.
pub struct Queue {
    stores: Stores,
    luns: UnboundedSender<ObjectRef<Guarded<Lun>>>,
    pools: UnboundedSender<ObjectRef<Guarded<LunPool>>>,
}

/// The other ends of the queue.
pub struct Waiting {
    /// Luns to look at.
    pub luns: UnboundedReceiver<ObjectRef<Guarded<Lun>>>,
    /// Pools to look at.
    pub pools: UnboundedReceiver<ObjectRef<Guarded<LunPool>>>,
}

/// A queue and its other ends.
pub fn queue(stores: Stores) -> (Queue, Waiting) {
    let ((luns, luns_waiting), (pools, pools_waiting)) = (unbounded(), unbounded());
    (Queue { stores, luns, pools }, Waiting { luns: luns_waiting, pools: pools_waiting })
}

impl Queue {
    /// A Lun changed: itself, and its pool, which counts it. One that is gone has made room for others.
    pub fn lun(&self, event: &Event<Guarded<Lun>>) {
        match event {
            Event::Apply(lun) | Event::InitApply(lun) => {
                self.push_lun(lun);
                self.pool_of(lun);
            }
            Event::Delete(lun) => {
                self.pool_of(lun);
                self.luns_where(|other| node_of(other).is_none());
            }
            Event::Init => {}
            Event::InitDone => self.every_pool(),
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
