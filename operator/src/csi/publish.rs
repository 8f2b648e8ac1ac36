//! ControllerPublishVolume: a node is let in, with credentials of its own.

use kube::ResourceExt;
use lunette_api::csi::{CONTEXT_UID, PublishContext, VolumeId};
use lunette_api::{Lun, LunNode};
use lunette_proto::csi;
use serde_json::json;
use thiserror::Error;

use super::busy::InFlight;
use super::chap::{Credentials, secret_name};
use super::cluster::{self, Cluster, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError, Use};
use super::volume::CHAP;
use super::{Driver, initiator, progress};
use crate::error::Error;

/// So many initiators a Lun has at most.
const MOST: usize = 64;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The volume.
    pub id: VolumeId,
    /// The node.
    pub node: String,
    /// How it is to be used.
    pub usage: Use,
    /// Whether the node may only read.
    pub read_only: bool,
    /// The UID of the Lun that is meant, where that is known.
    pub uid: Option<String>,
}

/// Why the node is not let in.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// There is no such volume.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// It is another of the same name.
    #[error("Lun {id} is not the one that the volume was made of: that had UID {uid}, and is gone with its data")]
    Another {
        /// The volume.
        id: VolumeId,
        /// The UID of the one that is meant.
        uid: String,
    },
    /// There is no such node.
    #[error("there is no LunNode {0}: does the agent run on that node? (kubectl get lunnodes)")]
    NoNode(String),
    /// The node cannot log in.
    #[error("node {0} has no iSCSI initiator name: install open-iscsi there (/etc/iscsi/initiatorname.iscsi)")]
    NoInitiator(String),
    /// Another node has it.
    #[error("volume {id} is for one node at a time, and attached to {}: detach it there first", .nodes.join(", "))]
    Elsewhere {
        /// The volume.
        id: VolumeId,
        /// Who has it.
        nodes: Vec<String>,
    },
    /// It has it otherwise.
    #[error("volume {id} is attached to node {node} already, and {}", if *.read_only { "read-only" } else { "for writing" })]
    Otherwise {
        /// The volume.
        id: VolumeId,
        /// The node.
        node: String,
        /// How it has it.
        read_only: bool,
    },
    /// No more nodes.
    #[error("volume {0} has {MOST} initiators already: no more can be let in")]
    Full(VolumeId),
    /// It is going.
    #[error("Lun {0} is being deleted")]
    Deleting(VolumeId),
    /// It is let in, and cannot log in yet.
    #[error("volume {id} is not ready for node {node} yet: {why}")]
    NotServed {
        /// The volume.
        id: VolumeId,
        /// The node.
        node: String,
        /// What stands in the way.
        why: String,
    },
    /// No password could be made.
    #[error("the system has no randomness for a password")]
    NoRandomness,
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for PublishError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::NoVolume(_) | Self::Another { .. } | Self::NoNode(_) => Kind::NotFound,
            Self::NoInitiator(_) | Self::Elsewhere { .. } | Self::Full(_) | Self::Deleting(_) => Kind::Precondition,
            Self::Otherwise { .. } => Kind::Exists,
            Self::NotServed { .. } => Kind::Deadline,
            Self::NoRandomness => Kind::Internal,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::ControllerPublishVolumeRequest) -> Result<Self, PublishError> {
        let id = parse::volume_id(&call.volume_id)?;
        let node = parse::required(&call.node_id, "node_id")?.to_owned();
        let capability = call.volume_capability.as_ref().ok_or(ParseError::Missing("volume_capability"))?;
        let usage = Use::read(capability).map_err(ParseError::from)?;
        let id = id.ok_or_else(|| PublishError::NoVolume(call.volume_id.clone()))?;
        let uid = call.volume_context.get(CONTEXT_UID).cloned();
        Ok(Self { id, node, usage, read_only: call.readonly || usage.is_read_only(), uid })
    }
}

/// Lets the node in, and waits until it can log in.
///
/// # Errors
/// Why it cannot.
pub async fn publish<C: Cluster>(
    driver: &Driver<C>,
    request: &Request,
    deadline: Deadline,
) -> Result<PublishContext, PublishError> {
    let Request { id, node, .. } = request;
    let _turn = driver.busy.begin(id)?;
    let lun = driver.cluster.lun(id).await?.ok_or_else(|| PublishError::NoVolume(id.to_string()))?;
    let there = driver.cluster.node(node).await?.ok_or_else(|| PublishError::NoNode(node.clone()))?;
    may_have(&lun, request)?;
    let lun = if initiator::find(&lun, node).is_some() { lun } else { admit(driver, lun, &there, request).await? };
    let generation = lun.metadata.generation.unwrap_or_default();
    let not_served =
        |lun: &Lun| PublishError::NotServed { id: id.clone(), node: node.clone(), why: progress::obstacle(lun) };
    match driver.cluster.wait(&lun, deadline, |lun| progress::is_served(lun, generation)).await {
        Ok(Some(served)) => context(&served, node).ok_or_else(|| not_served(&served)),
        Ok(None) => Err(PublishError::Deleting(id.clone())),
        Err(WaitError::TimedOut(last)) => Err(not_served(&last)),
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}

/// Whether the node may have the Lun as it is asked for.
fn may_have(lun: &Lun, request: &Request) -> Result<(), PublishError> {
    let id = &request.id;
    if let Some(uid) = &request.uid
        && lun.metadata.uid.as_ref() != Some(uid)
    {
        return Err(PublishError::Another { id: id.clone(), uid: uid.clone() });
    }
    if lun.metadata.deletion_timestamp.is_some() {
        return Err(PublishError::Deleting(id.clone()));
    }
    if let Some(entry) = initiator::find(lun, &request.node)
        && entry.read_only != request.read_only
    {
        let (id, node, read_only) = (id.clone(), request.node.clone(), entry.read_only);
        return Err(PublishError::Otherwise { id, node, read_only });
    }
    let others: Vec<String> = initiator::nodes(lun).into_iter().filter(|name| *name != request.node).collect();
    if request.usage.is_of_one_node() && !others.is_empty() {
        return Err(PublishError::Elsewhere { id: id.clone(), nodes: others });
    }
    Ok(())
}

/// Writes the node into the Lun; its Secret is there before.
async fn admit<C: Cluster>(
    driver: &Driver<C>,
    lun: Lun,
    node: &LunNode,
    request: &Request,
) -> Result<Lun, PublishError> {
    let is_local = initiator::is_local(&lun, &request.node);
    if !is_local && initiator::name_of(node).is_none() {
        return Err(PublishError::NoInitiator(request.node.clone()));
    }
    let secret = (has_chap(&lun) && !is_local).then(|| secret_name(&lun, &request.node));
    let entry = initiator::entry(&request.node, secret.clone(), request.read_only);
    if let Some(secret) = secret {
        let credentials = Credentials::generate().map_err(|_| PublishError::NoRandomness)?;
        driver.cluster.write_secret(&lun, &secret, &credentials).await?;
    }
    let with_entry = |lun: &Lun| {
        may_have(lun, request)?;
        if lun.spec.initiators.len() >= MOST {
            return Err(PublishError::Full(request.id.clone()));
        }
        let mut initiators = lun.spec.initiators.clone();
        initiators.push(entry.clone());
        Ok(Some(json!({"spec": {"initiators": initiators}})))
    };
    driver.change(lun, with_entry).await
}

fn has_chap(lun: &Lun) -> bool {
    lun.annotations().get(CHAP).is_none_or(|chap| chap != "false")
}

/// What the node is told; `None` while the Lun does not say all of it.
fn context(lun: &Lun, node: &str) -> Option<PublishContext> {
    let status = lun.status.as_ref()?;
    let target = status.target.as_ref()?;
    let secret = initiator::find(lun, node)?.chap_secret.as_ref().map(|secret| secret.name.clone());
    Some(PublishContext {
        iqn: target.iqn.clone()?,
        lun: target.lun?,
        portals: target.portals.clone(),
        node: status.node.clone()?,
        wwid: status.wwid.clone()?,
        epoch: status.epoch?,
        chap_secret: secret,
    })
}
