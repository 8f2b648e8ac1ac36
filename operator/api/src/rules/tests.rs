//! Every rule, evaluated locally: what it lets pass, and the words with which it refuses.

#![allow(clippy::needless_pass_by_value)]

use serde_json::{Value, json};

use super::*;
use crate::{Lun, LunPool};

fn merged(mut base: Value, change: &Value) -> Value {
    let (Some(into), Some(from)) = (base.as_object_mut(), change.as_object()) else { return change.clone() };
    for (key, value) in from {
        if value.is_null() {
            into.remove(key);
        } else {
            let old = into.remove(key).unwrap_or(Value::Null);
            into.insert(key.clone(), merged(old, value));
        }
    }
    base
}

fn lun(change: &Value) -> Lun {
    let base = json!({
        "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "db", "namespace": "prod"},
        "spec": {"pool": "fast", "size": "10Gi"},
    });
    serde_json::from_value(merged(base, change)).expect("a Lun")
}

fn pool(change: &Value) -> LunPool {
    let base = json!({
        "apiVersion": "lunette.io/v1alpha1", "kind": "LunPool", "metadata": {"name": "fast"},
        "spec": {"directory": {"path": "/var/lib/lunette/pool"}},
    });
    serde_json::from_value(merged(base, change)).expect("a LunPool")
}

fn said(result: Result<(), kube::core::cel::ValidationErrors>) -> Vec<String> {
    result.err().map(|errors| errors.iter().map(|e| e.message.clone()).collect()).unwrap_or_default()
}

/// Asserts that creating a Lun with these changes is refused with exactly that rule's words.
fn refused(change: Value, rule: Rule) {
    assert_eq!(said(lun(&change).validate_cel()), [rule.1], "{change}");
}

fn allowed(change: Value) {
    assert_eq!(said(lun(&change).validate_cel()), [""; 0], "{change}");
}

fn update_refused(old: Value, new: Value, rule: Rule) {
    assert_eq!(said(lun(&new).validate_cel_update(&lun(&old))), [rule.1], "{old} -> {new}");
}

fn update_allowed(old: Value, new: Value) {
    assert_eq!(said(lun(&new).validate_cel_update(&lun(&old))), [""; 0], "{old} -> {new}");
}

fn sized(size: impl Into<Value>) -> Value {
    json!({"spec": {"size": size.into()}})
}

fn initiators(iqns: &[&str]) -> Value {
    let list: Vec<Value> = iqns.iter().map(|iqn| json!({"iqn": iqn})).collect();
    json!({"spec": {"initiators": list}})
}

#[test]
fn a_size_is_a_positive_quantity_in_whole_blocks() {
    for size in ["10Gi", "1.5Gi", "512", "1024k", "7Ei", "+1Mi"] {
        allowed(sized(size));
    }
    allowed(sized(4096));
    for size in ["", "ten", "10GB", "1e9", "10 Gi", "1..5Gi"] {
        refused(sized(size), SIZE_SYNTAX);
    }
    refused(sized(0), SIZE_POSITIVE);
    refused(sized("0"), SIZE_POSITIVE);
    refused(sized("-1Gi"), SIZE_POSITIVE);
    refused(sized(-512), SIZE_POSITIVE);
    refused(sized("8Ei"), SIZE_BOUNDED);
    refused(sized("0.3"), SIZE_BOUNDED);
    refused(sized("513"), SIZE_IN_BLOCKS);
    refused(json!({"spec": {"size": "512", "blockSize": 4096}}), SIZE_IN_BLOCKS);
}

#[test]
fn a_size_only_grows() {
    update_allowed(sized("10Gi"), sized("10240Mi"));
    update_allowed(sized("10Gi"), sized("11Gi"));
    update_refused(sized("10Gi"), sized("9Gi"), SIZE_GROWS);
    update_refused(sized("10Gi"), sized(512), SIZE_GROWS);
}

#[test]
fn what_is_laid_out_on_the_device_stays() {
    allowed(json!({"spec": {"blockSize": 4096}}));
    refused(json!({"spec": {"blockSize": 1024}}), BLOCK_SIZE);
    update_refused(json!({}), json!({"spec": {"blockSize": 4096}}), BLOCK_SIZE_STAYS);
    update_refused(json!({}), json!({"spec": {"pool": "slow"}}), POOL_STAYS);
}

#[test]
fn a_pool_and_a_node_are_named_as_kubernetes_names_them() {
    refused(json!({"spec": {"pool": "/etc/shadow"}}), POOL_NAME);
    refused(json!({"spec": {"pool": ""}}), POOL_NAME);
    refused(json!({"spec": {"nodeName": "../a"}}), NODE_NAME);
    allowed(json!({"spec": {"nodeName": "node-1.example"}}));
}

#[test]
fn a_pin_stays_and_moves_nothing() {
    let pinned = |node: &str| json!({"spec": {"nodeName": node}});
    let served = json!({"status": {"node": "a", "epoch": 1}});
    update_allowed(json!({}), pinned("a"));
    update_allowed(served.clone(), merged(pinned("a"), &served));
    update_refused(pinned("a"), pinned("b"), PIN_STAYS);
    update_refused(pinned("a"), json!({}), PIN_STAYS);
    update_refused(served.clone(), merged(pinned("b"), &served), PIN_MATCHES_NODE);
}

#[test]
fn a_cache_comes_to_nobody_who_was_told_of_none() {
    let cache = |how: &str, sessions: u32| json!({"spec": {"writeCache": how}, "status": {"sessionCount": sessions}});
    update_refused(cache("WriteThrough", 1), cache("WriteBack", 1), CACHE_IS_ANNOUNCED);
    update_allowed(cache("WriteThrough", 0), cache("WriteBack", 0));
    update_allowed(cache("WriteBack", 1), cache("WriteThrough", 1));
}

#[test]
fn an_initiator_has_an_iscsi_name() {
    let longest = format!("iqn.2026-01.io.example:{}", "a".repeat(200));
    for name in [
        "iqn.2026-01.io.example:client",
        "iqn.1994-05.com.redhat:3f4d",
        "iqn.2026-01.io.example",
        "eui.02004567a425678d",
        "naa.52004567ba64678d",
        "naa.62004567ba64678d0123456789abcdef",
        &longest,
    ] {
        allowed(initiators(&[name]));
    }
    for name in [
        "",
        "client",
        "iqn.2026-13.io.example:client",
        "iqn.2026-01.io.example:Client",
        "iqn.2026-01.io.example:a b",
        "iqn.2026-01.io.example:a_b",
        "iqn.2026-01.io.example:a/../b",
        "iqn.2026-01.io.example:a\n",
        "eui.0200",
        "naa.g2004567ba64678d",
    ] {
        refused(initiators(&[name]), INITIATOR_NAME);
    }
}

#[test]
fn an_initiator_is_listed_once() {
    allowed(initiators(&["iqn.2026-01.io.example:a", "iqn.2026-01.io.example:b"]));
    refused(initiators(&["iqn.2026-01.io.example:a", "iqn.2026-01.io.example:a"]), INITIATORS_DIFFER);
}

#[test]
fn an_initiator_is_a_client_or_a_node() {
    let listed = |entries: Value| json!({"spec": {"initiators": entries}});
    let client = "iqn.2026-01.io.example:a";
    allowed(listed(json!([{"nodeName": "node-1.example"}])));
    allowed(listed(json!([{"nodeName": "node-1"}, {"nodeName": "node-2", "readOnly": true}, {"iqn": client}])));
    refused(listed(json!([{"nodeName": "node-1", "iqn": client}])), ONE_NAME);
    refused(listed(json!([{"readOnly": true}])), ONE_NAME);
    refused(listed(json!([{"nodeName": "node-1"}, {"nodeName": "node-1"}])), INITIATOR_NODES_DIFFER);
    for name in ["", "Node", "../a", "a b", "-a"] {
        refused(listed(json!([{"nodeName": name}])), INITIATOR_NODE);
    }
}

#[test]
fn a_secret_is_named_not_reached_by_a_path() {
    let with = |name: &str| json!({"spec": {"initiators": [{"iqn": "iqn.2026-01.io.example:a", "chapSecret": {"name": name}}]}});
    allowed(with("client-chap"));
    refused(with("../other/secret"), SECRET_NAME);
    refused(with(""), SECRET_NAME);
}

#[test]
fn a_lun_moves_only_with_a_higher_epoch() {
    let on = |node: &str, epoch: u64| json!({"status": {"node": node, "epoch": epoch}});
    update_allowed(json!({"status": {}}), on("a", 1));
    update_allowed(on("a", 1), on("a", 2));
    update_allowed(on("a", 1), on("b", 2));
    update_refused(on("a", 1), on("b", 1), NODE_MOVES_WITH_EPOCH);
    update_refused(on("a", 1), json!({"status": {"epoch": 1}}), NODE_MOVES_WITH_EPOCH);
    update_refused(on("a", 2), on("a", 1), EPOCH_GROWS);
    update_refused(on("a", 1), json!({}), STATUS_STAYS);
}

#[test]
fn a_pool_has_one_backend_that_stays() {
    let said_of = |change: Value| said(pool(&change).validate_cel());
    let at = |path: &str| json!({"spec": {"directory": {"path": path}}});
    assert_eq!(said_of(json!({})), [""; 0]);
    assert_eq!(said_of(json!({"spec": {"directory": null}})), [ONE_BACKEND.1]);
    for path in ["", "pool", "/", "./pool"] {
        assert!(said_of(at(path)).contains(&PATH_ABSOLUTE.1.to_owned()), "{path}");
    }
    for path in ["/a/../b", "/a/./b", "/a//b", "/a/", "/a\nb", "/.."] {
        assert_eq!(said_of(at(path)), [PATH_PLAIN.1], "{path}");
    }
    assert_eq!(said_of(at("/srv/.lunette/a..b")), [""; 0]);
    let moved = pool(&at("/srv/other")).validate_cel_update(&pool(&json!({})));
    assert_eq!(said(moved), [PATH_STAYS.1]);
    let dropped = pool(&json!({"spec": {"directory": null}})).validate_cel_update(&pool(&json!({})));
    assert_eq!(said(dropped), [ONE_BACKEND.1, BACKEND_STAYS.1]);
    assert_eq!(said_of(json!({"spec": {"overcommitPercent": 0}})), [OVERCOMMIT.1]);
}

#[test]
fn what_the_size_rules_let_pass_is_a_size() {
    for size in ["10Gi", "1.5Gi", "512", "1024k", "7Ei", "+1Mi", ".5Ki", "1.Gi"] {
        let lun = lun(&sized(size));
        assert_eq!(said(lun.clone().validate_cel()), [""; 0], "{size}");
        assert!(lun.spec.size.bytes().is_ok(), "{size}");
    }
}

#[test]
fn limits_are_named_once_and_never_outlast_an_initiators_patience() {
    let with = |qos: Value| json!({"spec": {"qos": qos}});
    let good = [
        json!({"iops": 50}),
        json!({"readIops": 1000, "writeIops": 50, "bytesPerSecond": "100Mi"}),
        json!({"bytesPerSecond": "4Mi", "burstSeconds": 3600}),
        json!({"bytesPerSecond": 4_194_304}),
        json!({"bytesPerSecond": "1Ti"}),
    ];
    for qos in good {
        allowed(with(qos.clone()));
        assert_eq!(limits(&qos).check(), Ok(()), "{qos}");
    }
    for (qos, rule) in [
        (json!({"burstSeconds": 5}), QOS_LIMITS),
        (json!({"iops": 100, "readIops": 100}), QOS_IOPS_ONCE),
        (json!({"iops": 49}), QOS_IOPS),
        (json!({"writeIops": 0}), QOS_IOPS),
        (json!({"readIops": 1_000_000_001}), QOS_IOPS_BOUNDED),
        (json!({"bytesPerSecond": "fast"}), QOS_BYTES_SYNTAX),
        (json!({"bytesPerSecond": "4095Ki"}), QOS_BYTES),
        (json!({"bytesPerSecond": "2Ti"}), QOS_BYTES_BOUNDED),
        (json!({"iops": 100, "burstSeconds": 3601}), QOS_BURST),
    ] {
        refused(with(qos.clone()), rule);
        assert_eq!(limits(&qos).check().unwrap_err().to_string(), rule.1, "{qos}");
    }
    update_allowed(with(json!({"iops": 100})), with(json!({"iops": 50})));
    update_allowed(with(json!({"iops": 100})), json!({}));
}

fn limits(qos: &Value) -> crate::Qos {
    serde_json::from_value(qos.clone()).expect("limits")
}

#[test]
fn the_least_limits_that_rules_name_are_the_ones_that_the_code_names() {
    assert!(QOS_IOPS.0.ends_with(&format!(" {}", crate::MIN_IOPS)));
    let least = crate::Size::Quantity("4Mi".to_owned()).bytes();
    assert_eq!(least, Ok(crate::MIN_BYTES_PER_SECOND));
    assert!(QOS_BYTES.0.contains("'4Mi'"));
}

#[test]
fn a_source_is_one_thing_and_stays() {
    let from = |source: Value| json!({"spec": {"source": source}});
    allowed(from(json!({"snapshot": "s"})));
    allowed(from(json!({"lun": "db"})));
    refused(from(json!({})), ONE_SOURCE);
    refused(from(json!({"snapshot": "s", "lun": "db"})), ONE_SOURCE);
    allowed(from(json!({"image": "Debian_12.9-generic.raw"})));
    refused(from(json!({"image": "disk.raw", "lun": "db"})), ONE_SOURCE);
    for outside in ["../disk.raw", "/etc/shadow", "a/b", ".hidden", "", "a\0b"] {
        refused(from(json!({"image": outside})), IMAGE_NAME);
    }
    refused(from(json!({"snapshot": "../s"})), SNAPSHOT_NAME);
    refused(from(json!({"lun": "other/db"})), LUN_NAME);
    update_allowed(from(json!({"lun": "db"})), from(json!({"lun": "db"})));
    update_refused(from(json!({"lun": "db"})), from(json!({"lun": "other"})), SOURCE_STAYS);
    update_refused(from(json!({"lun": "db"})), json!({}), SOURCE_STAYS);
    update_refused(json!({}), from(json!({"lun": "db"})), SOURCE_STAYS);
}

fn snapshot(change: &Value) -> crate::LunSnapshot {
    let base = json!({
        "apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot", "metadata": {"name": "s", "namespace": "prod"},
        "spec": {"lun": "db"},
    });
    serde_json::from_value(merged(base, change)).expect("a LunSnapshot")
}

#[test]
fn a_snapshot_is_of_one_lun_and_one_time() {
    let said_of = |change: Value| said(snapshot(&change).validate_cel());
    assert_eq!(said_of(json!({})), [""; 0]);
    assert_eq!(said_of(json!({"spec": {"group": {"name": "g", "members": 2}}})), [""; 0]);
    assert_eq!(said_of(json!({"spec": {"lun": "a/b"}})), [LUN_NAME.1]);
    assert_eq!(said_of(json!({"spec": {"group": {"name": "G", "members": 2}}})), [GROUP_NAME.1]);
    for members in [0, 101] {
        assert_eq!(said_of(json!({"spec": {"group": {"name": "g", "members": members}}})), [GROUP_MEMBERS.1]);
    }
    let update = |old: Value, new: Value| said(snapshot(&new).validate_cel_update(&snapshot(&old)));
    assert_eq!(update(json!({}), json!({"spec": {"lun": "other"}})), [SNAPSHOT_STAYS.1]);
    let on = |node: &str| json!({"status": {"node": node}});
    assert_eq!(update(json!({}), on("a")), [""; 0]);
    assert_eq!(update(on("a"), on("b")), [SNAPSHOT_STATUS_STAYS.1]);
    assert_eq!(update(on("a"), json!({})), [SNAPSHOT_STATUS_STAYS.1]);
}
