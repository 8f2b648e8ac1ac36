//! From CSI's messages to what they mean, whatever they hold.

use std::collections::HashMap;
use std::path::PathBuf;

use lunette_api::csi::{CONTEXT_MKFS_OPTIONS, CONTEXT_UID, NoPublishContext, PublishContext, VolumeId};
use lunette_api::identity;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_proto::csi;
use lunette_proto::csi::volume_capability::AccessType;
use lunette_proto::csi::volume_capability::access_mode::Mode;
use thiserror::Error;

use crate::filesystem::{self, FileSystem};
use crate::luns::Volume;

/// Why a message means nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// A field is not set.
    #[error("the call has no {0}")]
    Missing(&'static str),
    /// Not a path from the root.
    #[error("{0} is {1:?}: it must be an absolute path")]
    Relative(&'static str, String),
    /// No volume of ours.
    #[error("there is no volume {0}")]
    NoVolume(String),
    /// What the controller said is not what this volume is.
    #[error(
        "the publish context says that the volume's {what} is {said}, and it is {is}: was the volume published by this driver's controller?"
    )]
    Forged {
        /// What.
        what: &'static str,
        /// As it is said to be.
        said: String,
        /// As it is.
        is: String,
    },
    /// What the controller said cannot be understood.
    #[error(transparent)]
    PublishContext(#[from] NoPublishContext),
    /// No access type.
    #[error("the volume capability says neither block nor mount")]
    NoType,
    /// No access mode.
    #[error("the volume capability has no access mode, or one that is not known")]
    NoMode,
    /// A file system that is none of ours.
    #[error("file system {0:?} cannot be had: use ext4, xfs or btrfs")]
    FileSystem(String),
    /// Two nodes would write one file system.
    #[error("a file system that two nodes write at once would be destroyed: use ReadWriteOnce, or a raw block device")]
    SharedFileSystem,
    /// A mount option that cannot be had.
    #[error("mount option {0:?} cannot be had: it would mount something else than the volume")]
    MountOption(String),
    /// The kubelet sets groups itself.
    #[error(
        "the driver does not claim VOLUME_MOUNT_GROUP: the kubelet gives the files to group {0} itself (fsGroupPolicy File)"
    )]
    MountGroup(String),
}

impl Failure for RequestError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoVolume(_) => Kind::NotFound,
            Self::Missing(_)
            | Self::Relative(..)
            | Self::Forged { .. }
            | Self::PublishContext(_)
            | Self::NoType
            | Self::NoMode
            | Self::FileSystem(_)
            | Self::SharedFileSystem
            | Self::MountOption(_)
            | Self::MountGroup(_) => Kind::Invalid,
        }
    }
}

/// As what a volume is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a device.
    Block,
    /// As a file system, of that type where one is asked for, with these mount options.
    Mount(Option<FileSystem>, Vec<String>),
}

/// How a volume is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// As what.
    pub access: Access,
    /// Whether nobody writes.
    pub read_only: bool,
    /// Whether it may be seen at one place only.
    pub exclusive: bool,
}

impl Use {
    /// Reads a capability.
    ///
    /// # Errors
    /// What is missing in it or cannot be had.
    pub fn read(capability: Option<&csi::VolumeCapability>) -> Result<Self, RequestError> {
        let capability = capability.ok_or(RequestError::Missing("volume_capability"))?;
        let mode = capability.access_mode.map_or(Mode::Unknown, |access| access.mode());
        let access = match capability.access_type.as_ref().ok_or(RequestError::NoType)? {
            AccessType::Block(_) => Access::Block,
            AccessType::Mount(mount) => mounted(mount)?,
        };
        let (reads, exclusive) = match mode {
            Mode::Unknown => return Err(RequestError::NoMode),
            Mode::MultiNodeMultiWriter | Mode::MultiNodeSingleWriter if access != Access::Block => {
                return Err(RequestError::SharedFileSystem);
            }
            Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly => (true, false),
            Mode::SingleNodeWriter | Mode::SingleNodeSingleWriter => (false, true),
            Mode::SingleNodeMultiWriter | Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter => (false, false),
        };
        let asks = matches!(&access, Access::Mount(_, flags) if filesystem::ask_for_read_only(flags));
        Ok(Self { access, read_only: reads || asks, exclusive })
    }
}

fn mounted(mount: &csi::volume_capability::MountVolume) -> Result<Access, RequestError> {
    if !mount.volume_mount_group.is_empty() {
        return Err(RequestError::MountGroup(mount.volume_mount_group.clone()));
    }
    if let Some(option) = filesystem::forbidden(&mount.mount_flags) {
        return Err(RequestError::MountOption(option.to_owned()));
    }
    let file_system = match mount.fs_type.as_str() {
        "" => None,
        name => Some(FileSystem::named(name).ok_or_else(|| RequestError::FileSystem(name.to_owned()))?),
    };
    Ok(Access::Mount(file_system, mount.mount_flags.clone()))
}

/// What the controller said of a volume that was published to this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The volume.
    pub volume: Volume,
    /// The epoch in which the node was let in.
    pub epoch: u64,
}

impl Published {
    /// Reads what the controller said. The target's name holds the Lun's UID; everything else that follows from the
    /// UID must agree with it.
    ///
    /// # Errors
    /// When it says nothing, or something impossible.
    pub fn read(
        id: VolumeId,
        publish_context: &HashMap<String, String>,
        volume_context: &HashMap<String, String>,
    ) -> Result<Self, RequestError> {
        let said = PublishContext::from_map(publish_context)?;
        let forged =
            |what, said: &str, is: &str| RequestError::Forged { what, said: said.to_owned(), is: is.to_owned() };
        let uid = said.iqn.rsplit(':').next().unwrap_or_default().to_owned();
        for (what, said, is) in
            [("target", &said.iqn, identity::iqn(&uid)), ("identity", &said.wwid, identity::wwid(&uid))]
        {
            if *said != is {
                return Err(forged(what, said, &is));
            }
        }
        match volume_context.get(CONTEXT_UID) {
            Some(known) if *known != uid => Err(forged("UID", &uid, known)),
            _ => Ok(Self { volume: Volume { id, uid }, epoch: said.epoch }),
        }
    }
}

/// A text that must be there.
///
/// # Errors
/// When it is empty.
pub fn required<'a>(text: &'a str, field: &'static str) -> Result<&'a str, RequestError> {
    if text.is_empty() { Err(RequestError::Missing(field)) } else { Ok(text) }
}

/// A path that must be there.
///
/// # Errors
/// When it is empty or relative.
pub fn path(text: &str, field: &'static str) -> Result<PathBuf, RequestError> {
    let path = required(text, field)?;
    if path.starts_with('/') { Ok(PathBuf::from(path)) } else { Err(RequestError::Relative(field, path.to_owned())) }
}

/// A volume's id that must be there; `None`: no volume of ours is called so.
///
/// # Errors
/// When it is empty.
pub fn volume_id(text: &str) -> Result<Option<VolumeId>, RequestError> {
    Ok(required(text, "volume_id")?.parse().ok())
}

/// A volume's id that must be one of ours.
///
/// # Errors
/// When it is empty, or none.
pub fn known_volume_id(text: &str) -> Result<VolumeId, RequestError> {
    ours(volume_id(text)?, text)
}

/// The volume that [`volume_id`] has read, which must be one of ours.
///
/// # Errors
/// When it is none.
pub fn ours(id: Option<VolumeId>, text: &str) -> Result<VolumeId, RequestError> {
    id.ok_or_else(|| RequestError::NoVolume(text.to_owned()))
}

/// The arguments for mkfs.
pub fn mkfs_options(volume_context: &HashMap<String, String>) -> Vec<String> {
    let options = volume_context.get(CONTEXT_MKFS_OPTIONS).map_or("", String::as_str);
    options.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use lunette_proto::csi::volume_capability::{AccessMode, BlockVolume, MountVolume};

    use super::*;

    const UID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

    fn capability(mode: Mode, mount: Option<MountVolume>) -> csi::VolumeCapability {
        let access_type = mount.map_or(AccessType::Block(BlockVolume {}), AccessType::Mount);
        csi::VolumeCapability { access_mode: Some(AccessMode { mode: mode.into() }), access_type: Some(access_type) }
    }

    fn mount(fs_type: &str, flags: &[&str]) -> MountVolume {
        let mount_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        MountVolume { fs_type: fs_type.to_owned(), mount_flags, volume_mount_group: String::new() }
    }

    #[test]
    fn a_use_says_who_writes_and_whether_others_see_it() {
        let reads = |mode, mount| {
            let usage = Use::read(Some(&capability(mode, mount))).expect("it can be had");
            (usage.read_only, usage.exclusive)
        };
        for (mode, want) in [
            (Mode::SingleNodeWriter, (false, true)),
            (Mode::SingleNodeSingleWriter, (false, true)),
            (Mode::SingleNodeMultiWriter, (false, false)),
            (Mode::SingleNodeReaderOnly, (true, false)),
            (Mode::MultiNodeReaderOnly, (true, false)),
        ] {
            assert_eq!(reads(mode, Some(mount("", &[]))), want, "{mode:?}");
            assert_eq!(reads(mode, None), want, "{mode:?}");
        }
        assert_eq!(reads(Mode::MultiNodeMultiWriter, None), (false, false));
        assert_eq!(reads(Mode::SingleNodeWriter, Some(mount("xfs", &["noatime,ro"]))), (true, true));
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_a_reason() {
        let refused = |capability: &csi::VolumeCapability| Use::read(Some(capability)).expect_err("refused");
        let writer = |mount| capability(Mode::SingleNodeWriter, Some(mount));
        assert_eq!(refused(&writer(mount("ntfs", &[]))), RequestError::FileSystem("ntfs".to_owned()));
        assert_eq!(refused(&writer(mount("", &["loop"]))), RequestError::MountOption("loop".to_owned()));
        let group = MountVolume { volume_mount_group: "7".to_owned(), ..mount("", &[]) };
        assert_eq!(refused(&writer(group)), RequestError::MountGroup("7".to_owned()));
        for mode in [Mode::MultiNodeMultiWriter, Mode::MultiNodeSingleWriter] {
            assert_eq!(refused(&capability(mode, Some(mount("", &[])))), RequestError::SharedFileSystem);
        }
        assert_eq!(refused(&capability(Mode::Unknown, None)), RequestError::NoMode);
        assert_eq!(refused(&csi::VolumeCapability::default()), RequestError::NoType);
        assert_eq!(Use::read(None), Err(RequestError::Missing("volume_capability")));
    }

    fn said(iqn: &str, wwid: &str) -> HashMap<String, String> {
        let (iqn, wwid) = (iqn.to_owned(), wwid.to_owned());
        let portals = vec!["10.0.0.1:3260".to_owned()];
        PublishContext { iqn, wwid, portals, lun: 0, node: "a".to_owned(), epoch: 3, chap_secret: None }.to_map()
    }

    #[test]
    fn a_volume_is_known_by_its_uid_and_all_that_follows_from_it() {
        let id: VolumeId = "prod/db".parse().expect("an id");
        let read = |iqn: &str, wwid: &str, uid: Option<&str>| {
            let context = uid.map(|uid| (CONTEXT_UID.to_owned(), uid.to_owned())).into_iter().collect();
            Published::read(id.clone(), &said(iqn, wwid), &context)
        };
        let (iqn, wwid) = (identity::iqn(UID), identity::wwid(UID));
        let volume = Volume { id: id.clone(), uid: UID.to_owned() };
        for uid in [None, Some(UID)] {
            assert_eq!(read(&iqn, &wwid, uid), Ok(Published { volume: volume.clone(), epoch: 3 }));
        }
        let wrong = |iqn: &str, wwid: &str, uid| match read(iqn, wwid, uid).expect_err("refused") {
            RequestError::Forged { what, .. } => what,
            other => panic!("{other}"),
        };
        assert_eq!(wrong(&format!("iqn.2001-04.com.example:{UID}"), &wwid, None), "target");
        assert_eq!(wrong(&iqn, &identity::wwid("other"), None), "identity");
        assert_eq!(wrong(&iqn, &wwid, Some("other")), "UID");
        let nothing = Published::read(id, &HashMap::new(), &HashMap::new());
        assert!(matches!(nothing, Err(RequestError::PublishContext(_))));
    }

    #[test]
    fn paths_are_absolute_and_volumes_ours() {
        assert_eq!(path("/a/b", "target_path"), Ok(PathBuf::from("/a/b")));
        assert_eq!(path("a", "target_path"), Err(RequestError::Relative("target_path", "a".to_owned())));
        assert_eq!(path("", "target_path"), Err(RequestError::Missing("target_path")));
        assert_eq!(known_volume_id("x"), Err(RequestError::NoVolume("x".to_owned())));
        assert_eq!(volume_id(""), Err(RequestError::Missing("volume_id")));
    }
}
