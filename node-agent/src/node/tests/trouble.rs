//! What keeps a LUN from being served, word for word, and that it is served once that is mended.

use lunette_lio::Real;

use super::*;

fn secret(name: &str, password: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{username: app, password: {password}}}\n"
    )
}

fn with_chap(secrets: &[&str]) -> String {
    let one = |name: &&str| format!("{{iqn: \"iqn.2026-01.io.example:{name}\", chapSecret: {{name: {name}}}}}");
    let initiators: Vec<String> = secrets.iter().map(one).collect();
    manifest("db", "size: 1Mi").replace(&format!("{{iqn: {CLIENT}}}"), &initiators.join(", "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_comes_later_is_enough() {
    let bed = Bed::new();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    assert_eq!(agent.until_trouble("PoolNotFound").await, "there is no LunPool files: create it, or name another");
    let path = bed.path("pool");
    bed.put(
        "pool.yaml",
        &format!("{HEAD}kind: LunPool\nmetadata: {{name: files}}\nspec: {{directory: {{path: {}}}}}\n", path.display()),
    );
    agent.until_ready().await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_for_others_serves_nobody_else_and_cuts_nobody_off() {
    let bed = Bed::new();
    let pool = |limit: &str| {
        let path = bed.path("pool");
        let spec = format!("{{directory: {{path: {}}}, {limit}}}", path.display());
        bed.put("pool.yaml", &format!("{HEAD}kind: LunPool\nmetadata: {{name: files}}\nspec: {spec}\n"));
    };
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    pool("namespaces: [prod]");
    let agent = bed.agent();
    assert_eq!(
        agent.until_trouble("PoolNotAllowed").await,
        "LunPool files is not for namespace default: use another pool, or have an admin add the namespace"
    );
    pool("nodes: [elsewhere]");
    let node = "LunPool files is not for node here: use another pool, or have an admin add the node";
    agent
        .until(|lun| {
            conditions::find(&lun.status.clone().unwrap_or_default().conditions, conditions::READY)
                .is_some_and(|c| c.message == node)
        })
        .await;
    pool("nodes: [here]");
    agent.until_ready().await;
    pool("nodes: [elsewhere]");
    bed.put("db.yaml", &manifest("db", "size: 2Mi"));
    agent.until(|lun| lun.status.as_ref().and_then(|status| status.capacity) == Some(2 << 20)).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_cannot_be_is_told_and_leaves_a_served_lun_served() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until_ready().await;
    bed.put("db.yaml", &manifest("db", "size: 1000"));
    assert_eq!(
        agent.until_trouble("InvalidSpec").await,
        "size 1000 is not a multiple of the block size 512: round it up to 1024"
    );
    let lun = agent.until(|_| true).await;
    assert!(conditions::is_true(&lun.status.as_ref().unwrap().conditions, conditions::EXPORTED));
    assert_eq!(bed.blocks(), 2048);
    bed.put("db.yaml", &manifest("db", "size: 512Ki"));
    assert!(agent.until(|lun| lun.metadata.generation == Some(3)).await.metadata.name.is_some());
    agent.until_trouble("InvalidSpec").await;
    assert_eq!(bed.blocks(), 2048, "nothing shrinks");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_secret_keeps_the_target_closed() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &with_chap(&["one"]));
    let agent = bed.agent();
    let why = agent.until_trouble("SecretUnusable").await;
    let directory = bed.path("manifests");
    let directory = directory.display();
    assert_eq!(why, format!("there is no Secret one in namespace default: add its manifest to {directory}"));
    assert!(bed.objects().iter().all(|path| !path.starts_with("iscsi")));
    bed.put("one.yaml", &secret("one", "sixteen-bytes-ok"));
    agent.until_ready().await;
    agent.stop().await;
}

/// An initiator is struck off the list while another's Secret is away: it must not stay because of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_is_withdrawn_although_another_initiators_secret_is_missing() {
    let bed = Bed::with_pool();
    bed.put("one.yaml", &secret("one", "sixteen-bytes-ok"));
    bed.put("two.yaml", &secret("two", "sixteen-bytes-ok"));
    bed.put("db.yaml", &with_chap(&["one", "two"]));
    let agent = bed.agent();
    let lun = agent.until_ready().await;
    let (one, two) = ("iqn.2026-01.io.example:one", "iqn.2026-01.io.example:two");
    assert!(bed.may_log_in(&lun, one) && bed.may_log_in(&lun, two));
    bed.take_away("one.yaml");
    bed.put("db.yaml", &with_chap(&["one", "three"]));
    agent.until_trouble("SecretUnusable").await;
    assert!(!bed.may_log_in(&lun, two), "struck off");
    assert!(bed.may_log_in(&lun, one), "its Secret is only away");
    assert!(!bed.may_log_in(&lun, "iqn.2026-01.io.example:three"), "never proved who it is");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_configfs_says_what_it_lacks() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent_on(Arc::new(Real::new(bed.path("none/target"), bed.path("none/uio"))));
    let why = agent.until_trouble("KernelNotReady").await;
    assert!(why.starts_with("this node cannot serve LUNs yet: kernel module configfs is missing: "), "{why}");
    assert!(
        why.contains(
            "configfs mounted on /sys/kernel/config is missing: mount -t configfs configfs /sys/kernel/config"
        ),
        "{why}"
    );
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_that_another_program_holds_is_named() {
    let bed = Bed::with_pool();
    bed.configfs.occupy("10.0.0.1:3260");
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    let why = agent.until_trouble("PortalUnavailable").await;
    assert!(why.contains("10.0.0.1:3260"), "{why}");
    agent.stop().await;
}
