//! What the API server itself refuses, and the words that the author of the object reads.

use anyhow::ensure;
use lunette_bed::{Context, Result};
use serde_json::{Value, json};

use super::site::{Site, lun, pool};

pub fn the_examples_are_accepted(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    // Pods need it; the controller manager would make it.
    site.plane.ensure_service_account("default", "default")?;
    let folder = site.manifests().join("examples");
    let printed =
        site.plane.kubectl_must(["apply", "--server-side", "--dry-run=server", "-f", &folder.display().to_string()])?;
    for object in [
        "lunpool.lunette.io/local",
        "lun.lunette.io/disk",
        "lun.lunette.io/shared",
        "lun.lunette.io/disk-restored",
        "lunsnapshot.lunette.io/disk-before-upgrade",
        "secret/client-chap",
        "storageclass.storage.k8s.io/lunette",
        "persistentvolumeclaim/data",
        "pod/writer",
    ] {
        ensure!(printed.contains(object), "no {object} in:\n{printed}");
    }
    let columns = site.plane.kubectl_must(["get", "luns", "-A", "-o", "wide", "--server-print=true"])?;
    ensure!(columns.is_empty() || columns.contains("No resources"), "{columns}");
    Ok(())
}

/// Sets one field of a Lun's spec.
fn with(field: &str, value: Value) -> Value {
    lun("bad", |spec| spec[field] = value)
}

pub fn a_lun_that_cannot_be_is_refused(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    let initiators = |iqns: &[&str]| with("initiators", iqns.iter().map(|iqn| json!({"iqn": iqn})).collect());
    let syntax =
        "size must be bytes, or a number with Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P or E: write 10Gi for 10 gibibytes";
    let iqn = "iqn must be an iSCSI name in lower case: iqn.YYYY-MM.REVERSED.DOMAIN[:NAME], eui. with 16 or naa. with 16 \
               or 32 hexadecimal digits (RFC 7143); copy it from the client's /etc/iscsi/initiatorname.iscsi";
    let secret = json!([{"iqn": "iqn.2026-01.io.example:a", "chapSecret": {"name": "../x"}}]);
    for (object, words) in [
        (with("size", json!("0")), "size must be greater than 0: a Lun needs at least one block"),
        (with("size", json!(0)), "size must be greater than 0: a Lun needs at least one block"),
        (with("size", json!("-1Gi")), "size must be greater than 0: a Lun needs at least one block"),
        (with("size", json!("ten")), syntax),
        (with("size", json!("10GB")), syntax),
        (with("size", json!("8Ei")), "size must be a whole number of bytes below 8Ei"),
        (with("size", json!("0.3")), "size must be a whole number of bytes below 8Ei"),
        (
            with("size", json!("1000")),
            "size must be a multiple of blockSize (512 bytes where it is not set): round it up",
        ),
        (with("blockSize", json!(1024)), "blockSize must be 512 or 4096"),
        (with("pool", json!("/etc")), "pool must be the name of a LunPool: lower-case letters, digits, '-' and '.'"),
        (
            with("nodeName", json!("a/b")),
            "nodeName must be the name of a node: lower-case letters, digits, '-' and '.'",
        ),
        (initiators(&["client"]), iqn),
        (initiators(&["iqn.2026-01.io.example:Client"]), iqn),
        (
            initiators(&[&format!("iqn.2026-01.io.example:{}", "a".repeat(201))]),
            "Too long: may not be more than 223 bytes",
        ),
        (
            initiators(&["iqn.2026-01.io.example:a", "iqn.2026-01.io.example:a"]),
            "each initiator may be listed once: remove the entry with the same iqn",
        ),
        (
            with("initiators", secret),
            "chapSecret.name must be the name of a Secret in the Lun's namespace: lower-case letters, digits, '-' and '.'",
        ),
        (with("reclaimPolicy", json!("Forget")), "supported values: \"Retain\", \"Delete\""),
        (with("writeCache", json!("Always")), "supported values: \"WriteBack\", \"WriteThrough\""),
        (with("pool", Value::Null), "spec.pool: Required value"),
        (with("path", json!("/etc/shadow")), "strict decoding error: unknown field \"spec.path\""),
        (with("directory", json!({"path": "/etc"})), "strict decoding error: unknown field \"spec.directory\""),
    ] {
        site.refused(&object, words)?;
    }
    Ok(())
}

pub fn a_change_that_breaks_a_promise(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    site.apply(&lun("kept", |spec| spec["nodeName"] = json!("a")))?;
    let changed = |field: &str, value: Value| {
        lun("kept", |spec| {
            spec["nodeName"] = json!("a");
            spec[field] = value;
        })
    };
    let force = |object: &Value, words: &str| {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let said = site.plane.kubectl_with_input(apply, &object.to_string())?.refused()?;
        ensure!(said.contains(words), "refused, but not with {words:?}:\n{said}");
        Ok(())
    };
    force(
        &changed("size", json!("1Mi")),
        "size can only grow: shrinking would cut off data; create a smaller Lun and copy",
    )?;
    force(
        &changed("pool", json!("slow")),
        "pool cannot change: data does not move between pools; create another Lun and copy",
    )?;
    force(&changed("blockSize", json!(4096)), "blockSize cannot change: what is on the device is laid out in it")?;
    force(
        &changed("nodeName", json!("b")),
        "nodeName cannot change or be removed once it is set: the data are on that node",
    )?;
    site.apply(&changed("size", json!("2Gi")))?;
    site.apply(&lun("served", |_| ()))?;
    let place = |status: Value| {
        let patch = json!({"status": status}).to_string();
        site.plane.kubectl([
            "patch",
            "lun",
            "served",
            "-n",
            "prod",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
    };
    place(json!({"node": "a", "epoch": 1}))?.ok()?;
    for (status, words) in [
        (
            json!({"node": "b"}),
            "status.node cannot change without a higher status.epoch: the old node must be fenced first",
        ),
        (
            json!({"node": null}),
            "status.node cannot change without a higher status.epoch: the old node must be fenced first",
        ),
        (json!({"epoch": 0}), "status.epoch can only grow: it is a fencing generation"),
        (Value::Null, "status cannot be removed while it names the node that serves the Lun"),
    ] {
        let said = place(status)?.refused()?;
        ensure!(said.contains(words), "refused, but not with {words:?}:\n{said}");
    }
    force(
        &lun("served", |spec| spec["nodeName"] = json!("b")),
        "nodeName cannot name another node than the one that serves the Lun already (status.node)",
    )?;
    place(json!({"node": "b", "epoch": 2}))?.ok()?;
    let cached = |how: &str| lun("served", |spec| spec["writeCache"] = json!(how));
    site.apply(&cached("WriteThrough"))?;
    place(json!({"sessionCount": 1}))?.ok()?;
    force(&cached("WriteBack"), "writeCache cannot become WriteBack while an initiator is logged in")?;
    place(json!({"sessionCount": 0}))?.ok()?;
    site.apply(&cached("WriteBack"))
}

pub fn a_pool_that_cannot_be_is_refused(context: &Context) -> Result<()> {
    let site = context.shared(Site::up)?;
    let at = |path: &str| pool("bad", |spec| spec["directory"]["path"] = json!(path));
    let absolute = "path must be absolute and not / itself: write /var/lib/lunette/pool";
    let plain = "path must have no '.' or '..' part, no empty part, no '/' at its end and no control character";
    for (object, words) in [
        (at("pool"), absolute),
        (at("/"), absolute),
        (at(""), absolute),
        (at("/a/../b"), plain),
        (at("/a//b"), plain),
        (at("/a/"), plain),
        (at("/a\nb"), plain),
        (pool("bad", |spec| *spec = json!({})), "exactly one backend must be set: directory"),
        (
            pool("bad", |spec| spec["overcommitPercent"] = json!(0)),
            "overcommitPercent must be at least 1; 100 never promises more than there is",
        ),
        (pool("bad", |spec| spec["nodes"] = json!(["a", "a"])), "spec.nodes[1]: Duplicate value: \"a\""),
        (pool("bad", |spec| spec["namespaces"] = json!(["a", "a"])), "spec.namespaces[1]: Duplicate value: \"a\""),
        (
            pool("bad", |spec| spec["directory"]["io"] = json!("Fast")),
            "supported values: \"Auto\", \"Direct\", \"Buffered\"",
        ),
        (pool("bad", |spec| spec["disk"] = json!("/dev/sda")), "strict decoding error: unknown field \"spec.disk\""),
    ] {
        site.refused(&object, words)?;
    }
    site.apply(&pool("kept", |_| ()))?;
    let moved = pool("kept", |spec| spec["directory"]["path"] = json!("/srv/other"));
    site.refused(&moved, "path cannot change: the pool's data are there; create another pool")?;
    let removed = r#"{"spec":{"directory":null}}"#;
    let said = site.plane.kubectl(["patch", "lunpool", "kept", "--type=merge", "-p", removed])?.refused()?;
    ensure!(
        said.contains("the backend of a pool cannot change: its Luns' data are there; create another pool"),
        "{said}"
    );
    Ok(())
}
