//! One pool, from what is stored to what should be.
//!
//! A pool goes only when the API server itself, and not just the watch, says that no Lun names it and no snapshot is in it. A Lun
//! that comes later finds the pool marked as deleted, and is not placed.

use std::sync::Arc;

use kube::api::{ListParams, ObjectMeta};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use lunette_api::conditions::{self, RELEASED, reasons};
use lunette_api::{Lun, LunPool, LunSnapshot, POOL_FINALIZER};

use crate::context::{Context, Guarded};
use crate::error::Error;
use crate::events::Weight;
use crate::finalizer;
use crate::pool::status::{self, Users};

/// Brings one pool to where it should be.
///
/// # Errors
/// When it cannot be read, or the API server refuses.
pub async fn reconcile(pool: Arc<Guarded<LunPool>>, context: Arc<Context>) -> Result<Action, Error> {
    let pool = match &pool.0 {
        Ok(pool) => pool,
        Err(invalid) => return Err(context.malformed("LunPool", &*pool, invalid).await),
    };
    let api = Api::all(context.client.clone());
    if pool.metadata.deletion_timestamp.is_some() {
        let_go(&api, pool, &context).await?;
    } else {
        let pool = finalizer::ensure(&api, pool.clone(), POOL_FINALIZER).await?;
        say(&api, &pool, &Users::shown(&pool, &context), &context).await?;
    }
    Ok(Action::await_change())
}

async fn let_go(api: &Api<LunPool>, pool: &LunPool, context: &Context) -> Result<(), Error> {
    if !pool.finalizers().iter().any(|f| f == POOL_FINALIZER) {
        return Ok(());
    }
    let shown = Users::shown(pool, context);
    if !shown.are_none() {
        return say(api, pool, &shown, context).await;
    }
    let stored = Users::stored(pool, context).await?;
    if stored.are_none() {
        return finalizer::remove(api, pool, POOL_FINALIZER).await;
    }
    say(api, pool, &stored, context).await
}

impl Users {
    /// The Luns that name the pool and the snapshots in it, as the watch shows them. One that cannot be read counts for
    /// every pool.
    fn shown(pool: &LunPool, context: &Context) -> Self {
        let name = pool.name_any();
        let names_it = |lun: &Guarded<Lun>| lun.0.as_ref().map_or(true, |lun| lun.spec.pool == name);
        let (luns, snapshots) = (context.stores.luns.state(), context.stores.snapshots.state());
        Self {
            luns: sorted(luns.iter().filter(|lun| names_it(lun)).map(|lun| user(lun.meta()))),
            snapshots: sorted(snapshots.iter().filter(|s| is_in(s, &name)).map(|s| user(s.meta()))),
        }
    }

    /// The same, as the API server says it now.
    async fn stored(pool: &LunPool, context: &Context) -> Result<Self, Error> {
        let name = pool.name_any();
        let luns: Api<Guarded<Lun>> = Api::all(context.client.clone());
        let params = ListParams::default().fields(&format!("spec.pool={name}")).limit(100);
        let luns = luns.list(&params).await.map_err(Error::api(format!("list the Luns of pool {name}")))?;
        let snapshots: Api<Guarded<LunSnapshot>> = Api::all(context.client.clone());
        let snapshots = snapshots.list(&ListParams::default()).await;
        let snapshots = snapshots.map_err(Error::api(format!("list the snapshots in pool {name}")))?;
        Ok(Self {
            luns: sorted(luns.items.iter().map(|lun| user(lun.meta()))),
            snapshots: sorted(snapshots.items.iter().filter(|s| is_in(s, &name)).map(|s| user(s.meta()))),
        })
    }
}

fn is_in(snapshot: &Guarded<LunSnapshot>, pool: &str) -> bool {
    let is = |snapshot: &LunSnapshot| snapshot.status.as_ref().and_then(|s| s.pool.as_deref()) == Some(pool);
    snapshot.0.as_ref().map_or(true, is)
}

fn user(object: &ObjectMeta) -> String {
    let (namespace, name) = (object.namespace.as_deref(), object.name.as_deref());
    format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
}

fn sorted(users: impl Iterator<Item = String>) -> Vec<String> {
    let mut users: Vec<_> = users.collect();
    users.sort();
    users
}

/// Writes what is not there yet, and tells who keeps the pool from going.
async fn say(api: &Api<LunPool>, pool: &LunPool, users: &Users, context: &Context) -> Result<(), Error> {
    let wanted = status::status(pool, &context.nodes(), users);
    if pool.status.as_ref() == Some(&wanted) {
        return Ok(());
    }
    status::apply(api, pool, &wanted).await?;
    let shown = pool.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    if let Some(kept) = conditions::find(&wanted.conditions, RELEASED)
        && conditions::find(shown, RELEASED).is_none()
    {
        let about = pool.object_ref(&());
        context.events.publish(&about, Weight::Warning, reasons::IN_USE, "Delete", &kept.message).await;
    }
    Ok(())
}
