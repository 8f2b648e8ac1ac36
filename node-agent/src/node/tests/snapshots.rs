//! Snapshots and copies from a directory of manifests, on memory, which shares no extents: what is said then, and that
//! nothing is copied or left behind. That they are taken where they can be is for the tests on a real kernel.

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
