//! A LUN that is wanted no more: its export goes, its data as its policy says, and nobody else's anything.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_manifest_takes_the_export_and_leaves_the_data() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    let before = agent.until_ready().await;
    let files = bed.files();
    bed.take_away("db.yaml");
    agent.until_gone().await;
    assert_eq!(bed.objects(), Vec::<String>::new());
    assert_eq!((bed.files(), files > 0), (files, true));
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    assert_eq!(iqn(&agent.until_ready().await), iqn(&before), "the same LUN, with its data");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lun_deleted_with_its_data_never_comes_back_under_its_identity() {
    let bed = Bed::with_pool();
    let text = manifest("db", "size: 1Mi, reclaimPolicy: Delete");
    bed.put("db.yaml", &text);
    let agent = bed.agent();
    let before = agent.until_ready().await;
    bed.take_away("db.yaml");
    agent.until_gone().await;
    assert_eq!((bed.objects(), bed.files()), (Vec::new(), 0));
    bed.put("db.yaml", &text);
    assert_ne!(iqn(&agent.until_ready().await), iqn(&before));
    agent.stop().await;
}

/// Put back while it is on its way out, a LUN is a new one once, and then stays that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lun_put_back_during_its_deletion_settles() {
    let bed = Bed::with_pool();
    let text = manifest("db", "size: 1Mi, reclaimPolicy: Delete");
    bed.put("db.yaml", &text);
    let agent = bed.agent();
    agent.until_ready().await;
    bed.configfs.sleep_at(6);
    bed.take_away("db.yaml");
    agent.until(|lun| !is_ready(lun)).await;
    bed.put("db.yaml", &text);
    tokio::time::sleep(Duration::from_millis(150)).await;
    bed.configfs.wake();
    let lun = agent.until_ready().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let settled = agent.until_ready().await;
    let record = std::fs::read_to_string(bed.path("state/incarnations.json")).unwrap_or_default();
    assert!(!record.contains('2'), "deleted once, counted once: {record}; {:?}", lun.metadata.uid);
    assert_eq!(bed.objects().iter().filter(|path| path.ends_with("tpgt_1")).count(), 1);
    assert!(is_ready(&settled));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_whose_pool_is_gone_are_not_deleted_in_silence() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi, reclaimPolicy: Delete"));
    let agent = bed.agent();
    agent.until_ready().await;
    bed.take_away("pool.yaml");
    agent.until_trouble("PoolNotFound").await;
    bed.take_away("db.yaml");
    let why = agent.until(|lun| ready(lun).is_some_and(|ready| ready.message.contains("cannot be deleted"))).await;
    assert_eq!(
        ready(&why).unwrap().message,
        "the target is gone, but its data cannot be deleted: there is no LunPool files; create it again, or set reclaimPolicy: Retain to leave them"
    );
    assert_eq!((bed.objects().len(), bed.files() > 0), (0, true));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_nothing_wants_is_removed_and_its_data_stay() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi, reclaimPolicy: Delete"));
    let first = bed.agent();
    first.until_ready().await;
    first.stop().await;
    let files = bed.files();
    bed.take_away("db.yaml");
    let foreign = Place::core().child("user_7");
    bed.configfs.mkdir(&foreign).unwrap();
    bed.configfs.mkdir(&foreign.child("theirs")).unwrap();
    let second = bed.agent();
    let gone = async {
        while bed.objects().iter().any(|path| !path.starts_with("core/user_7")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert!(bed.configfs.list(&foreign.child("theirs")).is_ok());
    assert_eq!(bed.files(), files);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_manifest_is_a_riddle_no_export_is_taken_for_an_orphan() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let first = bed.agent();
    first.until_ready().await;
    first.stop().await;
    bed.put("db.yaml", "kind: [");
    let second = bed.agent();
    let lun = second.until_ready().await;
    assert_eq!(lun.metadata.name.as_deref(), Some("db"), "served from the checkpoint");
    assert!(second.board.notices()[0].starts_with("db.yaml: document 1 is not YAML"));
    bed.take_away("db.yaml");
    second.until_gone().await;
    second.stop().await;
}
