//! CreateVolume: a Lun of the volume's name, served.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::ObjectMeta;
use lunette_api::csi::VolumeId;
use lunette_api::{
    CLAIM_NAMESPACE_LABEL, Lun, LunNode, LunSource, LunSpec, PREFERRED_NODE_ANNOTATION, ReclaimPolicy, Size,
};
use lunette_proto::csi;
use thiserror::Error;

use super::busy::InFlight;
use super::capacity::has_initiator;
use super::class::{Class, ClassError};
use super::cluster::{self, Cluster, Creation, WaitError};
use super::deadline::Deadline;
use super::failure::{Failure, Kind};
use super::parse::{self, ParseError, Range, RangeError};
use super::source::{Origin, Source, SourceError};
use super::volume::{CHAP, MANAGER, MKFS_OPTIONS, PV_NAME, PVC_NAME, VOLUME_NAME};
use super::{Driver, name, progress, volume};
use crate::error::Error;

/// Longest name that CSI allows, in bytes.
const LONGEST_NAME: usize = 128;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The volume's name as its caller knows it.
    pub name: String,
    /// How large it may be.
    pub range: Range,
    /// What the classes say.
    pub class: Class,
    /// Where it is wanted, best first.
    pub nodes: Vec<String>,
    /// What it is to be made from.
    pub source: Option<Source>,
}

/// Why there is no volume.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The call is wrong.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// Its parameters are.
    #[error(transparent)]
    Class(#[from] ClassError),
    /// Its size is.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// What it is to be made from is of no use.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The image that it is to begin as is nowhere.
    #[error(
        "no node that is ready has image {image} in LunPool {pool}: an administrator puts it into the folder import of the \
         pool's directory, or names another in the StorageClass (kubectl describe lunnodes)"
    )]
    NoImage {
        /// The image.
        image: String,
        /// The pool.
        pool: String,
    },
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// There is no such pool.
    #[error("LunPool {0} does not exist: create it, or name another in the StorageClass (kubectl get lunpools)")]
    NoPool(String),
    /// The pool is not for them.
    #[error(
        "LunPool {pool} is not for namespace {namespace}: its spec.namespaces must list both the claim's namespace and \
         the one where the Luns of volumes are"
    )]
    NotAllowed {
        /// The pool.
        pool: String,
        /// The namespace that it leaves out.
        namespace: String,
    },
    /// The pool is for some, and nobody says for whom the volume is.
    #[error("LunPool {0} is for certain namespaces only: start the provisioner with --extra-create-metadata")]
    UnknownClaim(String),
    /// No node can hold it.
    #[error("{bytes} bytes are more than any node has room for in LunPool {pool}: the largest volume there has {most}")]
    TooLarge {
        /// Bytes asked for.
        bytes: u64,
        /// The pool.
        pool: String,
        /// Bytes that can be had.
        most: u64,
    },
    /// There is one of that name, and it is another.
    #[error("Lun {id} is there already, and not as asked for: its {what}")]
    Differs {
        /// The Lun.
        id: VolumeId,
        /// In what, and how.
        what: String,
    },
    /// There is one of that name, and it goes.
    #[error("Lun {0} of that name is being deleted: a new one can be made when it is gone")]
    Deleting(VolumeId),
    /// It is not served yet.
    #[error("Lun {id} is there and not served yet: {why}")]
    NotServed {
        /// The Lun.
        id: VolumeId,
        /// What stands in the way.
        why: String,
    },
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
}

impl Failure for CreateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Parse(error) => error.kind(),
            Self::Class(error) => error.kind(),
            Self::Range(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::InFlight(_) | Self::Deleting(_) => Kind::Busy,
            Self::NoPool(_) | Self::UnknownClaim(_) | Self::NoImage { .. } => Kind::Precondition,
            Self::NotAllowed { .. } => Kind::Forbidden,
            Self::TooLarge { .. } => Kind::OutOfRange,
            Self::Differs { .. } => Kind::Exists,
            Self::NotServed { .. } => Kind::Deadline,
            Self::Api(error) => cluster::kind(error),
        }
    }
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it, unknown or impossible.
    pub fn read(call: &csi::CreateVolumeRequest) -> Result<Self, CreateError> {
        let name = parse::required(&call.name, "name")?;
        if name.len() > LONGEST_NAME {
            return Err(ParseError::LongName(name.len()).into());
        }
        parse::uses(&call.volume_capabilities)?;
        Ok(Self {
            name: name.to_owned(),
            range: Range::read(call.capacity_range.as_ref())?,
            class: Class::read(&call.parameters, &call.mutable_parameters)?,
            nodes: parse::preferred_nodes(call.accessibility_requirements.as_ref()),
            source: Source::read(call.volume_content_source.as_ref())?,
        })
    }
}

/// Makes the volume, or finds it again.
///
/// # Errors
/// Why there is none, or not yet.
pub async fn create<C: Cluster>(driver: &Driver<C>, request: &Request, deadline: Deadline) -> Result<Lun, CreateError> {
    let id = VolumeId { namespace: driver.namespace.clone(), name: name::lun_name(&request.name) };
    let _turn = driver.busy.begin(&id)?;
    let lun = match driver.cluster.lun(&id).await? {
        Some(lun) => lun,
        None => make(driver, &id, request).await?,
    };
    is_it(&id, &lun, request)?;
    let generation = lun.metadata.generation.unwrap_or_default();
    match driver.cluster.wait(&lun, deadline, |lun| progress::is_served(lun, generation)).await {
        Ok(Some(lun)) => Ok(lun),
        Ok(None) => Err(CreateError::Deleting(id)),
        Err(WaitError::TimedOut(last)) => Err(CreateError::NotServed { id, why: progress::obstacle(&last) }),
        Err(WaitError::Api(error)) => Err(error.into()),
    }
}

/// Whether the Lun that is there is the volume that is asked for.
fn is_it(id: &VolumeId, lun: &Lun, request: &Request) -> Result<(), CreateError> {
    if lun.metadata.deletion_timestamp.is_some() {
        return Err(CreateError::Deleting(id.clone()));
    }
    match difference(lun, request) {
        None => Ok(()),
        Some(what) => Err(CreateError::Differs { id: id.clone(), what }),
    }
}

/// In what the Lun differs from what is asked for, and how.
fn difference(lun: &Lun, request: &Request) -> Option<String> {
    let (bytes, range, class) = (volume::bytes(lun), request.range, &request.class);
    let made_for = lun.annotations().get(VOLUME_NAME).map_or("none of CSI's", String::as_str);
    let limit = range.limit.map_or_else(String::new, |limit| format!(" and at most {limit}"));
    let (pool, block) = (&lun.spec.pool, lun.spec.block_size);
    let source = source(request);
    let all = [
        (made_for == request.name, format!("volume is {made_for}, not {}", request.name)),
        (range.contains(bytes), format!("size is {bytes} bytes, not at least {}{limit}", range.required)),
        (*pool == class.pool, format!("pool is {pool}, not {}", class.pool)),
        (block == class.block_size, format!("block size is {block}, not {}", class.block_size)),
        (lun.spec.source == source, "source is another: it was not made from what is asked for".to_owned()),
    ];
    all.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
}

async fn make<C: Cluster>(driver: &Driver<C>, id: &VolumeId, request: &Request) -> Result<Lun, CreateError> {
    let class = &request.class;
    let origin = match &request.source {
        Some(source) => Some(source.find(driver).await?),
        None => None,
    };
    let nodes = driver.cluster.nodes().await?;
    let bytes = size(request, origin.as_ref(), &nodes)?;
    let pool = driver.cluster.pool(&class.pool).await?.ok_or_else(|| CreateError::NoPool(class.pool.clone()))?;
    admits(&pool.spec.namespaces, id, class)?;
    if let Some(most) = largest(&nodes, &class.pool)
        && bytes > most
    {
        return Err(CreateError::TooLarge { bytes, pool: class.pool.clone(), most });
    }
    match driver.cluster.create(&lun(id, request, bytes, &nodes)).await? {
        Creation::Created(lun) => Ok(*lun),
        Creation::Exists => driver.cluster.lun(id).await?.ok_or_else(|| CreateError::Deleting(id.clone())),
    }
}

/// What the Lun is made from: what the claim names goes before the image that the class names.
fn source(request: &Request) -> Option<LunSource> {
    let image = || Some(LunSource { image: Some(request.class.image.clone()?), ..LunSource::default() });
    request.source.as_ref().map(Source::spec).or_else(image)
}

/// Bytes of the volume: of one that is made from something, at least as many as that has.
fn size(request: &Request, origin: Option<&Origin>, nodes: &[LunNode]) -> Result<u64, CreateError> {
    let (range, block) = (request.range, request.class.block_size);
    let Some(Origin { bytes: least, pool }) = origin else {
        let least = image_size(&request.class, nodes)?;
        return Ok(Range { required: range.required.max(least), ..range }.size(block)?);
    };
    if let Some(there) = pool.as_ref().filter(|there| **there != request.class.pool) {
        return Err(SourceError::OtherPool { there: there.clone() }.into());
    }
    // Who asks for nothing in particular gets what there is.
    let wanted = if range.required == 0 { Range { required: *least, ..range } } else { range };
    let bytes = wanted.size(block)?;
    if bytes < *least { Err(SourceError::TooSmall { least: *least }.into()) } else { Ok(bytes) }
}

/// Bytes of the class's image, the largest of that name; 0 where it has none.
fn image_size(class: &Class, nodes: &[LunNode]) -> Result<u64, CreateError> {
    let Some(image) = &class.image else { return Ok(0) };
    let pools = nodes.iter().filter_map(|node| node.status.as_ref()?.pools.get(&class.pool)).filter(|pool| pool.ready);
    let most = pools.filter_map(|pool| pool.images.get(image)).max();
    most.copied().ok_or_else(|| CreateError::NoImage { image: image.clone(), pool: class.pool.clone() })
}

/// Whether the pool is for the claim's namespace, and for the one where the Luns of volumes are.
fn admits(namespaces: &[String], id: &VolumeId, class: &Class) -> Result<(), CreateError> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let claim = class.claim.namespace.as_deref().unwrap_or_default();
    match [claim, &id.namespace].into_iter().find(|wanted| !namespaces.iter().any(|n| n == wanted)) {
        None => Ok(()),
        Some("") => Err(CreateError::UnknownClaim(class.pool.clone())),
        Some(other) => Err(CreateError::NotAllowed { pool: class.pool.clone(), namespace: other.to_owned() }),
    }
}

/// Bytes of the largest volume that any node can hold; `None` where no node says anything of the pool now.
pub fn largest(nodes: &[LunNode], pool: &str) -> Option<u64> {
    let pools = nodes.iter().filter_map(|node| node.status.as_ref()?.pools.get(pool));
    pools.filter(|pool| pool.ready).map(|pool| pool.max_volume).max()
}

fn lun(id: &VolumeId, request: &Request, bytes: u64, nodes: &[LunNode]) -> Lun {
    let class = &request.class;
    let spec = LunSpec {
        pool: class.pool.clone(),
        size: Size::Quantity(bytes.to_string()),
        block_size: class.block_size,
        source: source(request),
        node_name: only_node(request, nodes),
        initiators: Vec::new(),
        write_cache: class.write_cache,
        qos: class.qos.clone(),
        // Kubernetes calls DeleteVolume only where the PersistentVolume's own policy says so.
        reclaim_policy: ReclaimPolicy::Delete,
    };
    let mut lun = Lun::new(&id.name, spec);
    let mut labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned())]);
    labels.extend(class.claim.namespace.clone().map(|namespace| (CLAIM_NAMESPACE_LABEL.to_owned(), namespace)));
    lun.metadata = ObjectMeta {
        namespace: Some(id.namespace.clone()),
        labels: Some(labels),
        annotations: Some(annotations(request)),
        ..lun.metadata
    };
    lun
}

/// The node where the volume must be: the one where it is wanted first, if that can use none of other nodes.
fn only_node(request: &Request, nodes: &[LunNode]) -> Option<String> {
    let wanted = request.nodes.first()?;
    let there = nodes.iter().find(|node| node.name_any() == *wanted)?;
    (!has_initiator(there)).then(|| wanted.clone())
}

fn annotations(request: &Request) -> BTreeMap<String, String> {
    let class = &request.class;
    let all = [
        (VOLUME_NAME, Some(request.name.clone())),
        (MKFS_OPTIONS, class.mkfs_options.clone()),
        (CHAP, (!class.chap).then(|| "false".to_owned())),
        (PVC_NAME, class.claim.name.clone()),
        (PV_NAME, class.claim.volume.clone()),
        (PREFERRED_NODE_ANNOTATION, request.nodes.first().cloned()),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_for_a_node_without_an_initiator_must_be_there() {
        let node = |name: &str, initiator: Option<&str>| -> LunNode {
            serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunNode",
                "metadata": {"name": name}, "spec": {}, "status": {"initiatorName": initiator}}))
            .expect("a LunNode")
        };
        let nodes = [node("a", Some("iqn.a")), node("b", None)];
        let wanted = |at: &[&str]| {
            let class = Class::read(&[("pool".to_owned(), "fast".to_owned())].into(), &[].into()).expect("a class");
            let (name, range) = (String::new(), Range { required: 0, limit: None });
            let nodes = at.iter().map(|node| (*node).to_owned()).collect();
            Request { name, range, class, nodes, source: None }
        };
        let pins = [&["b", "a"][..], &["a", "b"], &["elsewhere"], &[]].map(|at| only_node(&wanted(at), &nodes));
        assert_eq!(pins, [Some("b".to_owned()), None, None, None]);
    }
}
