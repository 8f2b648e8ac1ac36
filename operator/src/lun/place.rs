//! Which node serves a Lun: a pure decision over what is known of the nodes.
//!
//! The same views give the same answer, in whatever order they come. A Lun that has a node is never asked
//! about again: nothing here moves one. When no node can take it, every node's reason is said.

use std::fmt;

use lunette_api::conditions::reasons;
use lunette_api::quantity::SizeError;
use lunette_api::{Lun, LunPool, NodePool, PREFERRED_NODE_ANNOTATION};
use thiserror::Error;

use super::origin::{NoOrigin, Origin};

/// One node, as far as a placement in one pool cares.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// The node's name.
    pub name: String,
    /// Why its agent cannot be relied on now; `None` when it can.
    pub trouble: Option<Trouble>,
    /// What it says of the pool.
    pub pool: Option<NodePool>,
    /// Luns that it serves, of every pool.
    pub luns: usize,
    /// Bytes promised to the Luns that it serves from this pool.
    pub promised: u64,
}

/// Why an agent cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It has stopped renewing its Lease, or never had one.
    Silent,
    /// It says that it is not ready: its own words.
    NotReady(String),
}

/// Why a node cannot take a Lun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another node is asked for by name.
    NotPinned,
    /// What the Lun is to be made from is on that node.
    NotSource(String),
    /// The image that the Lun is to be made from is not there.
    NoImage(String),
    /// The image has more bytes than the Lun is to have.
    LargeImage(String, u64),
    /// The pool's list of nodes leaves it out.
    NotListed,
    /// Its agent cannot be relied on.
    Trouble(Trouble),
    /// The agent says nothing of the pool.
    NoPool,
    /// The agent cannot serve the pool: its own words.
    PoolNotReady(String),
    /// A volume of that size cannot exist there: bytes wanted, bytes possible.
    TooLarge(u64, u64),
    /// Nothing is free.
    Full,
    /// The over-commit limit would be passed: bytes promised, wanted, allowed.
    Overcommitted(u64, u64, u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPinned => f.write_str("spec.nodeName asks for another"),
            Self::NotSource(node) => write!(f, "what the Lun is made from is on node {node}"),
            Self::NoImage(image) => write!(f, "there is no image {image} in the folder import of its pool"),
            Self::LargeImage(image, bytes) => {
                write!(f, "its image {image} has {bytes} bytes: ask for at least as many")
            }
            Self::NotListed => f.write_str("the pool's spec.nodes leaves it out"),
            Self::Trouble(Trouble::Silent) => f.write_str("its agent gives no sign of life"),
            Self::Trouble(Trouble::NotReady(why)) => write!(f, "it is not ready: {why}"),
            Self::NoPool => f.write_str("its agent says nothing of the pool"),
            Self::PoolNotReady(why) => write!(f, "it cannot serve the pool: {why}"),
            Self::TooLarge(want, most) => write!(f, "{want} bytes are more than its largest volume of {most}"),
            Self::Full => f.write_str("its pool has no space left"),
            Self::Overcommitted(promised, want, limit) => {
                write!(
                    f,
                    "{promised} bytes promised and {want} wanted would pass the pool's overcommit limit of {limit}"
                )
            }
        }
    }
}

/// Why a Lun has no node.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoPlace {
    /// The pool does not exist.
    #[error("pool {0} does not exist: create it, or see `kubectl get lunpools`")]
    PoolNotFound(String),
    /// The pool cannot be read.
    #[error("pool {0} cannot be read: {1}")]
    PoolUnreadable(String, String),
    /// The pool is for others.
    #[error("pool {pool} is not for namespace {namespace}: an admin lists it in the pool's spec.namespaces")]
    PoolNotAllowed {
        /// The pool.
        pool: String,
        /// The Lun's namespace.
        namespace: String,
    },
    /// The pool is on its way out.
    #[error("pool {0} is being deleted")]
    PoolDeleting(String),
    /// The size is none.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// What it is to be made from is of no use.
    #[error(transparent)]
    Source(#[from] NoOrigin),
    /// There are no nodes.
    #[error("no node has joined: is the DaemonSet lunette-node running? (kubectl get lunnodes)")]
    NoNodes,
    /// Every node has its reason.
    #[error("no node can take it: {}", list(.0))]
    AllRefuse(Vec<(String, Refusal)>),
}

/// So many nodes are named in a message; a condition's message is bounded, and so is a reader's patience.
const NAMED: usize = 10;

fn list(refusals: &[(String, Refusal)]) -> String {
    let mut text: Vec<String> = refusals.iter().take(NAMED).map(|(node, why)| format!("{node}: {why}")).collect();
    if refusals.len() > NAMED {
        text.push(format!("and {} more", refusals.len() - NAMED));
    }
    text.join("; ")
}

impl NoPlace {
    /// The reason in the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PoolNotFound(_) => reasons::POOL_NOT_FOUND,
            Self::PoolNotAllowed { .. } => reasons::POOL_NOT_ALLOWED,
            Self::PoolDeleting(_) | Self::PoolUnreadable(..) => reasons::POOL_UNAVAILABLE,
            Self::Size(_) => reasons::INVALID_SPEC,
            Self::Source(why) => why.reason(),
            Self::AllRefuse(all) if all.iter().any(|(_, why)| matches!(why, Refusal::NoImage(_))) => {
                reasons::SOURCE_NOT_FOUND
            }
            Self::NoNodes | Self::AllRefuse(_) => reasons::NO_NODE,
        }
    }
}

/// Chooses the node of a Lun that has none.
///
/// Of the nodes that can take it, the one where it is wanted wins; then the one whose pool is promised least
/// relative to its capacity; then the one that serves fewest Luns; then the first by name.
///
/// # Errors
/// When no node can take it.
pub fn place(lun: &Lun, pool: &LunPool, origin: Option<&Origin>, nodes: &[NodeView]) -> Result<String, NoPlace> {
    let bytes = lun.spec.size.bytes()?;
    admits(lun, pool)?;
    origin.map_or(Ok(()), |origin| origin.fits(lun, bytes))?;
    let mut refusals = Vec::new();
    let mut fit = Vec::new();
    for node in nodes {
        match elsewhere(origin, node).or_else(|| refusal(lun, bytes, pool, node)) {
            Some(why) => refusals.push((node.name.clone(), why)),
            None => fit.push(node),
        }
    }
    let wanted = lun.metadata.annotations.as_ref().and_then(|a| a.get(PREFERRED_NODE_ANNOTATION));
    let rank = |node: &&NodeView| (wanted != Some(&node.name), load(node, bytes), node.luns, node.name.clone());
    match fit.into_iter().min_by_key(rank) {
        Some(node) => Ok(node.name.clone()),
        None => Err(refused(lun, refusals)),
    }
}

/// Whether the pool is for this Lun at all.
fn admits(lun: &Lun, pool: &LunPool) -> Result<(), NoPlace> {
    let name = || pool.metadata.name.clone().unwrap_or_default();
    let namespace = lun.metadata.namespace.as_deref().unwrap_or_default();
    if pool.metadata.deletion_timestamp.is_some() {
        return Err(NoPlace::PoolDeleting(name()));
    }
    if !pool.spec.namespaces.is_empty() && !pool.spec.namespaces.iter().any(|n| n == namespace) {
        return Err(NoPlace::PoolNotAllowed { pool: name(), namespace: namespace.to_owned() });
    }
    Ok(())
}

/// A copy shares bytes with what it is of, so it is on the same node; every node can reach it.
fn elsewhere(origin: Option<&Origin>, node: &NodeView) -> Option<Refusal> {
    origin.filter(|origin| origin.node != node.name).map(|origin| Refusal::NotSource(origin.node.clone()))
}

/// A pinned Lun's reader wants to know about that node only.
fn refused(lun: &Lun, mut refusals: Vec<(String, Refusal)>) -> NoPlace {
    if refusals.is_empty() {
        return NoPlace::NoNodes;
    }
    if let Some(pin) = &lun.spec.node_name
        && refusals.iter().any(|(node, _)| node == pin)
    {
        refusals.retain(|(node, _)| node == pin);
    }
    refusals.sort_by(|a, b| a.0.cmp(&b.0));
    NoPlace::AllRefuse(refusals)
}

fn refusal(lun: &Lun, bytes: u64, pool: &LunPool, node: &NodeView) -> Option<Refusal> {
    if lun.spec.node_name.as_ref().is_some_and(|pin| *pin != node.name) {
        return Some(Refusal::NotPinned);
    }
    if !pool.spec.nodes.is_empty() && !pool.spec.nodes.contains(&node.name) {
        return Some(Refusal::NotListed);
    }
    if let Some(trouble) = &node.trouble {
        return Some(Refusal::Trouble(trouble.clone()));
    }
    match &node.pool {
        None => Some(Refusal::NoPool),
        Some(there) if !there.ready => Some(Refusal::PoolNotReady(there.message.clone())),
        Some(there) => no_image(lun, bytes, there).or_else(|| no_room(bytes, pool, there, node.promised)),
    }
}

/// Whether the image is missing that the Lun is to be made from, or does not fit.
fn no_image(lun: &Lun, bytes: u64, there: &NodePool) -> Option<Refusal> {
    let image = lun.spec.source.as_ref()?.image.as_ref()?;
    match there.images.get(image) {
        None => Some(Refusal::NoImage(image.clone())),
        Some(size) => (*size > bytes).then(|| Refusal::LargeImage(image.clone(), *size)),
    }
}

fn no_room(bytes: u64, pool: &LunPool, there: &NodePool, promised: u64) -> Option<Refusal> {
    if bytes > there.max_volume {
        return Some(Refusal::TooLarge(bytes, there.max_volume));
    }
    if there.available == 0 {
        return Some(Refusal::Full);
    }
    let percent = pool.spec.overcommit_percent?;
    let limit = u128::from(there.capacity) * u128::from(percent) / 100;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    (promised.saturating_add(bytes) > limit).then_some(Refusal::Overcommitted(promised, bytes, limit))
}

/// Promised bytes, this Lun's included, per 1024 bytes of capacity: whole numbers compare without surprises.
fn load(node: &NodeView, bytes: u64) -> u128 {
    let capacity = node.pool.as_ref().map_or(1, |p| p.capacity.max(1));
    (u128::from(node.promised) + u128::from(bytes)) * 1024 / u128::from(capacity)
}

#[cfg(test)]
mod tests;
