//! The controller: leads or stands by; while it leads, it watches and reconciles until it is told to stop.
//!
//! Everything that writes runs inside one future. When leadership is lost that future is dropped, and the
//! process ends: nothing is written after that.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::{BoxFuture, join3};
use futures::{FutureExt, StreamExt, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{reflector, store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_stream};
use kube::{Api, Client, Resource, ResourceExt};
use lunette_api::Lun;
use lunette_api::conditions::states;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::args::ControllerArgs;
use crate::context::{Context, Guarded, Stores, label};
use crate::error::{Error, ErrorKind};
use crate::http::{self, Readiness};
use crate::leader::Election;
use crate::metrics::Metrics;
use crate::triggers::{Queue, Waiting, queue};
use crate::{lun, pool, signals, snapshot};

/// So long may reconciles take to end once the process is told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// So many Luns are reconciled at a time.
const CONCURRENCY: u16 = 16;
/// Changes of a pool, or of its Luns, within this time are taken together.
const POOL_DEBOUNCE: Duration = Duration::from_millis(500);
/// How often agents are checked for signs of life.
const TICK: Duration = Duration::from_secs(1);

/// Runs the controller until SIGTERM, SIGINT or the loss of leadership.
///
/// # Errors
/// When there is no cluster to talk to, the port cannot be had, or leadership was lost.
pub fn main(args: ControllerArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: ControllerArgs) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no cluster to talk to: set KUBECONFIG, or run in a pod with a ServiceAccount")?;
    let (metrics, readiness) = (Arc::new(Metrics::default()), Arc::new(Readiness::default()));
    http::serve(args.listen, metrics.clone(), readiness.clone()).await?;
    let stop = signals::stop_on_signal()?;
    let identity = args.identity.clone().unwrap_or_else(own_identity);
    let leases = Api::namespaced(client.clone(), &args.namespace);
    let mut election = Election::new(leases, identity.clone(), Duration::from_secs(u64::from(args.lease_seconds)));
    tokio::select! {
        () = election.acquire(|reached| readiness.set(reached)) => {}
        () = stop.cancelled() => return Ok(()),
    }
    metrics.leads(true);
    let ended = tokio::select! {
        lost = election.hold() => Err(anyhow::Error::new(lost)),
        () = lead(client, &args, &identity, metrics.clone(), &stop) => Ok(()),
    };
    metrics.leads(false);
    if ended.is_ok() {
        election.release().await;
    }
    ended.context("no longer leading: stopping, so that nothing is written twice")
}

fn own_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}_{:x}", host.trim(), std::process::id(), Timestamp::now().as_nanosecond())
}

/// Watches and reconciles until it is told to stop.
async fn lead(client: Client, args: &ControllerArgs, identity: &str, metrics: Arc<Metrics>, stop: &CancellationToken) {
    let ((luns, luns_writer), (pools, pools_writer), (nodes, nodes_writer)) = (store(), store(), store());
    let (snapshots, snapshots_writer) = store();
    let stores = Stores { luns, pools, nodes, snapshots };
    let context = Arc::new(Context::new(client.clone(), args, identity, metrics, stores.clone()));
    let (queue, waiting) = queue(stores.clone());
    let lease_api = Api::<Lease>::namespaced(client.clone(), &args.namespace);
    let leases_seen = tokio::sync::Notify::new();
    let all = Api::all(client.clone());
    let all_snapshots = Api::all(client.clone());
    tokio::select! {
        () = watch("Lun", reflector(luns_writer, stream(all)), &context, |e| queue.lun(e)) => {}
        () = watch("LunPool", reflector(pools_writer, stream(Api::all(client.clone()))), &context, |e| queue.pool(e)) => {}
        () = watch("LunNode", reflector(nodes_writer, stream(Api::all(client.clone()))), &context, |e| queue.node(e)) => {}
        () = watch("LunSnapshot", reflector(snapshots_writer, stream(all_snapshots)), &context, |e| queue.snapshot(e)) => {}
        () = watch("Lease", stream(lease_api), &context, |e| lease(e, &context, &queue, &leases_seen)) => {}
        () = tick(&context, &queue) => {}
        () = async {
            futures::join!(stores.seen(), leases_seen.notified());
            reconcile(&context, waiting, stop).await;
        } => {}
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("reconciles did not end in {GRACE:?}");
        }
    }
}

/// A watch that is taken up again, with growing pauses, whatever breaks it.
fn stream<K>(api: Api<K>) -> impl futures::Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watch_stream(api, watcher::Config::default()).default_backoff();
    // Half of an object's bytes, and nothing here reads them.
    events.modify(|object| object.managed_fields_mut().clear())
}

async fn watch<K>(
    kind: &'static str,
    events: impl futures::Stream<Item = watcher::Result<Event<K>>>,
    context: &Context,
    each: impl Fn(&Event<K>),
) {
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => each(&event),
            Err(error) => {
                context.metrics.watch_broke(kind);
                tracing::warn!(kind, %error, "the watch broke; taking it up again");
            }
        }
    }
}

/// Takes in an agent's Lease. Only a node that comes to life, or goes for good, concerns anyone at once.
fn lease(event: &Event<Lease>, context: &Context, queue: &Queue, seen: &tokio::sync::Notify) {
    let now = Instant::now();
    match event {
        Event::Apply(lease) | Event::InitApply(lease) => {
            let (before, node) = context.beats(|beats| {
                let wall = Timestamp::now();
                let before = beats.fresh(now, wall);
                (before, beats.observe(lease, now))
            });
            if let Some(node) = node.filter(|node| !before.contains(node)) {
                queue.node_named(&node);
            }
        }
        Event::Delete(lease) => {
            if let Some(node) = context.beats(|beats| beats.forget(lease)) {
                queue.node_named(&node);
            }
        }
        Event::Init => {}
        Event::InitDone => seen.notify_one(),
    }
}

/// Notices agents that fall silent: nothing happens when nothing happens. And counts the Luns.
async fn tick(context: &Context, queue: &Queue) {
    let mut clock = tokio::time::interval(TICK);
    let mut fresh: Vec<String> = Vec::new();
    loop {
        clock.tick().await;
        let now = context.beats(|beats| beats.fresh(Instant::now(), Timestamp::now()));
        for changed in fresh.iter().filter(|n| !now.contains(n)).chain(now.iter().filter(|n| !fresh.contains(n))) {
            queue.node_named(changed);
        }
        fresh = now;
        count_luns(context);
    }
}

fn count_luns(context: &Context) {
    let luns = context.stores.luns.state();
    let in_state = |lun: &Guarded<Lun>, wanted| {
        lun.0.as_ref().is_ok_and(|lun| lun.status.as_ref().and_then(|s| s.state.as_deref()) == Some(wanted))
    };
    for state in states::ALL {
        context.metrics.luns_in(state, luns.iter().filter(|lun| in_state(lun, state)).count());
    }
}

async fn reconcile(context: &Arc<Context>, waiting: Waiting, stop: &CancellationToken) {
    let luns = applier(
        |lun, context: Arc<Context>| {
            let work = lun::reconcile::reconcile(Arc::clone(&lun), Arc::clone(&context));
            once("Lun", lun, context, work.boxed())
        },
        |lun, error, context: Arc<Context>| again("Lun", &*lun, error, &context),
        Arc::clone(context),
        context.stores.luns.clone(),
        waiting.luns.map(Ok::<_, std::convert::Infallible>).take_until(stop.cancelled()),
        Config::default().concurrency(CONCURRENCY),
    );
    let pools = applier(
        |pool, context: Arc<Context>| {
            let work = pool::reconcile::reconcile(Arc::clone(&pool), Arc::clone(&context));
            once("LunPool", pool, context, work.boxed())
        },
        |pool, error, context: Arc<Context>| again("LunPool", &*pool, error, &context),
        Arc::clone(context),
        context.stores.pools.clone(),
        waiting.pools.map(Ok::<_, std::convert::Infallible>).take_until(stop.cancelled()),
        Config::default().debounce(POOL_DEBOUNCE),
    );
    let snapshots = applier(
        |snapshot, context: Arc<Context>| {
            let work = snapshot::reconcile::reconcile(Arc::clone(&snapshot), Arc::clone(&context));
            once("LunSnapshot", snapshot, context, work.boxed())
        },
        |snapshot, error, context: Arc<Context>| again("LunSnapshot", &*snapshot, error, &context),
        Arc::clone(context),
        context.stores.snapshots.clone(),
        waiting.snapshots.map(Ok::<_, std::convert::Infallible>).take_until(stop.cancelled()),
        Config::default().concurrency(CONCURRENCY),
    );
    join3(
        luns.for_each(|_| std::future::ready(())),
        pools.for_each(|_| std::future::ready(())),
        snapshots.for_each(|_| std::future::ready(())),
    )
    .await;
}

/// One reconcile, counted; an object that is gone meanwhile needs none.
fn once<K: Resource<DynamicType = ()> + 'static>(
    kind: &'static str,
    object: Arc<DeserializeGuard<K>>,
    context: Arc<Context>,
    work: BoxFuture<'static, Result<Action, Error>>,
) -> BoxFuture<'static, Result<Action, Error>>
where
    DeserializeGuard<K>: Send + Sync,
{
    async move {
        let started = Instant::now();
        let result = work.await;
        context.metrics.reconciled(kind, started.elapsed());
        match result {
            Err(error) if !error.is_gone() => Err(error),
            other => {
                context.backoff.succeeded(&label(kind, &*object));
                Ok(other.unwrap_or_else(|_| Action::await_change()))
            }
        }
    }
    .boxed()
}

/// What to do about a failed reconcile.
fn again<K>(kind: &'static str, object: &K, error: &Error, context: &Context) -> Action
where
    K: ResourceExt,
{
    let (object, failure) = (label(kind, object), error.kind());
    context.metrics.failed(kind, failure);
    let wait = context.backoff.failed(&object, failure);
    if failure == ErrorKind::Conflict {
        tracing::debug!(object, %error, "trying again");
    } else {
        tracing::warn!(object, %error, retry_in = ?wait, "reconcile failed");
    }
    wait.map_or_else(Action::await_change, Action::requeue)
}
