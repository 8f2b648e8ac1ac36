//! A LUN as a disk of this very node: asked for, grown, refused, taken away, and kept over the agent's end.

use std::fs;
use std::time::Duration;

use lunette_api::identity;
use tokio::time::sleep;

use super::*;
use crate::attach::{Order, Outcome, Refusal};

const LISTED: &str = "initiators: [{nodeName: here}], size: 1Mi";

/// A manifest of the LUN `db`.
fn spec(spec: &str) -> String {
    format!("{HEAD}kind: Lun\nmetadata: {{name: db}}\nspec: {{pool: files, {spec}}}\n")
}

impl Bed {
    /// What the kernel would show of the disk at the fake's first SCSI host.
    fn show_disk(&self, lun: &Lun, bytes: u64) {
        let device = self.path("machine/sys/class/scsi_device/1:0:1:0/device");
        fs::create_dir_all(device.join("block/sdb")).unwrap();
        let wwid = identity::wwid(lun.metadata.uid.as_ref().unwrap());
        let naa = u128::from_str_radix(wwid.strip_prefix("naa.").unwrap(), 16).unwrap();
        fs::write(device.join("vpd_pg83"), [&[0, 0x83, 0, 20, 1, 3, 0, 16][..], &naa.to_be_bytes()].concat()).unwrap();
        fs::write(device.join("block/sdb/size"), (bytes / 512).to_string()).unwrap();
        fs::write(device.join("rescan"), "").unwrap();
        fs::create_dir_all(self.path("machine/dev")).unwrap();
        fs::write(self.path("machine/dev/sdb"), "").unwrap();
    }

    fn disk(&self) -> Option<PathBuf> {
        Some(self.path("machine/dev/sdb"))
    }

    fn has_disk(&self) -> bool {
        self.objects().iter().any(|path| path.starts_with("loopback/naa.") && path.ends_with("/nexus"))
    }
}

impl Agent {
    /// Until it is done or needs somebody to act.
    async fn order(&self, lun: &Lun, order: Order) -> Outcome {
        let asked = async {
            loop {
                match self.desk.ask(lun.metadata.uid.as_ref().unwrap(), order).await {
                    Err(Refusal::NotYet(_)) => sleep(Duration::from_millis(2)).await,
                    outcome => return outcome,
                }
            }
        };
        timeout(PATIENCE, asked).await.expect("an outcome")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lun_becomes_a_disk_when_it_is_asked_for_and_not_before() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &spec(LISTED));
    let agent = bed.agent();
    let lun = agent.until_ready().await;
    assert!(!bed.has_disk());
    bed.show_disk(&lun, 1 << 20);
    assert_eq!(agent.order(&lun, Order::Attach).await, Ok(bed.disk()));
    assert!(bed.has_disk());
    let shown = agent.until(|lun| lun.status.as_ref().is_some_and(|status| status.session_count == Some(1))).await;
    assert_eq!(shown.status.unwrap().sessions[0].initiator, "here");
    assert_eq!(agent.order(&lun, Order::Detach).await, Ok(bed.disk()));
    assert!(!bed.has_disk());
    assert_eq!(agent.order(&lun, Order::Detach).await, Ok(None));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_outlives_the_agent_and_goes_with_the_lun() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &spec(LISTED));
    let first = bed.agent();
    let lun = first.until_ready().await;
    bed.show_disk(&lun, 1 << 20);
    first.order(&lun, Order::Attach).await.unwrap();
    first.stop().await;
    let second = bed.agent();
    second.until_ready().await;
    assert!(bed.has_disk());
    bed.take_away("db.yaml");
    second.until_gone().await;
    assert!(bed.objects().is_empty(), "{:#?}", bed.objects());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_listed_no_more_loses_its_disk() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &spec(LISTED));
    let agent = bed.agent();
    let lun = agent.until_ready().await;
    bed.show_disk(&lun, 1 << 20);
    agent.order(&lun, Order::Attach).await.unwrap();
    bed.put("db.yaml", &spec("size: 1Mi"));
    agent.until(|lun| is_ready(lun) && lun.metadata.generation == Some(2)).await;
    assert!(!bed.has_disk());
    let refused = agent.desk.ask(lun.metadata.uid.as_ref().unwrap(), Order::Attach).await;
    let why = "Lun default/db does not list this node: add `- nodeName: here` to its spec.initiators";
    assert_eq!(refused, Err(Refusal::NotYet(why.to_owned())));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_disk_in_its_place_is_never_handed_out() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &spec(LISTED));
    let agent = bed.agent();
    let lun = agent.until_ready().await;
    let mut other = lun.clone();
    other.metadata.uid = Some("3fa85f64-5717-4562-b3fc-2c963f66afa6".to_owned());
    bed.show_disk(&other, 1 << 20);
    let Err(Refusal::Refused(why)) = agent.order(&lun, Order::Attach).await else { panic!("it was handed out") };
    assert!(why.contains("it is left alone"), "{why}");
    assert!(agent.until_ready().await.status.unwrap().session_count.is_some(), "the LUN is served all the same");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_an_initiator_name_is_told_and_the_others_are_let_in() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &spec(&format!("initiators: [{{nodeName: there}}, {{iqn: {CLIENT}}}], size: 1Mi")));
    let agent = bed.agent();
    let why = agent.until_trouble("InitiatorUnknown").await;
    assert!(why.starts_with("initiator there: no LunNode there says its initiator name"), "{why}");
    let lun = agent.until(|_| true).await;
    assert!(bed.may_log_in(&lun, CLIENT));
    agent.stop().await;
}
