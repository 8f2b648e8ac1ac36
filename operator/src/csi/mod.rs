//! The controller side of the CSI driver: Identity, Controller and GroupController, thin over the Lun API.
//!
//! Each call is parsed into what it means ([`parse`]), done by one function of its own file, and wrapped
//! again. Everything that lasts is in the API server: any call may be cut off anywhere and made again. One
//! call at a time works on a volume ([`busy`]); a second is told ABORTED, and the first always ends, since
//! every wait has a deadline ([`deadline`]). Which gRPC code a failure gets is said in one place ([`failure`]).

mod capacity;
mod chap;
mod class;
mod cluster;
mod controller;
mod create;
mod create_snapshot;
mod delete;
mod delete_snapshot;
mod expand;
mod group;
mod health;
mod initiator;
mod kubernetes;
mod list;
mod list_snapshots;
mod modify;
mod name;
mod parse;
mod progress;
mod publish;
pub mod reference;
mod server;
mod snapshot;
mod source;
mod unpublish;
mod validate;
mod volume;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use lunette_api::Lun;
use lunette_csi_service::{busy, deadline, failure};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::args::CsiArgs;
use crate::error::{Error, ErrorKind};
use busy::Busy;
use cluster::Cluster;
use kubernetes::Kubernetes;

/// What every call works with.
pub struct Driver<C> {
    cluster: C,
    busy: Busy,
    busy_snapshots: Busy,
    /// The namespace of the Luns that CreateVolume makes.
    namespace: String,
}

/// So often is a Lun read again that others changed meanwhile. They write its status, seldom and not for long.
const ATTEMPTS: usize = 10;

impl<C: Cluster> Driver<C> {
    fn new(cluster: C, namespace: &str) -> Self {
        Self { cluster, busy: Busy::default(), busy_snapshots: Busy::default(), namespace: namespace.to_owned() }
    }

    /// Changes a Lun as is decided on it as it is stored; `None`: it needs no change.
    async fn change<E: From<Error>>(
        &self,
        mut lun: Lun,
        decide: impl Fn(&Lun) -> Result<Option<Value>, E> + Send,
    ) -> Result<Lun, E> {
        for attempt in 1.. {
            let Some(patch) = decide(&lun)? else { break };
            match self.cluster.change(&lun, patch).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {
                    let now = self.cluster.lun(&volume::id(&lun)).await?;
                    lun = now.filter(|now| now.metadata.uid == lun.metadata.uid).ok_or(error)?;
                }
                outcome => return Ok(outcome?),
            }
        }
        Ok(lun)
    }
}

/// Serves CSI until SIGTERM or SIGINT.
///
/// # Errors
/// When there is no cluster to talk to, or the socket cannot be had.
pub fn main(args: &CsiArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: &CsiArgs) -> anyhow::Result<()> {
    let client = Client::try_default()
        .await
        .context("no cluster to talk to: set KUBECONFIG, or run in a pod with a ServiceAccount")?;
    let stop: CancellationToken = crate::signals::stop_on_signal()?;
    let cluster = Kubernetes::watching(client);
    server::serve(&args.endpoint, Arc::new(Driver::new(cluster, &args.namespace)), &stop).await
}
