//! From CSI's messages to what they mean, whatever they hold.

use lunette_api::csi::{TOPOLOGY_NODE, VolumeId};
use lunette_proto::csi;
use lunette_proto::csi::volume_capability::AccessType;
use lunette_proto::csi::volume_capability::access_mode::Mode;
use thiserror::Error;

use super::class::{ClassError, file_system};
use super::failure::{Failure, Kind};

/// Bytes of a volume for which nobody asked a size.
const UNASKED: u64 = 1 << 30;

/// Why a message means nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// A field is not set.
    #[error("the call has no {0}")]
    Missing(&'static str),
    /// A volume's name is too long.
    #[error("the volume's name has {0} bytes: at most 128 are allowed")]
    LongName(usize),
    /// The volume cannot be used so.
    #[error(transparent)]
    Use(#[from] UseError),
    /// Sizes below zero.
    #[error("a size is negative")]
    NegativeSize,
    /// Not a number of entries.
    #[error("max_entries is {0}: it must not be negative")]
    NegativeEntries(i32),
}

impl Failure for ParseError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// How a volume is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// On how many nodes, and who writes.
    pub mode: Mode,
    /// As a device, not a file system.
    pub block: bool,
}

/// Why a volume cannot be used so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UseError {
    /// No access type.
    #[error("a volume capability says neither block nor mount")]
    NoType,
    /// No access mode.
    #[error("a volume capability has no access mode, or one that is not known")]
    NoMode,
    /// Two nodes would write one file system.
    #[error(
        "{0} needs volumeMode Block: a file system that two nodes write at once would be destroyed; use ReadWriteOnce, \
         or a raw block device with a cluster file system on it"
    )]
    SharedFileSystem(&'static str),
    /// A file system that is none of ours.
    #[error(transparent)]
    FileSystem(#[from] ClassError),
}

impl Use {
    /// Reads one capability.
    ///
    /// # Errors
    /// What cannot be had.
    pub fn read(capability: &csi::VolumeCapability) -> Result<Self, UseError> {
        let mode = capability.access_mode.map_or(Mode::Unknown, |access| access.mode());
        let block = match &capability.access_type {
            None => return Err(UseError::NoType),
            Some(AccessType::Block(_)) => true,
            Some(AccessType::Mount(mount)) => {
                file_system(Some(&mount.fs_type))?;
                false
            }
        };
        match mode {
            Mode::Unknown => Err(UseError::NoMode),
            Mode::MultiNodeMultiWriter if !block => Err(UseError::SharedFileSystem("ReadWriteMany")),
            Mode::MultiNodeSingleWriter if !block => Err(UseError::SharedFileSystem("MULTI_NODE_SINGLE_WRITER")),
            _ => Ok(Self { mode, block }),
        }
    }

    /// Whether only one node may have it.
    pub fn is_of_one_node(self) -> bool {
        match self.mode {
            Mode::SingleNodeWriter
            | Mode::SingleNodeReaderOnly
            | Mode::SingleNodeSingleWriter
            | Mode::SingleNodeMultiWriter => true,
            Mode::Unknown | Mode::MultiNodeReaderOnly | Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter => {
                false
            }
        }
    }

    /// Whether nobody writes.
    pub fn is_read_only(self) -> bool {
        matches!(self.mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly)
    }
}

/// Every capability of a call that must have some.
///
/// # Errors
/// When there is none, or one cannot be had.
pub fn uses(capabilities: &[csi::VolumeCapability]) -> Result<Vec<Use>, ParseError> {
    if capabilities.is_empty() {
        return Err(ParseError::Missing("volume_capabilities"));
    }
    capabilities.iter().map(|capability| Use::read(capability).map_err(ParseError::from)).collect()
}

/// A size between bounds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// At least so much.
    pub required: u64,
    /// At most so much.
    pub limit: Option<u64>,
}

/// Why no size fits.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RangeError {
    /// Nothing lies between.
    #[error("no multiple of {block} bytes lies between {required} and the limit of {limit}")]
    Nothing {
        /// Bytes of a block.
        block: u64,
        /// The lower bound.
        required: u64,
        /// The upper bound.
        limit: u64,
    },
    /// Beyond what the API counts.
    #[error("{0} bytes are more than any volume can have: it must be below 8 EiB")]
    TooLarge(u64),
}

impl Failure for RangeError {
    fn kind(&self) -> Kind {
        Kind::OutOfRange
    }
}

impl Range {
    /// Reads the range; without one, the size is up to us.
    ///
    /// # Errors
    /// When a bound is negative.
    pub fn read(range: Option<&csi::CapacityRange>) -> Result<Self, ParseError> {
        let (required, limit) = range.map_or((0, 0), |range| (range.required_bytes, range.limit_bytes));
        let bytes = |value| u64::try_from(value).map_err(|_| ParseError::NegativeSize);
        Ok(Self { required: bytes(required)?, limit: Some(bytes(limit)?).filter(|limit| *limit > 0) })
    }

    /// The smallest size of whole blocks in the range; where nothing is required, one that suits most.
    ///
    /// # Errors
    /// When there is none.
    pub fn size(self, block: u32) -> Result<u64, RangeError> {
        let block = u64::from(block);
        let wanted = match (self.required, self.limit) {
            (0, None) => UNASKED,
            (0, Some(limit)) => UNASKED.min(limit / block * block).max(block),
            (required, _) => required,
        };
        let size = wanted.div_ceil(block).saturating_mul(block);
        match self.limit {
            Some(limit) if size > limit => Err(RangeError::Nothing { block, required: self.required, limit }),
            _ if i64::try_from(size).is_err() => Err(RangeError::TooLarge(size)),
            _ => Ok(size),
        }
    }

    /// Whether a volume of that size is one of the range.
    pub fn contains(self, bytes: u64) -> bool {
        bytes >= self.required && self.limit.is_none_or(|limit| bytes <= limit)
    }
}

/// A text that must be there.
///
/// # Errors
/// When it is empty.
pub fn required<'a>(text: &'a str, field: &'static str) -> Result<&'a str, ParseError> {
    if text.is_empty() { Err(ParseError::Missing(field)) } else { Ok(text) }
}

/// A volume's id that must be there; `None`: no volume of ours is called so.
///
/// # Errors
/// When it is empty.
pub fn volume_id(text: &str) -> Result<Option<VolumeId>, ParseError> {
    Ok(required(text, "volume_id")?.parse().ok())
}

/// The nodes where a volume is wanted, best first.
pub fn preferred_nodes(requirement: Option<&csi::TopologyRequirement>) -> Vec<String> {
    let mut nodes: Vec<String> = Vec::new();
    for topology in requirement.into_iter().flat_map(|r| r.preferred.iter().chain(&r.requisite)) {
        if let Some(node) = topology.segments.get(TOPOLOGY_NODE)
            && !nodes.contains(node)
        {
            nodes.push(node.clone());
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(required: i64, limit: i64) -> Range {
        let range = csi::CapacityRange { required_bytes: required, limit_bytes: limit };
        Range::read(Some(&range)).expect("not negative")
    }

    #[test]
    fn a_size_is_rounded_up_to_blocks_and_never_past_the_limit() {
        for (required, limit, block, size) in [
            (0, 0, 512, Ok(1 << 30)),
            (1, 0, 512, Ok(512)),
            (513, 0, 512, Ok(1024)),
            (1 << 20, 0, 4096, Ok(1 << 20)),
            (1000, 1024, 512, Ok(1024)),
            (0, 5000, 4096, Ok(4096)),
            (0, 1 << 40, 512, Ok(1 << 30)),
            (1000, 1023, 512, Err(RangeError::Nothing { block: 512, required: 1000, limit: 1023 })),
            (0, 100, 512, Err(RangeError::Nothing { block: 512, required: 0, limit: 100 })),
            (2048, 1024, 512, Err(RangeError::Nothing { block: 512, required: 2048, limit: 1024 })),
            (i64::MAX, 0, 512, Err(RangeError::TooLarge(1 << 63))),
        ] {
            assert_eq!(range(required, limit).size(block), size, "{required}..{limit} by {block}");
        }
        assert_eq!(Range::read(None).expect("none is allowed").size(512), Ok(1 << 30));
        let negative = csi::CapacityRange { required_bytes: -1, limit_bytes: 0 };
        assert_eq!(Range::read(Some(&negative)), Err(ParseError::NegativeSize));
    }

    fn capability(mode: Mode, block: bool) -> csi::VolumeCapability {
        let access_type = if block {
            AccessType::Block(csi::volume_capability::BlockVolume {})
        } else {
            AccessType::Mount(csi::volume_capability::MountVolume::default())
        };
        let access_mode = csi::volume_capability::AccessMode { mode: mode.into() };
        csi::VolumeCapability { access_mode: Some(access_mode), access_type: Some(access_type) }
    }

    #[test]
    fn only_a_device_may_be_written_by_several_nodes() {
        for (mode, mount, one_node) in [
            (Mode::SingleNodeWriter, true, true),
            (Mode::SingleNodeReaderOnly, true, true),
            (Mode::SingleNodeSingleWriter, true, true),
            (Mode::SingleNodeMultiWriter, true, true),
            (Mode::MultiNodeReaderOnly, true, false),
            (Mode::MultiNodeSingleWriter, false, false),
            (Mode::MultiNodeMultiWriter, false, false),
        ] {
            let block = Use::read(&capability(mode, true)).expect("a device may be used in every way");
            assert_eq!(block.is_of_one_node(), one_node, "{mode:?}");
            assert_eq!(Use::read(&capability(mode, false)).is_ok(), mount, "{mode:?}");
        }
        let refused = Use::read(&capability(Mode::MultiNodeMultiWriter, false)).expect_err("refused").to_string();
        assert!(refused.starts_with("ReadWriteMany needs volumeMode Block"), "{refused}");
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert_eq!(uses(&[]), Err(ParseError::Missing("volume_capabilities")));
        assert_eq!(Use::read(&csi::VolumeCapability::default()), Err(UseError::NoType));
        assert_eq!(Use::read(&capability(Mode::Unknown, true)), Err(UseError::NoMode));
        let unknown = csi::volume_capability::AccessMode { mode: 99 };
        let capability = csi::VolumeCapability { access_mode: Some(unknown), ..capability(Mode::Unknown, true) };
        assert_eq!(Use::read(&capability), Err(UseError::NoMode));
    }

    #[test]
    fn preferred_nodes_come_first_and_once() {
        let at = |node: &str| csi::Topology { segments: [(TOPOLOGY_NODE.to_owned(), node.to_owned())].into() };
        let requirement = csi::TopologyRequirement {
            requisite: vec![at("a"), at("b"), csi::Topology::default()],
            preferred: vec![at("b"), at("a")],
        };
        assert_eq!(preferred_nodes(Some(&requirement)), ["b", "a"]);
        assert_eq!(preferred_nodes(None), Vec::<String>::new());
    }
}
