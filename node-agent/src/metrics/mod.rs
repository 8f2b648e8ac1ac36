//! What the agent does, as numbers: `/metrics` in the OpenMetrics text format, `/healthz` and `/readyz`.
//!
//! Everything is looked up when it is asked for; an agent that nobody asks does nothing for it. Labels are
//! bounded: a LUN's namespace and name, a pool's name, and short lists. Nothing secret is shown.

mod http;
mod lun;
mod node;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use lunette_api::{LunPool, NodePool};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_blocking;

pub use http::listen;
#[cfg(test)]
pub use http::serve;

use crate::node::Context;
use crate::source::{Pools, View};

/// Gathers what is asked for.
pub struct Exporter {
    context: Arc<Context>,
    views: watch::Receiver<View>,
    /// Questions to pools, one at a time.
    pools: Mutex<Pools>,
}

impl Exporter {
    /// Of an agent that follows these views.
    pub fn new(context: Arc<Context>, views: watch::Receiver<View>) -> Self {
        Self { context, views, pools: Mutex::default() }
    }

    /// What it looks at.
    #[cfg(test)]
    pub fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    /// Whether the agent knows what is wanted of its node, all of it.
    fn is_ready(&self) -> bool {
        self.views.borrow().complete
    }

    /// All metrics as text. A pool whose storage does not answer is waited for a few seconds.
    pub async fn render(&self) -> String {
        let node = node::Figures {
            kernel: self.kernel().await,
            pools: self.pools().await,
            luns: lun::states(&self.context.board),
            steps: node::steps(&self.context.board),
        };
        let mut registry = Registry::with_prefix("lunette");
        registry.register_collector(Box::new(node));
        registry.register_collector(Box::new(lun::Figures::of(&self.context.board)));
        let mut text = String::new();
        if encode(&mut text, &registry).is_err() {
            tracing::error!("cannot format the metrics");
        }
        text
    }

    async fn kernel(&self) -> node::Kernel {
        let context = Arc::clone(&self.context);
        spawn_blocking(move || node::Kernel::look(&context.preflight)).await.unwrap_or_default()
    }

    async fn pools(&self) -> BTreeMap<String, NodePool> {
        let all: Vec<Arc<LunPool>> = self.views.borrow().pools.values().cloned().collect();
        let mine = |pool: &&LunPool| pool.spec.nodes.is_empty() || pool.spec.nodes.contains(&self.context.node);
        self.pools.lock().await.look(all.iter().map(Arc::as_ref).filter(mine)).await
    }
}

#[cfg(test)]
mod tests;
