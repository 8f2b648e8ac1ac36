//! What is true of the node as a whole.

use std::collections::BTreeMap;
use std::fmt::Error;

use lunette_api::NodePool;
use lunette_lio::Preflight;
use lunette_lio::preflight::State;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::write::{Labels, counters, gauge, gauges};
use crate::check;
use crate::status::{Board, StepEnd};

/// The node at one moment.
#[derive(Debug)]
pub struct Figures {
    pub kernel: Kernel,
    pub pools: BTreeMap<String, NodePool>,
    pub luns: Vec<(&'static str, u64)>,
    pub steps: Vec<(&'static str, u64)>,
}

/// What the kernel has.
#[derive(Debug, Default)]
pub struct Kernel {
    ready: bool,
    modules: Vec<(&'static str, bool)>,
}

impl Kernel {
    /// Looks.
    pub fn look(preflight: &Preflight) -> Self {
        let loaded = |module| preflight.module(module).state == State::Good;
        Self {
            ready: check::blocking(&preflight.check()).is_empty(),
            modules: check::MODULES.into_iter().map(|module| (module, loaded(module))).collect(),
        }
    }
}

/// How the steps of configfs ended.
pub fn steps(board: &Board) -> Vec<(&'static str, u64)> {
    let ends = [("done", StepEnd::Done), ("failed", StepEnd::Failed), ("stuck", StepEnd::Stuck)];
    ends.into_iter().map(|(name, end)| (name, board.steps().count(end))).collect()
}

impl Figures {
    fn each_pool(&self, value: fn(&NodePool) -> u64) -> impl Iterator<Item = (Labels<'_, 1>, u64)> {
        self.pools.iter().map(move |(name, pool)| ([("pool", name.as_str())], value(pool)))
    }

    fn encode_pools(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        gauges(
            to,
            ("node_pool_ready", "1 while this node can serve the pool"),
            self.each_pool(|pool| u64::from(pool.ready)),
        )?;
        gauges(to, ("node_pool_capacity_bytes", "Bytes of the pool's storage"), self.each_pool(|pool| pool.capacity))?;
        gauges(
            to,
            ("node_pool_available_bytes", "Bytes free in the pool's storage, in steps of a 128th of it"),
            self.each_pool(|pool| pool.available),
        )
    }

    fn encode_kernel(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let ready = u64::from(self.kernel.ready);
        gauge(to, ("node_kernel_ready", "1 while the kernel has all that serving needs"), ready)?;
        let modules = self.kernel.modules.iter();
        gauges(
            to,
            ("node_kernel_module_loaded", "1 for a module that is loaded or built in"),
            modules.map(|(module, loaded)| ([("module", *module)], u64::from(*loaded))),
        )
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let to = &mut encoder;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        to.encode_descriptor("node", "The agent", None, MetricType::Info)?.encode_info(&version)?;
        let luns = self.luns.iter().map(|(state, count)| ([("state", *state)], *count));
        gauges(to, ("node_luns", "LUNs of this node, by state"), luns)?;
        self.encode_kernel(to)?;
        self.encode_pools(to)?;
        let steps = self.steps.iter().map(|(end, count)| ([("result", *end)], *count));
        counters(to, ("node_configfs_steps", "Steps of configfs, by how they ended"), steps)
    }
}
