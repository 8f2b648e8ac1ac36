//! The calls about snapshots and their groups, and volumes made from them and from others, against a cluster in memory.

use lunette_api::csi::VolumeId;
use lunette_api::{LunSnapshot, LunSource};
use lunette_proto::csi;
use lunette_proto::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
use tonic::Code;

use super::create_snapshot::CreateSnapshotError;
use super::list::{ListError, Page};
use super::memory::Memory;
use super::tests::{GI, NAME, code, create_call, create_with, created, driver, id, now, soon, stored};
use super::{Driver, create_snapshot, delete, delete_snapshot, group, list_snapshots, snapshot, volume};

fn call(name: &str, of: &str) -> csi::CreateSnapshotRequest {
    csi::CreateSnapshotRequest { name: name.to_owned(), source_volume_id: of.to_owned(), ..Default::default() }
}

async fn taken_of(
    driver: &Driver<Memory>,
    call: &csi::CreateSnapshotRequest,
) -> Result<LunSnapshot, CreateSnapshotError> {
    create_snapshot::create(driver, &create_snapshot::Request::read(call)?, soon()).await
}

/// A driver with a volume and a snapshot of it.
async fn with_snapshot() -> (Driver<Memory>, LunSnapshot) {
    let driver = driver();
    created(&driver, NAME).await;
    let taken = taken_of(&driver, &call("snap-1", &id(NAME).to_string())).await.expect("it can be taken");
    (driver, taken)
}

fn from(source: Type, name: &str, bytes: i64) -> csi::CreateVolumeRequest {
    let source = csi::VolumeContentSource { r#type: Some(source) };
    csi::CreateVolumeRequest { volume_content_source: Some(source), ..create_call(name, bytes) }
}

fn snapshot_source(id: &str) -> Type {
    Type::Snapshot(SnapshotSource { snapshot_id: id.to_owned() })
}

#[tokio::test]
async fn a_snapshot_is_taken_once_and_found_again() {
    let (driver, first) = with_snapshot().await;
    let shown = snapshot::of(&first);
    assert_eq!(
        (shown.snapshot_id.as_str(), shown.source_volume_id.as_str()),
        ("lunette-system/snap-1", "lunette-system/pvc-1")
    );
    assert_eq!((shown.size_bytes, shown.ready_to_use), (GI, true));
    assert!(shown.creation_time.is_some());
    let again = taken_of(&driver, &call("snap-1", &id(NAME).to_string())).await.expect("it is there");
    assert_eq!(again.metadata.uid, first.metadata.uid);
    created(&driver, "pvc-2").await;
    let other = taken_of(&driver, &call("snap-1", &id("pvc-2").to_string())).await;
    assert_eq!(code(other), Code::AlreadyExists);
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_is_refused_before_it_is_made() {
    let driver = driver();
    created(&driver, NAME).await;
    let of = id(NAME).to_string();
    for (call, want) in [
        (call("", &of), Code::InvalidArgument),
        (call("s", ""), Code::InvalidArgument),
        (call(&"n".repeat(129), &of), Code::InvalidArgument),
        (call("s", "none"), Code::NotFound),
        (call("s", "lunette-system/none"), Code::NotFound),
    ] {
        assert_eq!(code(taken_of(&driver, &call).await), want, "{call:?}");
    }
    let mut odd = call("s", &of);
    odd.parameters.insert("compress".to_owned(), "yes".to_owned());
    let refused = taken_of(&driver, &odd).await.expect_err("refused").to_string();
    assert!(refused.starts_with("parameter \"compress\" is not known"), "{refused}");
    driver.cluster.with(|state| state.takes_no_snapshots = true);
    let refused = taken_of(&driver, &call("s", &of)).await;
    let text = refused.as_ref().expect_err("refused").to_string();
    assert_eq!(code(refused), Code::FailedPrecondition);
    assert!(text.starts_with("LunPool fast takes no snapshots on node s:"), "{text}");
    assert!(driver.cluster.with(|state| state.snapshots.is_empty()));
}

#[tokio::test]
async fn a_snapshot_that_nobody_takes_is_waited_for_and_found_when_it_is_taken() {
    let driver = driver();
    created(&driver, NAME).await;
    driver.cluster.with(|state| state.agent_is_silent = true);
    let request = create_snapshot::Request::read(&call("s", &id(NAME).to_string())).expect("a request");
    let late = create_snapshot::create(&driver, &request, now()).await;
    assert_eq!(code(late), Code::DeadlineExceeded);
    let restored = create_with(&driver, &from(snapshot_source("lunette-system/s"), "early", GI)).await;
    assert_eq!(code(restored), Code::Unavailable, "it is not ready");
    driver.cluster.wake_agent();
    create_snapshot::create(&driver, &request, now()).await.expect("it is taken");
}

#[tokio::test]
async fn a_volume_is_made_from_a_snapshot_of_at_least_its_size() {
    let (driver, taken) = with_snapshot().await;
    let source = || snapshot_source(&snapshot::id(&taken).to_string());
    assert_eq!(code(create_with(&driver, &from(source(), "small", GI / 2)).await), Code::OutOfRange);
    let larger = create_with(&driver, &from(source(), "larger", 2 * GI)).await.expect("it can be made");
    assert_eq!(larger.spec.source, Some(LunSource { snapshot: Some("snap-1".to_owned()), ..LunSource::default() }));
    let shown = volume::of(&larger).content_source.and_then(|source| source.r#type);
    assert_eq!(shown, Some(source()));
    let any = create_with(&driver, &from(source(), "any", 0)).await.expect("it can be made");
    assert_eq!(volume::bytes(&any), 1 << 30, "as large as the snapshot");
    assert_eq!(code(create_with(&driver, &create_call("larger", 2 * GI)).await), Code::AlreadyExists);
    let none = create_with(&driver, &from(snapshot_source("lunette-system/none"), "none", GI)).await;
    assert_eq!(code(none), Code::NotFound);
    let elsewhere = create_with(&driver, &from(snapshot_source("prod/snap-1"), "theirs", GI)).await;
    assert_eq!(code(elsewhere), Code::PermissionDenied);
}

#[tokio::test]
async fn a_volume_is_made_from_another() {
    let driver = driver();
    created(&driver, NAME).await;
    let source = |name: &str| Type::Volume(VolumeSource { volume_id: id(name).to_string() });
    create_with(&driver, &from(source(NAME), "clone", GI)).await.expect("it can be made");
    let expected = LunSource { lun: Some(NAME.to_owned()), ..LunSource::default() };
    assert_eq!(stored(&driver, "clone").spec.source, Some(expected));
    assert_eq!(code(create_with(&driver, &from(source("none"), "other", GI)).await), Code::NotFound);
}

#[tokio::test]
async fn a_volume_begins_as_the_image_of_its_class_unless_its_claim_names_a_source() {
    let (driver, taken) = with_snapshot().await;
    let of_class = |mut call: csi::CreateVolumeRequest, image: &str| {
        call.parameters.insert("image".to_owned(), image.to_owned());
        call
    };
    let made = create_with(&driver, &of_class(create_call("vm", GI), "debian.raw")).await.expect("it can be made");
    assert_eq!(made.spec.source, Some(LunSource { image: Some("debian.raw".to_owned()), ..LunSource::default() }));
    assert_eq!(volume::bytes(&made), (3 << 30) + 512, "as large as the image, in whole blocks");
    assert_eq!(volume::of(&made).content_source, None);
    let again = create_with(&driver, &of_class(create_call("vm", GI), "debian.raw")).await.expect("it is there");
    assert_eq!(again.metadata.uid, made.metadata.uid);
    assert_eq!(code(create_with(&driver, &create_call("vm", GI)).await), Code::AlreadyExists);
    let none = create_with(&driver, &of_class(create_call("other", GI), "none.raw")).await;
    assert_eq!(code(none), Code::FailedPrecondition);
    let mut limited = of_class(create_call("limited", GI), "debian.raw");
    limited.capacity_range = Some(csi::CapacityRange { required_bytes: GI, limit_bytes: 2 * GI });
    assert_eq!(code(create_with(&driver, &limited).await), Code::OutOfRange);
    let restored = from(snapshot_source(&snapshot::id(&taken).to_string()), "restored", GI);
    let restored = create_with(&driver, &of_class(restored, "debian.raw")).await.expect("it can be made");
    assert_eq!(restored.spec.source.and_then(|source| source.snapshot).as_deref(), Some("snap-1"));
}

#[tokio::test]
async fn a_snapshot_outlives_its_volume_and_goes_once() {
    let (driver, taken) = with_snapshot().await;
    delete::delete(&driver, &id(NAME), soon()).await.expect("it goes");
    let found = list_snapshots::get(&driver, &snapshot::id(&taken).to_string()).await.expect("it stays");
    assert_eq!(found.metadata.uid, taken.metadata.uid);
    for _ in 0..2 {
        delete_snapshot::delete(&driver, &snapshot::id(&taken), soon()).await.expect("it goes");
    }
    let read = |id: &str| csi::DeleteSnapshotRequest { snapshot_id: id.to_owned(), ..Default::default() };
    assert_eq!(delete_snapshot::read(&read("no-id")).expect("it cannot be ours"), None);
    assert_eq!(code(delete_snapshot::read(&read(""))), Code::InvalidArgument);
    assert_eq!(code(list_snapshots::get(&driver, "lunette-system/snap-1").await), Code::NotFound);
}

#[tokio::test]
async fn snapshots_are_listed_by_page_by_volume_and_by_name() {
    let (driver, _) = with_snapshot().await;
    created(&driver, "pvc-2").await;
    for (name, of) in [("snap-2", NAME), ("snap-3", "pvc-2")] {
        taken_of(&driver, &call(name, &id(of).to_string())).await.expect("it can be taken");
    }
    let list = |call: csi::ListSnapshotsRequest| -> Result<(Vec<String>, String), ListError> {
        let (found, token) = list_snapshots::list(&driver, &list_snapshots::Request::read(&call)?)?;
        Ok((found.iter().map(|s| snapshot::id(s).name).collect(), token))
    };
    let request = csi::ListSnapshotsRequest::default;
    let (all, token) = list(request()).expect("a list");
    assert_eq!((all.len(), token.as_str()), (3, ""));
    let of = |id: VolumeId| csi::ListSnapshotsRequest { source_volume_id: id.to_string(), ..request() };
    assert_eq!(list(of(id(NAME))).expect("a list").0, ["snap-1", "snap-2"]);
    let only = |id: &str| csi::ListSnapshotsRequest { snapshot_id: id.to_owned(), ..request() };
    assert_eq!(list(only("lunette-system/snap-3")).expect("a list").0, ["snap-3"]);
    assert_eq!(list(only("none")).expect("an empty list").0, [""; 0]);
    let (first, token) = list(csi::ListSnapshotsRequest { max_entries: 2, ..request() }).expect("a page");
    assert_eq!(first, ["snap-1", "snap-2"]);
    let (rest, end) = list(csi::ListSnapshotsRequest { starting_token: token, ..request() }).expect("a page");
    assert_eq!((rest, end.as_str()), (vec!["snap-3".to_owned()], ""));
    assert!(matches!(Page::read(0, "?"), Err(ListError::Token(_))));
}

fn group_call(name: &str, of: &[&str]) -> csi::CreateVolumeGroupSnapshotRequest {
    let source_volume_ids = of.iter().map(|name| id(name).to_string()).collect();
    csi::CreateVolumeGroupSnapshotRequest { name: name.to_owned(), source_volume_ids, ..Default::default() }
}

#[tokio::test]
async fn a_group_is_of_all_its_volumes_and_found_again() {
    let driver = driver();
    created(&driver, NAME).await;
    created(&driver, "pvc-2").await;
    let both = group_call("nightly", &[NAME, "pvc-2"]);
    let made = group::create(&driver, &both, soon()).await.expect("it can be taken");
    assert_eq!((made.group_snapshot_id.as_str(), made.ready_to_use), ("lunette-system/nightly", true));
    assert!(made.creation_time.is_some());
    let of: Vec<&str> = made.snapshots.iter().map(|s| s.source_volume_id.as_str()).collect();
    assert_eq!(of, ["lunette-system/pvc-1", "lunette-system/pvc-2"]);
    assert!(made.snapshots.iter().all(|s| s.group_snapshot_id == made.group_snapshot_id));
    let groups: Vec<_> = driver.cluster.with(|state| state.snapshots.values().map(|s| s.spec.group.clone()).collect());
    assert!(groups.iter().flatten().all(|group| (group.name.as_str(), group.members) == ("nightly", 2)), "{groups:?}");
    assert_eq!(group::create(&driver, &both, soon()).await.expect("it is there"), made);
    assert_eq!(code(group::create(&driver, &group_call("nightly", &[NAME]), soon()).await), Code::AlreadyExists);
    let get =
        |group: &str| csi::GetVolumeGroupSnapshotRequest { group_snapshot_id: group.to_owned(), ..Default::default() };
    assert_eq!(group::get(&driver, &get("lunette-system/nightly")).expect("it is there"), made);
    assert_eq!(code(group::get(&driver, &get("lunette-system/none"))), Code::NotFound);
}

#[tokio::test]
async fn a_group_goes_with_all_its_snapshots_and_no_other() {
    let (driver, alone) = with_snapshot().await;
    let made = group::create(&driver, &group_call("nightly", &[NAME]), soon()).await.expect("it can be taken");
    let mut call = csi::DeleteVolumeGroupSnapshotRequest {
        group_snapshot_id: made.group_snapshot_id.clone(),
        snapshot_ids: vec![snapshot::id(&alone).to_string()],
        ..Default::default()
    };
    assert_eq!(code(group::delete(&driver, &call, soon()).await), Code::InvalidArgument);
    call.snapshot_ids = made.snapshots.iter().map(|s| s.snapshot_id.clone()).collect();
    for _ in 0..2 {
        group::delete(&driver, &call, soon()).await.expect("it goes");
    }
    assert_eq!(driver.cluster.with(|state| state.snapshots.len()), 1, "the one that is alone");
}

#[tokio::test]
async fn a_group_that_cannot_be_is_refused_before_anything_is_made() {
    let driver = driver();
    created(&driver, NAME).await;
    for (call, want) in [
        (group_call("", &[NAME]), Code::InvalidArgument),
        (group_call("g", &[]), Code::InvalidArgument),
        (group_call("g", &[NAME, NAME]), Code::InvalidArgument),
        (group_call("g", &[NAME, "none"]), Code::NotFound),
    ] {
        assert_eq!(code(group::create(&driver, &call, soon()).await), want, "{call:?}");
    }
    assert!(driver.cluster.with(|state| state.snapshots.is_empty()));
}
