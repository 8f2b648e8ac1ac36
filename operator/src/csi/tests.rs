//! The calls against a cluster in memory: what they leave behind, called once, twice, at once and cut off.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt;
use lunette_api::csi::VolumeId;
use lunette_api::{CLAIM_NAMESPACE_LABEL, EPOCH_ANNOTATION, Lun, PREFERRED_NODE_ANNOTATION, Qos, WriteCache};
use lunette_proto::csi;
use lunette_proto::csi::volume_capability::AccessType;
use lunette_proto::csi::volume_capability::access_mode::Mode;
use tonic::Code;

use super::create::CreateError;
use super::deadline::Deadline;
use super::failure::Failure;
use super::memory::Memory;
use super::publish::PublishError;
use super::{Driver, create, delete, expand, list, modify, publish, unpublish, validate};

pub(super) const GI: i64 = 1 << 30;
pub(super) const NAME: &str = "pvc-1";

pub(super) fn driver() -> Driver<Memory> {
    Driver::new(Memory::new(), "lunette-system")
}

pub(super) fn id(name: &str) -> VolumeId {
    format!("lunette-system/{name}").parse().expect("an id")
}

/// Long enough for what happens at once.
pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// For what does not happen.
pub(super) fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}

pub(super) fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn capability(mode: Mode) -> csi::VolumeCapability {
    csi::VolumeCapability {
        access_mode: Some(csi::volume_capability::AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Block(csi::volume_capability::BlockVolume {})),
    }
}

pub(super) fn create_call(name: &str, bytes: i64) -> csi::CreateVolumeRequest {
    csi::CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(csi::CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
        volume_capabilities: vec![capability(Mode::SingleNodeWriter)],
        parameters: map(&[("pool", "fast"), ("csi.storage.k8s.io/pvc/namespace", "prod")]),
        ..csi::CreateVolumeRequest::default()
    }
}

pub(super) async fn create_with(driver: &Driver<Memory>, call: &csi::CreateVolumeRequest) -> Result<Lun, CreateError> {
    create::create(driver, &create::Request::read(call)?, soon()).await
}

pub(super) async fn created(driver: &Driver<Memory>, name: &str) -> Lun {
    create_with(driver, &create_call(name, GI)).await.expect("it can be made")
}

async fn published(
    driver: &Driver<Memory>,
    node: &str,
    mode: Mode,
    read_only: bool,
) -> Result<Option<String>, PublishError> {
    let call = csi::ControllerPublishVolumeRequest {
        volume_id: id(NAME).to_string(),
        node_id: node.to_owned(),
        volume_capability: Some(capability(mode)),
        readonly: read_only,
        ..csi::ControllerPublishVolumeRequest::default()
    };
    publish::publish(driver, &publish::Request::read(&call)?, soon()).await.map(|context| context.chap_secret)
}

fn from(node: &str) -> unpublish::Request {
    unpublish::Request { id: id(NAME), node: Some(node).filter(|node| !node.is_empty()).map(str::to_owned) }
}

pub(super) fn stored(driver: &Driver<Memory>, name: &str) -> Lun {
    driver.cluster.with(|state| state.luns.get(&id(name)).cloned()).expect("it is there")
}

pub(super) fn code<E: Failure>(result: Result<impl Sized, E>) -> Code {
    result.err().map_or(Code::Ok, |error| error.kind().code())
}

#[tokio::test]
async fn a_volume_is_a_lun_that_says_for_whom_it_is() {
    let driver = driver();
    let mut call = create_call(NAME, GI + 1);
    call.parameters.extend(map(&[("csi.storage.k8s.io/pvc/name", "data"), ("mkfsOptions", "-K"), ("chap", "false")]));
    call.mutable_parameters = map(&[("writeCache", "WriteThrough")]);
    let at = csi::Topology { segments: map(&[("topology.lunette.io/node", "b")]) };
    call.accessibility_requirements = Some(csi::TopologyRequirement { requisite: vec![], preferred: vec![at] });
    let lun = create_with(&driver, &call).await.expect("it can be made");
    assert_eq!(lun.spec.size.bytes(), Ok((1 << 30) + 512));
    assert_eq!(lun.spec.write_cache, WriteCache::WriteThrough);
    assert_eq!(
        lun.metadata.labels.as_ref().and_then(|l| l.get(CLAIM_NAMESPACE_LABEL)).map(String::as_str),
        Some("prod")
    );
    let annotations = lun.metadata.annotations.clone().unwrap_or_default();
    for (key, value) in [
        ("csi.lunette.io/volume-name", NAME),
        ("csi.lunette.io/pvc-name", "data"),
        ("csi.lunette.io/mkfs-options", "-K"),
        ("csi.lunette.io/chap", "false"),
        (PREFERRED_NODE_ANNOTATION, "b"),
    ] {
        assert_eq!(annotations.get(key).map(String::as_str), Some(value), "{key}");
    }
    let context = super::volume::context(&lun);
    assert_eq!(context, map(&[("uid", "uid-1"), ("mkfsOptions", "-K")]));
}

#[tokio::test]
async fn the_same_volume_asked_for_again_is_found_and_another_of_its_name_is_refused() {
    let driver = driver();
    let first = created(&driver, NAME).await;
    assert_eq!(created(&driver, NAME).await.metadata.uid, first.metadata.uid);
    let smaller = create_call(NAME, GI / 2);
    assert_eq!(create_with(&driver, &smaller).await.expect("it is large enough").metadata.uid, first.metadata.uid);
    assert_eq!(code(create_with(&driver, &create_call(NAME, 2 * GI)).await), Code::AlreadyExists);
    let mut other = create_call(NAME, GI);
    other.parameters.insert("blockSize".to_owned(), "4096".to_owned());
    assert_eq!(code(create_with(&driver, &other).await), Code::AlreadyExists);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_made() {
    let driver = driver();
    let change = |change: fn(&mut csi::CreateVolumeRequest)| {
        let mut call = create_call(NAME, GI);
        change(&mut call);
        call
    };
    for (call, want) in [
        (change(|c| c.name.clear()), Code::InvalidArgument),
        (change(|c| c.name = "n".repeat(129)), Code::InvalidArgument),
        (change(|c| c.volume_capabilities.clear()), Code::InvalidArgument),
        (change(|c| drop(c.parameters.remove("pool"))), Code::InvalidArgument),
        (change(|c| drop(c.parameters.insert("pooll".to_owned(), "x".to_owned()))), Code::InvalidArgument),
        (change(|c| drop(c.parameters.insert("pool".to_owned(), "none".to_owned()))), Code::FailedPrecondition),
        (change(|c| drop(c.mutable_parameters.insert("pool".to_owned(), "fast".to_owned()))), Code::InvalidArgument),
        (create_call(NAME, 101 * GI), Code::OutOfRange),
        (create_call(NAME, -1), Code::InvalidArgument),
    ] {
        assert_eq!(code(create_with(&driver, &call).await), want, "{call:?}");
    }
    let source = csi::volume_content_source::Type::Volume(csi::volume_content_source::VolumeSource::default());
    let mut clone = create_call(NAME, GI);
    clone.volume_content_source = Some(csi::VolumeContentSource { r#type: Some(source) });
    assert_eq!(code(create_with(&driver, &clone).await), Code::NotFound);
    clone.volume_content_source = Some(csi::VolumeContentSource { r#type: None });
    assert_eq!(code(create_with(&driver, &clone).await), Code::InvalidArgument);
    assert!(driver.cluster.with(|state| state.luns.is_empty()));
}

#[tokio::test]
async fn a_pool_for_certain_namespaces_serves_claims_of_those_only() {
    let driver = driver();
    driver.cluster.with(|state| state.pool_namespaces = vec!["prod".to_owned()]);
    assert_eq!(code(create_with(&driver, &create_call(NAME, GI)).await), Code::PermissionDenied);
    driver.cluster.with(|state| state.pool_namespaces.push("lunette-system".to_owned()));
    let mut other = create_call(NAME, GI);
    other.parameters.insert("csi.storage.k8s.io/pvc/namespace".to_owned(), "test".to_owned());
    assert_eq!(code(create_with(&driver, &other).await), Code::PermissionDenied);
    other.parameters.remove("csi.storage.k8s.io/pvc/namespace");
    assert_eq!(code(create_with(&driver, &other).await), Code::FailedPrecondition);
    assert_eq!(code(create_with(&driver, &create_call(NAME, GI)).await), Code::Ok);
}

#[tokio::test]
async fn a_second_call_for_a_volume_is_told_to_wait_and_the_first_ends_in_time() {
    let driver = driver();
    driver.cluster.with(|state| state.agent_is_silent = true);
    let request = create::Request::read(&create_call(NAME, GI)).expect("a request");
    let mut first = Box::pin(create::create(&driver, &request, Deadline::after(Duration::from_millis(200))));
    assert!((&mut first).now_or_never().is_none(), "it waits for the agent");
    assert_eq!(code(create_with(&driver, &create_call(NAME, GI)).await), Code::Aborted);
    let late = first.await;
    let message = late.as_ref().expect_err("nobody serves it").to_string();
    assert_eq!(
        (code(late), message.as_str()),
        (
            Code::DeadlineExceeded,
            "Lun lunette-system/pvc-1 is there and not served yet: no node was chosen yet: is the operator running?"
        )
    );
    // Nothing is left of the first call but its Lun.
    driver.cluster.wake_agent();
    assert_eq!(created(&driver, NAME).await.metadata.uid.as_deref(), Some("uid-1"));
}

#[tokio::test]
async fn a_call_that_its_caller_gave_up_leaves_no_turn_behind() {
    let driver = driver();
    driver.cluster.with(|state| state.agent_is_silent = true);
    let request = create::Request::read(&create_call(NAME, GI)).expect("a request");
    assert!(create::create(&driver, &request, soon()).now_or_never().is_none());
    driver.cluster.wake_agent();
    created(&driver, NAME).await;
}

#[tokio::test]
async fn a_deleted_volume_is_gone_when_the_call_returns_and_deleting_again_is_no_error() {
    let driver = driver();
    created(&driver, NAME).await;
    driver.cluster.with(|state| state.agent_is_silent = true);
    assert_eq!(code(delete::delete(&driver, &id(NAME), now()).await), Code::DeadlineExceeded);
    assert_eq!(code(create_with(&driver, &create_call(NAME, GI)).await), Code::Aborted);
    driver.cluster.wake_agent();
    assert_eq!(code(delete::delete(&driver, &id(NAME), soon()).await), Code::Ok);
    let unknown = csi::DeleteVolumeRequest { volume_id: "reallyfakevolumeid".to_owned(), ..Default::default() };
    assert!(delete::read(&unknown).expect("no error").is_none());
}

#[tokio::test]
async fn an_attached_volume_is_not_deleted() {
    let driver = driver();
    created(&driver, NAME).await;
    published(&driver, "b", Mode::SingleNodeWriter, false).await.expect("it can be attached");
    assert_eq!(code(delete::delete(&driver, &id(NAME), soon()).await), Code::FailedPrecondition);
    unpublish::unpublish(&driver, &from("b"), soon()).await.expect("it can be detached");
    delete::delete(&driver, &id(NAME), soon()).await.expect("it can be deleted");
}

#[tokio::test]
async fn each_attachment_has_a_password_of_its_own_which_goes_with_it() {
    let driver = driver();
    created(&driver, NAME).await;
    let secrets = || driver.cluster.with(|state| state.secrets.clone());
    let name = published(&driver, "a", Mode::MultiNodeMultiWriter, false).await.expect("attached").expect("a Secret");
    let first = secrets();
    assert_eq!(first.keys().collect::<Vec<_>>(), [&name]);
    // The same again is the same: whoever logs in meanwhile is not shut out.
    published(&driver, "a", Mode::MultiNodeMultiWriter, false).await.expect("attached");
    assert_eq!(secrets(), first);
    published(&driver, "b", Mode::MultiNodeMultiWriter, false).await.expect("attached");
    let both = secrets();
    assert_eq!((both.len(), both[&name] == first[&name]), (2, true));
    unpublish::unpublish(&driver, &from("a"), soon()).await.expect("detached");
    assert!(!secrets().contains_key(&name) && secrets().len() == 1);
    published(&driver, "a", Mode::MultiNodeMultiWriter, false).await.expect("attached");
    assert_ne!(secrets()[&name], first[&name]);
}

#[tokio::test]
async fn a_volume_for_one_node_is_not_given_to_two() {
    let driver = driver();
    created(&driver, NAME).await;
    published(&driver, "a", Mode::SingleNodeWriter, false).await.expect("attached");
    let refused = published(&driver, "b", Mode::SingleNodeWriter, false).await;
    assert_eq!(
        refused.as_ref().expect_err("a has it").to_string(),
        "volume lunette-system/pvc-1 is for one node at a time, and attached to a: detach it there first"
    );
    assert_eq!(code(refused), Code::FailedPrecondition);
    assert_eq!(code(published(&driver, "a", Mode::SingleNodeWriter, true).await), Code::AlreadyExists);
    assert_eq!(code(published(&driver, "b", Mode::MultiNodeReaderOnly, false).await), Code::Ok);
    assert!(stored(&driver, NAME).spec.initiators.iter().any(|entry| entry.read_only));
}

#[tokio::test]
async fn who_or_what_does_not_exist_is_not_attached() {
    let driver = driver();
    assert_eq!(code(published(&driver, "a", Mode::SingleNodeWriter, false).await), Code::NotFound);
    created(&driver, NAME).await;
    assert_eq!(code(published(&driver, "some-node", Mode::SingleNodeWriter, false).await), Code::NotFound);
    let another = publish::Request {
        id: id(NAME),
        node: "a".to_owned(),
        usage: super::parse::Use { mode: Mode::SingleNodeWriter, block: true },
        read_only: false,
        uid: Some("uid-of-a-lun-that-is-gone".to_owned()),
    };
    assert_eq!(code(publish::publish(&driver, &another, soon()).await), Code::NotFound);
}

#[tokio::test]
async fn a_node_has_lost_its_access_when_the_agent_says_so_and_not_before() {
    let driver = driver();
    created(&driver, NAME).await;
    published(&driver, "a", Mode::SingleNodeWriter, false).await.expect("attached");
    driver.cluster.with(|state| state.agent_is_silent = true);
    for _ in 0..2 {
        assert_eq!(code(unpublish::unpublish(&driver, &from("a"), now()).await), Code::DeadlineExceeded);
    }
    let lun = stored(&driver, NAME);
    assert!(lun.spec.initiators.is_empty());
    let epoch = lun.metadata.annotations.as_ref().and_then(|a| a.get(EPOCH_ANNOTATION)).map(String::as_str);
    assert_eq!(epoch, Some("2"));
    assert_eq!(driver.cluster.with(|state| state.secrets.len()), 1, "the agent may still need it");
    driver.cluster.wake_agent();
    for _ in 0..2 {
        unpublish::unpublish(&driver, &from("a"), soon()).await.expect("detached");
    }
    assert_eq!(driver.cluster.with(|state| state.secrets.len()), 0);
}

#[tokio::test]
async fn all_nodes_are_detached_where_none_is_named_and_clients_outside_stay() {
    let driver = driver();
    created(&driver, NAME).await;
    driver.cluster.with(|state| {
        let outside = serde_json::json!({"iqn": "iqn.2026-01.io.example:outside"});
        let lun = state.luns.get_mut(&id(NAME)).expect("it is there");
        lun.spec.initiators.push(serde_json::from_value(outside).expect("an initiator"));
    });
    for node in ["a", "b"] {
        published(&driver, node, Mode::MultiNodeMultiWriter, false).await.expect("attached");
    }
    let on = |all: Vec<list::Published>| all.into_iter().map(|(_, nodes)| nodes).collect::<Vec<_>>();
    let every = list::Page { most: None, after: None };
    assert_eq!(on(list::list(&driver, &every).expect("a list").0), [["a", "b"]]);
    unpublish::unpublish(&driver, &from(""), soon()).await.expect("detached");
    assert_eq!(stored(&driver, NAME).spec.initiators.len(), 1);
    assert_eq!(list::get(&driver, &id(NAME).to_string()).await.expect("it is there").1, Vec::<String>::new());
}

#[tokio::test]
async fn every_call_cut_off_at_any_write_can_be_made_again() {
    for writes in 0..6 {
        let driver = driver();
        let cut = |after| driver.cluster.with(|state| state.fail_after = after);
        cut(Some(writes));
        let _ = create_with(&driver, &create_call(NAME, GI)).await;
        let _ = published(&driver, "a", Mode::SingleNodeWriter, false).await;
        let _ = unpublish::unpublish(&driver, &from("a"), soon()).await;
        let _ = delete::delete(&driver, &id(NAME), soon()).await;
        cut(None);
        created(&driver, NAME).await;
        published(&driver, "a", Mode::SingleNodeWriter, false).await.expect("attached");
        unpublish::unpublish(&driver, &from("a"), soon()).await.expect("detached");
        delete::delete(&driver, &id(NAME), soon()).await.expect("deleted");
        assert!(driver.cluster.with(|state| state.luns.is_empty() && state.secrets.is_empty()), "cut after {writes}");
    }
}

#[tokio::test]
async fn a_volume_grows_and_never_shrinks() {
    let driver = driver();
    created(&driver, NAME).await;
    let to = |required_bytes, limit_bytes| {
        let range = csi::CapacityRange { required_bytes, limit_bytes };
        let volume_id = id(NAME).to_string();
        let call = csi::ControllerExpandVolumeRequest { volume_id, capacity_range: Some(range), ..Default::default() };
        expand::Request::read(&call).expect("a request")
    };
    let grown = expand::expand(&driver, &to(2 * GI + 1, 0), soon()).await.expect("it grows");
    assert_eq!(super::volume::bytes(&grown), (2 << 30) + 512);
    let same = expand::expand(&driver, &to(GI, 0), soon()).await.expect("it is large enough");
    assert_eq!(super::volume::bytes(&same), (2 << 30) + 512);
    assert_eq!(code(expand::expand(&driver, &to(0, GI), soon()).await), Code::OutOfRange);
    assert_eq!(code(expand::expand(&driver, &to(101 * GI, 0), soon()).await), Code::OutOfRange);
}

#[tokio::test]
async fn a_volume_changes_as_its_attributes_class_says() {
    let driver = driver();
    created(&driver, NAME).await;
    let call = |volume: &str, key: &str, value: &str| csi::ControllerModifyVolumeRequest {
        volume_id: volume.to_owned(),
        mutable_parameters: map(&[(key, value)]),
        ..Default::default()
    };
    let request = modify::Request::read(&call(&id(NAME).to_string(), "writeCache", "WriteThrough")).expect("a request");
    modify::modify(&driver, &request, soon()).await.expect("it changes");
    assert_eq!(stored(&driver, NAME).spec.write_cache, WriteCache::WriteThrough);
    assert_eq!(code(modify::Request::read(&call(&id(NAME).to_string(), "blockSize", "512"))), Code::InvalidArgument);
    assert_eq!(code(modify::Request::read(&call("", "writeCache", "WriteBack"))), Code::InvalidArgument);
    assert_eq!(code(modify::Request::read(&call("none", "writeCache", "WriteBack"))), Code::NotFound);
}

#[tokio::test]
async fn a_volume_is_confirmed_in_the_ways_in_which_it_can_be_used() {
    let driver = driver();
    created(&driver, NAME).await;
    let mut call = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: id(NAME).to_string(),
        volume_context: map(&[("uid", "uid-1")]),
        volume_capabilities: vec![capability(Mode::MultiNodeMultiWriter)],
        parameters: map(&[("pool", "fast")]),
        ..Default::default()
    };
    let answer = validate::validate(&driver, &call).await.expect("an answer");
    assert_eq!(answer.confirmed.map(|c| c.volume_capabilities), Some(call.volume_capabilities.clone()));
    call.parameters = map(&[("pool", "slow")]);
    let answer = validate::validate(&driver, &call).await.expect("an answer");
    assert_eq!((answer.confirmed, answer.message.as_str()), (None, "the volume's pool is fast"));
    call.volume_id = "lunette-system/none".to_owned();
    assert_eq!(code(validate::validate(&driver, &call).await), Code::NotFound);
}

#[tokio::test]
async fn others_who_write_the_lun_meanwhile_are_no_obstacle() {
    let driver = driver();
    created(&driver, NAME).await;
    driver.cluster.with(|state| state.overtaken = 3);
    published(&driver, "a", Mode::SingleNodeWriter, false).await.expect("attached");
    driver.cluster.with(|state| state.overtaken = 3);
    unpublish::unpublish(&driver, &from("a"), soon()).await.expect("detached");
    assert!(stored(&driver, NAME).spec.initiators.is_empty());
    driver.cluster.with(|state| state.overtaken = 1000);
    assert_eq!(code(published(&driver, "a", Mode::SingleNodeWriter, false).await), Code::Aborted);
}

#[tokio::test]
async fn the_node_that_serves_a_volume_needs_neither_password_nor_initiator() {
    let driver = driver();
    created(&driver, NAME).await;
    assert_eq!(published(&driver, "s", Mode::SingleNodeWriter, false).await.expect("attached"), None);
    assert_eq!(driver.cluster.with(|state| state.secrets.len()), 0);
    assert_eq!(super::initiator::nodes(&stored(&driver, NAME)), ["s"]);
}

#[tokio::test]
async fn a_session_that_is_still_there_is_access() {
    let driver = driver();
    created(&driver, NAME).await;
    for (node, initiator) in [("a", "iqn.2026-01.a:a"), ("s", "s")] {
        published(&driver, node, Mode::SingleNodeWriter, false).await.expect("attached");
        let with_session = || {
            driver.cluster.with(|state| {
                state.agent_is_silent = true;
                let session = lunette_api::Session { initiator: initiator.to_owned(), ..Default::default() };
                let lun = state.luns.get_mut(&id(NAME)).expect("it is there");
                let status = lun.status.as_mut().expect("a status");
                status.sessions = vec![session];
                status.conditions.iter_mut().for_each(|c| c.observed_generation = Some(99));
            });
        };
        with_session();
        assert_eq!(code(unpublish::unpublish(&driver, &from(node), now()).await), Code::DeadlineExceeded, "{node}");
        driver.cluster.wake_agent();
        unpublish::unpublish(&driver, &from(node), soon()).await.expect("detached");
    }
}

#[tokio::test]
async fn a_write_cache_is_not_turned_on_behind_the_back_of_who_has_the_volume() {
    let driver = driver();
    created(&driver, NAME).await;
    let to = |value: &str| {
        let call = csi::ControllerModifyVolumeRequest {
            volume_id: id(NAME).to_string(),
            mutable_parameters: map(&[("writeCache", value)]),
            ..Default::default()
        };
        modify::Request::read(&call).expect("a request")
    };
    published(&driver, "a", Mode::SingleNodeWriter, false).await.expect("attached");
    modify::modify(&driver, &to("WriteThrough"), soon()).await.expect("it is always safe");
    assert_eq!(code(modify::modify(&driver, &to("WriteBack"), soon()).await), Code::FailedPrecondition);
    unpublish::unpublish(&driver, &from("a"), soon()).await.expect("detached");
    modify::modify(&driver, &to("WriteBack"), soon()).await.expect("nobody relies on it");
}

#[tokio::test]
async fn limits_are_the_storage_classs_until_an_attributes_class_changes_them() {
    let driver = driver();
    let mut call = create_call(NAME, GI);
    call.parameters.extend(map(&[("iops", "500"), ("burstSeconds", "10")]));
    create_with(&driver, &call).await.expect("it can be made");
    let limited = Qos { iops: Some(500), burst_seconds: 10, ..Qos::default() };
    assert_eq!(stored(&driver, NAME).spec.qos, Some(limited.clone()));
    let change = |given: &[(&str, &str)]| {
        let mutable_parameters = map(given);
        let call = csi::ControllerModifyVolumeRequest {
            volume_id: id(NAME).to_string(),
            mutable_parameters,
            ..Default::default()
        };
        modify::Request::read(&call).expect("a request")
    };
    modify::modify(&driver, &change(&[("iops", "none"), ("readIops", "60")]), soon()).await.expect("it changes");
    let by_kind = Qos { iops: None, read_iops: Some(60), ..limited };
    assert_eq!(stored(&driver, NAME).spec.qos, Some(by_kind.clone()));
    assert_eq!(code(modify::modify(&driver, &change(&[("iops", "90")]), soon()).await), Code::InvalidArgument);
    assert_eq!(stored(&driver, NAME).spec.qos, Some(by_kind));
    let generation = stored(&driver, NAME).metadata.generation;
    modify::modify(&driver, &change(&[("readIops", "60")]), soon()).await.expect("it is so already");
    assert_eq!(stored(&driver, NAME).metadata.generation, generation, "nothing is written");
    modify::modify(&driver, &change(&[("readIops", "none")]), soon()).await.expect("the last limit goes");
    assert_eq!(stored(&driver, NAME).spec.qos, None);
}
