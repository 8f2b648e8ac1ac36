//! The calls against a played machine: what each does, what it refuses, and that it can be cut off anywhere.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use lunette_api::csi::PublishContext;
use lunette_api::identity;
use lunette_initiator::Wwid;
use lunette_proto::csi;
use lunette_proto::csi::node_server::Node;
use lunette_proto::csi::volume_capability::access_mode::Mode;
use lunette_proto::csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use tonic::{Code, Request, Status};

use crate::content::Content;
use crate::fake::{UID, World};
use crate::filesystem::FileSystem;
use crate::luns::Obstacle;
use crate::node::NodeService;
use crate::{About, Driver};

const ID: &str = "prod/db";
/// More steps than any call takes.
const MANY: usize = 100;

struct Bed {
    world: World,
    driver: Arc<Driver<World, World>>,
}

fn mount(fs_type: &str) -> AccessType {
    AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() })
}

fn block() -> AccessType {
    AccessType::Block(BlockVolume {})
}

fn capability(mode: Mode, access: AccessType) -> Option<csi::VolumeCapability> {
    let access_mode = Some(AccessMode { mode: mode.into() });
    Some(csi::VolumeCapability { access_mode, access_type: Some(access) })
}

fn publish_context(epoch: u64) -> HashMap<String, String> {
    let (iqn, wwid, portals) = (identity::iqn(UID), identity::wwid(UID), vec!["10.0.0.1:3260".to_owned()]);
    PublishContext { iqn, wwid, portals, lun: 0, node: "a".to_owned(), epoch, chap_secret: None }.to_map()
}

impl Bed {
    fn new() -> Self {
        let world = World::new();
        let about = About { node: "a".to_owned(), most_volumes: 7 };
        Self { driver: Arc::new(Driver::new(world.clone(), world.clone(), about)), world }
    }

    fn holding(content: Content) -> Self {
        let bed = Self::new();
        bed.world.state().content = content;
        bed
    }

    fn node(&self) -> NodeService<World, World> {
        NodeService(self.driver.clone())
    }

    async fn stage_as(&self, mode: Mode, access: AccessType) -> Result<(), Status> {
        let epoch = self.world.state().epoch;
        let call = csi::NodeStageVolumeRequest {
            volume_id: ID.to_owned(),
            publish_context: publish_context(epoch),
            staging_target_path: "/stage".to_owned(),
            volume_capability: capability(mode, access),
            ..Default::default()
        };
        self.node().node_stage_volume(Request::new(call)).await.map(drop)
    }

    async fn stage(&self) -> Result<(), Status> {
        self.stage_as(Mode::SingleNodeWriter, mount("ext4")).await
    }

    async fn unstage(&self) -> Result<(), Status> {
        let (volume_id, staging_target_path) = (ID.to_owned(), "/stage".to_owned());
        let call = csi::NodeUnstageVolumeRequest { volume_id, staging_target_path };
        self.node().node_unstage_volume(Request::new(call)).await.map(drop)
    }

    async fn publish_as(&self, target: &str, mode: Mode, access: AccessType, readonly: bool) -> Result<(), Status> {
        let call = csi::NodePublishVolumeRequest {
            volume_id: ID.to_owned(),
            staging_target_path: "/stage".to_owned(),
            target_path: target.to_owned(),
            volume_capability: capability(mode, access),
            readonly,
            ..Default::default()
        };
        self.node().node_publish_volume(Request::new(call)).await.map(drop)
    }

    async fn publish(&self, target: &str) -> Result<(), Status> {
        self.publish_as(target, Mode::SingleNodeMultiWriter, mount("ext4"), false).await
    }

    async fn unpublish(&self, target: &str) -> Result<(), Status> {
        let (volume_id, target_path) = (ID.to_owned(), target.to_owned());
        let call = csi::NodeUnpublishVolumeRequest { volume_id, target_path };
        self.node().node_unpublish_volume(Request::new(call)).await.map(drop)
    }

    async fn expand(&self, path: &str, required_bytes: i64) -> Result<i64, Status> {
        let call = csi::NodeExpandVolumeRequest {
            volume_id: ID.to_owned(),
            volume_path: path.to_owned(),
            capacity_range: Some(csi::CapacityRange { required_bytes, limit_bytes: 0 }),
            ..Default::default()
        };
        Ok(self.node().node_expand_volume(Request::new(call)).await?.into_inner().capacity_bytes)
    }

    async fn health(&self) -> Vec<String> {
        let call = csi::NodeGetVolumeHealthRequest {
            volume_id: ID.to_owned(),
            staging_target_path: "/stage".to_owned(),
            ..Default::default()
        };
        let health = self.node().node_get_volume_health(Request::new(call)).await.unwrap().into_inner();
        health.volume_health.unwrap().health_statuses.into_iter().map(|entry| entry.reason).collect()
    }

    /// What was run since the last look.
    fn ran(&self) -> Vec<String> {
        std::mem::take(&mut self.world.state().ran)
    }

    fn lives_for(&self, steps: Option<usize>) {
        self.world.state().lives_for = steps;
    }

    fn record(&self) -> Option<String> {
        let file = self.world.state().files.get(Path::new("/stage/lunette.json")).cloned()?;
        String::from_utf8(file).ok()
    }
}

fn code(outcome: Result<(), Status>) -> Code {
    outcome.err().map_or(Code::Ok, |status| status.code())
}

fn other_wwid() -> Option<Wwid> {
    identity::wwid("other").parse().ok()
}

#[tokio::test]
async fn an_empty_volume_gets_a_file_system_once_and_everything_goes_again() {
    let bed = Bed::new();
    bed.stage().await.unwrap();
    let ran = [
        "mkfs.ext4 -q /dev/sdb",
        "e2fsck -p /dev/sdb",
        "mount -t ext4 -o rw /dev/sdb /stage/volume",
        "resize2fs /dev/sdb",
    ];
    assert_eq!(bed.ran(), ran);
    assert_eq!(bed.record().as_deref(), Some(format!("{{\"uid\":\"{UID}\"}}").as_str()));
    bed.publish("/pods/a").await.unwrap();
    assert_eq!(code(bed.unstage().await), Code::FailedPrecondition, "a pod uses it");
    bed.unpublish("/pods/a").await.unwrap();
    bed.unstage().await.unwrap();
    assert!(bed.world.is_clean());
    bed.stage().await.unwrap();
    assert!(!bed.ran().iter().any(|call| call.starts_with("mkfs")), "its data are kept");
}

#[tokio::test]
async fn every_call_may_be_made_again() {
    let bed = Bed::new();
    for _ in 0..2 {
        bed.unpublish("/pods/a").await.unwrap();
        bed.unstage().await.unwrap();
    }
    for _ in 0..2 {
        bed.stage().await.unwrap();
        bed.publish("/pods/a").await.unwrap();
        bed.publish("/pods/a").await.unwrap();
    }
    assert_eq!(bed.world.state().mounts.len(), 2);
    for _ in 0..2 {
        bed.unpublish("/pods/a").await.unwrap();
    }
    for _ in 0..2 {
        bed.unstage().await.unwrap();
    }
    assert!(bed.world.is_clean());
}

/// Killed before each of its steps, and called again by the next agent.
#[tokio::test]
async fn a_stage_that_was_cut_off_anywhere_is_finished_by_the_next() {
    for steps in 0..MANY {
        let bed = Bed::new();
        bed.lives_for(Some(steps));
        let whole = bed.stage().await.is_ok();
        bed.lives_for(None);
        bed.stage().await.unwrap_or_else(|error| panic!("after {steps} steps: {error}"));
        {
            let state = bed.world.state();
            assert_eq!(state.content, Content::FileSystem(FileSystem::Ext4), "after {steps} steps");
            assert_eq!((state.mounts.len(), state.grown_to), (1, state.disk.size), "after {steps} steps");
        }
        assert!(!bed.record().unwrap().contains("formatting"), "after {steps} steps");
        if whole {
            return;
        }
    }
    panic!("{MANY} steps are not enough");
}

#[tokio::test]
async fn a_stage_that_was_cut_off_anywhere_leaves_nothing_after_unstage_and_no_half_file_system() {
    for steps in 0..MANY {
        let bed = Bed::new();
        bed.lives_for(Some(steps));
        let whole = bed.stage().await.is_ok();
        bed.lives_for(None);
        bed.unstage().await.unwrap_or_else(|error| panic!("after {steps} steps: {error}"));
        assert!(bed.world.is_clean(), "after {steps} steps");
        assert!(!matches!(bed.world.state().content, Content::Foreign(_)), "after {steps} steps");
        if whole {
            return;
        }
    }
    panic!("{MANY} steps are not enough");
}

#[tokio::test]
async fn a_publish_that_was_cut_off_anywhere_is_finished_by_the_next_and_read_only_if_it_should_be() {
    for steps in 0..MANY {
        let bed = Bed::new();
        bed.stage().await.unwrap();
        let publish = || bed.publish_as("/pods/a", Mode::SingleNodeMultiWriter, mount(""), true);
        bed.lives_for(Some(steps));
        let whole = publish().await.is_ok();
        bed.lives_for(None);
        publish().await.unwrap();
        assert!(bed.world.state().mounts.last().unwrap().is_read_only(), "after {steps} steps");
        assert_eq!(bed.world.state().mounts.len(), 2, "after {steps} steps");
        if whole {
            return;
        }
    }
    panic!("{MANY} steps are not enough");
}

#[tokio::test]
async fn an_unstage_that_was_cut_off_anywhere_is_finished_by_the_next() {
    for steps in 0..MANY {
        let bed = Bed::new();
        bed.stage().await.unwrap();
        bed.lives_for(Some(steps));
        let whole = bed.unstage().await.is_ok();
        bed.lives_for(None);
        bed.unstage().await.unwrap();
        assert!(bed.world.is_clean(), "after {steps} steps");
        if whole {
            return;
        }
    }
    panic!("{MANY} steps are not enough");
}

#[tokio::test]
async fn what_is_not_ours_is_never_written_and_let_go() {
    let foreign = Bed::holding(Content::Foreign("crypto_LUKS".to_owned()));
    let refused = foreign.stage().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().starts_with("/dev/sdb holds crypto_LUKS, so nothing is made on it"), "{refused}");
    let other = Bed::holding(Content::FileSystem(FileSystem::Xfs));
    let refused = other.stage().await.unwrap_err();
    assert_eq!(refused.message(), "/dev/sdb holds xfs, not ext4: ask for xfs, or for another volume");
    for bed in [foreign, other] {
        assert_eq!(bed.ran(), [""; 0]);
        assert!(bed.world.is_clean(), "a session would be left for ever");
    }
}

#[tokio::test]
async fn another_disk_is_left_alone() {
    let bed = Bed::new();
    bed.world.state().disk.wwid = other_wwid();
    let refused = bed.stage().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("using it would risk another disk's data"), "{refused}");
    assert_eq!(bed.ran(), [""; 0]);
}

/// A file system that was half made here, before other nodes had the volume, says nothing about it now.
#[tokio::test]
async fn an_unfinished_file_system_of_an_earlier_epoch_is_not_erased() {
    let bed = Bed::new();
    bed.world.state().fails = Some(("mkfs.ext4", 1));
    let record = format!("{{\"uid\":\"{UID}\",\"formatting\":1}}");
    bed.world.state().files.insert("/stage/lunette.json".into(), record.into_bytes());
    bed.world.state().epoch = 2;
    bed.world.state().content = Content::FileSystem(FileSystem::Ext4);
    bed.stage().await.unwrap();
    assert!(!bed.ran().iter().any(|call| call == "erase" || call.starts_with("mkfs")));
    bed.unstage().await.unwrap();
    assert_eq!(bed.world.state().content, Content::FileSystem(FileSystem::Ext4));
}

#[tokio::test]
async fn a_failed_mkfs_leaves_the_disk_empty_and_nothing_behind() {
    let bed = Bed::new();
    bed.world.state().fails = Some(("mkfs.ext4", 1));
    let refused = bed.stage().await.unwrap_err();
    assert!(refused.message().starts_with("no file system could be made: mkfs.ext4 failed with status 1"), "{refused}");
    assert!(bed.world.is_clean());
    assert_eq!(bed.world.state().content, Content::Empty);
}

#[tokio::test]
async fn a_broken_file_system_is_not_mounted_for_writing() {
    let bed = Bed::holding(Content::FileSystem(FileSystem::Ext4));
    bed.world.state().fails = Some(("e2fsck", 4));
    let refused = bed.stage().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("run `e2fsck /dev/sdb` by hand"), "{refused}");
    assert_eq!(bed.ran(), ["e2fsck -p /dev/sdb"]);
    bed.stage_as(Mode::SingleNodeReaderOnly, mount("")).await.unwrap();
    assert_eq!(bed.ran(), ["mount -t ext4 -o ro /dev/sdb /stage/volume"], "for reading nobody checks or grows it");
}

#[tokio::test]
async fn nothing_is_made_on_what_nobody_writes() {
    let bed = Bed::new();
    bed.world.state().disk.read_only = true;
    let refused = bed.stage_as(Mode::MultiNodeReaderOnly, mount("")).await.unwrap_err();
    assert!(refused.message().contains("stage it for writing once"), "{refused}");
    assert_eq!(bed.ran(), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_mounted_read_only_says_what_it_may_lack() {
    let bed = Bed::holding(Content::FileSystem(FileSystem::Xfs));
    bed.world.state().disk.read_only = true;
    bed.world.state().fails = Some(("mount", 32));
    let refused = bed.stage_as(Mode::MultiNodeReaderOnly, mount("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("has to be mounted for writing once"), "{refused}");
    assert!(bed.world.is_clean());
    bed.world.state().disk.read_only = false;
    assert!(!bed.stage().await.unwrap_err().message().contains("for writing once"), "it is not why");
}

#[tokio::test]
async fn a_lun_that_may_come_is_waited_for_and_the_next_call_goes_on() {
    let bed = Bed::new();
    bed.world.state().obstacle = Some(Obstacle::NotYet("coming".to_owned()));
    assert_eq!(code(bed.stage().await), Code::Unavailable);
    assert!(bed.record().is_some(), "the kubelet unstages it, or stages it again");
    bed.world.state().obstacle = Some(Obstacle::Refused("multipathd has taken it".to_owned()));
    assert_eq!(code(bed.stage().await), Code::FailedPrecondition);
    assert!(bed.world.is_clean());
}

#[tokio::test]
async fn a_device_is_bound_as_it_is() {
    let bed = Bed::holding(Content::Foreign("a database".to_owned()));
    bed.stage_as(Mode::SingleNodeWriter, block()).await.unwrap();
    assert_eq!(code(bed.stage().await), Code::AlreadyExists, "it is no file system here");
    bed.publish_as("/pods/a", Mode::SingleNodeWriter, block(), false).await.unwrap();
    assert_eq!(code(bed.publish_as("/pods/b", Mode::SingleNodeWriter, block(), false).await), Code::FailedPrecondition);
    assert_eq!(
        code(bed.publish_as("/pods/b", Mode::MultiNodeMultiWriter, block(), true).await),
        Code::FailedPrecondition
    );
    assert_eq!(bed.ran(), [""; 0]);
    assert_eq!(bed.expand("/pods/a", 1 << 30).await.unwrap(), 1 << 30);
    bed.unpublish("/pods/a").await.unwrap();
    bed.unstage().await.unwrap();
    assert!(bed.world.is_clean());
}

#[tokio::test]
async fn one_pod_or_several_as_the_mode_says() {
    let bed = Bed::new();
    bed.stage().await.unwrap();
    for (mode, second) in [
        (Mode::SingleNodeSingleWriter, Code::FailedPrecondition),
        (Mode::SingleNodeWriter, Code::FailedPrecondition),
        (Mode::SingleNodeMultiWriter, Code::Ok),
    ] {
        bed.publish_as("/pods/a", mode, mount("ext4"), false).await.unwrap();
        assert_eq!(code(bed.publish_as("/pods/b", mode, mount("ext4"), false).await), second, "{mode:?}");
        bed.unpublish("/pods/b").await.unwrap();
    }
}

#[tokio::test]
async fn only_what_is_staged_and_the_volume_is_published() {
    let bed = Bed::new();
    assert_eq!(code(bed.publish("/pods/a").await), Code::FailedPrecondition);
    bed.stage().await.unwrap();
    bed.world.state().disk.wwid = other_wwid();
    let refused = bed.publish("/pods/a").await.unwrap_err();
    assert!(refused.message().contains("is not the volume"), "{refused}");
    assert_eq!(code(bed.stage().await), Code::FailedPrecondition);
    assert_eq!(bed.world.state().mounts.len(), 1);
    assert_eq!(bed.health().await, ["AnotherDisk"]);
}

#[tokio::test]
async fn a_record_that_somebody_removed_is_written_again() {
    let bed = Bed::new();
    bed.stage().await.unwrap();
    let record = bed.record();
    bed.world.state().files.clear();
    assert_eq!(code(bed.publish("/pods/a").await), Code::FailedPrecondition);
    bed.stage().await.unwrap();
    assert_eq!(bed.record(), record);
    bed.publish("/pods/a").await.unwrap();
}

#[tokio::test]
async fn a_volume_grows_to_what_its_lun_has_and_nothing_else_does() {
    let bed = Bed::new();
    bed.stage().await.unwrap();
    bed.publish("/pods/a").await.unwrap();
    bed.world.state().disk.size = 2 << 30;
    for path in ["/pods/a", "/stage"] {
        assert_eq!(bed.expand(path, 2 << 30).await.unwrap(), 2 << 30);
        assert_eq!(std::mem::take(&mut bed.world.state().grown_to), 2 << 30);
    }
    assert_eq!(bed.expand("/pods/a", 3 << 30).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(bed.expand("/pods/b", 0).await.unwrap_err().code(), Code::NotFound);
    bed.world.state().disk.wwid = other_wwid();
    assert_eq!(bed.expand("/pods/a", 0).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(bed.world.state().grown_to, 0);
}

#[tokio::test]
async fn a_second_call_on_a_volume_is_told_that_the_first_goes_on() {
    let bed = Bed::new();
    let turn = bed.driver.busy.begin(&ID.parse().unwrap()).unwrap();
    assert_eq!(code(bed.stage().await), Code::Aborted);
    assert_eq!(code(bed.unstage().await), Code::Aborted);
    assert_eq!(code(bed.publish("/pods/a").await), Code::Aborted);
    assert_eq!(code(bed.unpublish("/pods/a").await), Code::Aborted);
    assert_eq!(bed.expand("/pods/a", 0).await.unwrap_err().code(), Code::Aborted);
    drop(turn);
    bed.stage().await.unwrap();
}

#[tokio::test]
async fn health_says_what_this_node_sees() {
    let bed = Bed::new();
    bed.stage().await.unwrap();
    assert_eq!(bed.health().await, [""; 0]);
    bed.world.state().fails = Some(("disk", 0));
    bed.world.state().mounts[0].file_system_options = vec!["ro".to_owned()];
    assert_eq!(bed.health().await, ["DiskNotRunning", "FileSystemReadOnly"]);
    bed.world.state().attached = false;
    assert_eq!(bed.health().await, ["DiskGone"]);
}

#[tokio::test]
async fn what_is_missing_in_a_call_is_named() {
    let bed = Bed::new();
    let empty = csi::NodeStageVolumeRequest::default();
    let refused = bed.node().node_stage_volume(Request::new(empty)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "the call has no volume_id"));
    let stats = |volume_id: &str, volume_path: &str| csi::NodeGetVolumeStatsRequest {
        volume_id: volume_id.to_owned(),
        volume_path: volume_path.to_owned(),
        ..Default::default()
    };
    for (volume, path, want) in [
        ("", "/pods/a", Code::InvalidArgument),
        (ID, "", Code::InvalidArgument),
        ("none-of-ours", "/pods/a", Code::NotFound),
        (ID, "/pods/a", Code::NotFound),
    ] {
        let refused = bed.node().node_get_volume_stats(Request::new(stats(volume, path))).await.unwrap_err();
        assert_eq!(refused.code(), want, "{volume} {path}");
    }
    bed.stage().await.unwrap();
    let found = bed.node().node_get_volume_stats(Request::new(stats(ID, "/stage"))).await.unwrap().into_inner();
    assert_eq!(
        found.usage.iter().map(|usage| (usage.total, usage.available, usage.used)).collect::<Vec<_>>(),
        [(100, 60, 40), (10, 9, 1)]
    );
}

#[tokio::test]
async fn a_node_says_who_it_is_and_how_much_it_takes() {
    let info = Bed::new().node().node_get_info(Request::new(csi::NodeGetInfoRequest {})).await.unwrap().into_inner();
    assert_eq!((info.node_id.as_str(), info.max_volumes_per_node), ("a", 7));
    assert_eq!(info.accessible_topology.unwrap().segments["topology.lunette.io/node"], "a");
}
