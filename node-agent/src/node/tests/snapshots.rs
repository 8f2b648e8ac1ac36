//! Snapshots and copies from a directory of manifests. On memory, which shares no extents: what is said then, and that
//! nothing is copied or left behind. And on a file system that does, where there is one: the tests on a real kernel
//! always have it, these where `LUNETTE_REFLINK_DIR` names a directory on XFS or btrfs.

use super::*;

fn snapshot(name: &str, spec: &str) -> String {
    format!("{HEAD}kind: LunSnapshot\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

impl Agent {
    /// Waits until a snapshot is not ready for that reason: the message.
    async fn until_not_taken(&self, name: &str, reason: &str) -> String {
        let said = async {
            loop {
                let all = self.board.snapshots();
                let of_name = all.iter().find(|snapshot| snapshot.metadata.name.as_deref() == Some(name));
                let status = of_name.and_then(|snapshot| snapshot.status.as_ref());
                let ready = status.and_then(|status| conditions::find(&status.conditions, conditions::READY));
                match ready.filter(|ready| ready.reason == reason) {
                    Some(ready) => return ready.message.clone(),
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        match timeout(PATIENCE, said).await {
            Ok(message) => message,
            Err(_) => panic!("it never came to that; the board says {:#?}", self.board.snapshots()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_that_shares_nothing_takes_no_snapshot_and_goes_on_serving() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until_ready().await;
    bed.put("s.yaml", &snapshot("s", "lun: db"));
    let message = agent.until_not_taken("s", "NoSnapshots").await;
    assert!(message.contains("shares no extents between files, so it takes no snapshots"), "{message}");
    assert_eq!(bed.blocks(), 2048, "the LUN is not held still any more");
    assert_eq!(bed.files(), 1, "the LUN's own volume");
    bed.put("copy.yaml", &manifest("copy", "size: 1Mi, source: {lun: db}"));
    agent.until_trouble("NoSnapshots").await;
    bed.take_away("s.yaml");
    let gone = async {
        while !agent.board.snapshots().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("what was never taken is gone at once");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_yet_says_what_it_waits_for() {
    let bed = Bed::with_pool();
    bed.put("copy.yaml", &manifest("copy", "size: 1Mi, source: {snapshot: s}"));
    let agent = bed.agent();
    let message = agent.until_trouble("SourceNotFound").await;
    assert_eq!(message, "LunSnapshot s is not on this node: create it, or name another in spec.source");
    bed.put("s.yaml", &snapshot("s", "lun: db"));
    let message = agent.until_not_taken("s", "SourceNotFound").await;
    assert_eq!(message, "Lun db is not served by this node, so it cannot be taken: add the Lun's manifest");
    bed.put("group.yaml", &snapshot("g", "lun: db, group: {name: nightly, members: 2}"));
    let message = agent.until_not_taken("g", "WaitingForGroup").await;
    assert!(message.starts_with("1 of the 2 snapshots of group nightly are on this node"), "{message}");
    assert_eq!(bed.files(), 0);
    agent.stop().await;
}

fn shared_extents() -> Option<Bed> {
    let Some(place) = std::env::var_os("LUNETTE_REFLINK_DIR") else {
        eprintln!("skipped: LUNETTE_REFLINK_DIR names no directory on XFS or btrfs");
        return None;
    };
    Some(Bed::on(tempfile::tempdir_in(place).unwrap()).and_pool())
}

fn filled(byte: u8) -> Request {
    Request::writing(&[0x2a, 0, 0, 0, 0, 3, 0, 0, 1, 0], &[byte; 512])
}

impl Bed {
    /// The data file of a volume.
    fn data(&self, uid: &str) -> Vec<u8> {
        std::fs::read(self.path("pool").join(uid).join("data")).unwrap()
    }
}

impl Agent {
    /// Waits until a snapshot is taken: it as the board shows it.
    async fn until_taken(&self, name: &str) -> lunette_api::LunSnapshot {
        let taken = async {
            loop {
                let all = self.board.snapshots().into_iter();
                let mut ready = all.filter(|s| s.status.as_ref().is_some_and(|s| s.ready_to_use == Some(true)));
                match ready.find(|snapshot| snapshot.metadata.name.as_deref() == Some(name)) {
                    Some(snapshot) => return snapshot,
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        timeout(PATIENCE, taken).await.unwrap_or_else(|_| panic!("not taken: {:#?}", self.board.snapshots()))
    }

    async fn until_named(&self, name: &str) -> Lun {
        self.until(|lun| is_ready(lun) && lun.metadata.name.as_deref() == Some(name)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_taken_found_again_copied_and_removed() {
    let Some(bed) = shared_extents() else { return };
    bed.put("db.yaml", &manifest("db", "size: 1Mi, reclaimPolicy: Delete"));
    let agent = bed.agent();
    agent.until_ready().await;
    assert_eq!(bed.ask(filled(0xaa)).status, 0);
    bed.put("s.yaml", &snapshot("s", "lun: db"));
    bed.put(
        "group.yaml",
        &format!(
            "{}---\n{}",
            snapshot("g1", "lun: db, group: {name: g, members: 2}"),
            snapshot("g2", "lun: db, group: {name: g, members: 2}")
        ),
    );
    let taken = agent.until_taken("s").await;
    for member in ["g1", "g2"] {
        agent.until_taken(member).await;
    }
    let status = taken.status.clone().unwrap();
    assert_eq!(status.size, Some(1 << 20));
    assert!(status.creation_time.is_some() && status.pause_microseconds.is_some(), "{status:?}");
    assert_eq!(bed.ask(filled(0xbb)).status, 0, "I/O goes on");
    let uid = taken.metadata.uid.clone().unwrap();
    assert_eq!(bed.data(&uid)[1536..2048], [0xaa; 512]);
    bed.put("copy.yaml", &manifest("copy", "size: 2Mi, source: {snapshot: s}"));
    let copy = agent.until_named("copy").await;
    bed.put("clone.yaml", &manifest("clone", "size: 1Mi, source: {lun: db}"));
    let clone = agent.until_named("clone").await;
    let data = |lun: &Lun| bed.data(lun.metadata.uid.as_ref().unwrap());
    assert_eq!((data(&copy).len(), data(&copy)[1536..2048].to_vec()), (2 << 20, vec![0xaa; 512]));
    assert_eq!(data(&clone)[1536..2048], [0xbb; 512]);
    agent.stop().await;
    let agent = bed.agent();
    let again = agent.until_taken("s").await;
    assert_eq!(again.metadata.uid, taken.metadata.uid);
    assert_eq!(bed.data(&uid)[1536..2048], [0xaa; 512], "it is not taken anew");
    bed.take_away("db.yaml");
    bed.take_away("s.yaml");
    bed.take_away("group.yaml");
    let left = async {
        while bed.files() > 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, left).await.expect("the Lun and its snapshots go");
    assert_eq!(data(&copy)[1536..2048], [0xaa; 512], "what was made from them stays");
    agent.stop().await;
}
