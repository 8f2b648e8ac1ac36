//! A LUN that is served: what a user sees of it, how it grows, who logs in, how an agent comes and goes.

use super::*;

fn write(block: u32, byte: u8) -> Request {
    let [a, b, c, d] = block.to_be_bytes();
    Request::writing(&[0x2a, 0, a, b, c, d, 0, 0, 1, 0], &[byte; 512])
}

fn read(block: u32) -> Request {
    let [a, b, c, d] = block.to_be_bytes();
    Request::reading(&[0x28, 0, a, b, c, d, 0, 0, 1, 0], 512)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_becomes_a_served_lun() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    let lun = agent.until_ready().await;
    let status = lun.status.clone().unwrap();
    let uid = lun.metadata.uid.clone().unwrap();
    assert_eq!(iqn(&lun).as_str(), lunette_api::identity::iqn(&uid));
    assert_eq!(status.wwid, Some(lunette_api::identity::wwid(&uid)));
    assert_eq!(status.target.unwrap().portals, ["10.0.0.1:3260"]);
    assert_eq!((status.state.as_deref(), status.node.as_deref()), (Some("Ready"), Some("here")));
    assert_eq!((status.capacity, status.session_count), (Some(1 << 20), Some(0)));
    assert_eq!(bed.ask(write(3, 0xaa)).status, 0);
    assert_eq!(bed.ask(read(3)).data, [0xaa; 512]);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_agent_serves_the_same_data_and_touches_nothing_that_is_right() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let first = bed.agent();
    let before = first.until_ready().await;
    assert_eq!(bed.ask(write(9, 0x55)).status, 0);
    first.stop().await;
    let standing = bed.objects();
    let changes = bed.configfs.changes();
    let second = bed.agent();
    let after = second.until_ready().await;
    assert_eq!(bed.ask(read(9)).data, [0x55; 512]);
    assert_eq!((iqn(&after), after.metadata.uid), (iqn(&before), before.metadata.uid));
    assert_eq!(bed.objects(), standing);
    assert_eq!(bed.configfs.changes() - changes, 1, "commands are let in; the ring is not reset");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lun_grows_while_it_is_served() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until_ready().await;
    assert_eq!(bed.blocks(), 2048);
    bed.put("db.yaml", &manifest("db", "size: 3Mi"));
    agent.until(|lun| is_ready(lun) && lun.status.as_ref().is_some_and(|s| s.capacity == Some(3 << 20))).await;
    hear_of_the_size(&bed);
    assert_eq!(bed.blocks(), 6144);
    agent.stop().await;
}

/// The agent is told of the new size while it is away, so the thread opens the volume at its old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lun_that_was_grown_while_no_agent_ran_shows_its_new_size() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let first = bed.agent();
    first.until_ready().await;
    first.stop().await;
    bed.put("db.yaml", &manifest("db", "size: 3Mi"));
    let second = bed.agent();
    second.until_ready().await;
    hear_of_the_size(&bed);
    assert_eq!(bed.blocks(), 6144);
    second.stop().await;
}

/// The order to look travels to the LUN's thread after the status was written; a unit attention says that
/// it has arrived.
fn hear_of_the_size(bed: &Bed) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while bed.ask(read(0)).sense[12] != 0x2a {
        assert!(std::time::Instant::now() < deadline, "nobody is told of the new size");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_only_readers_may_use_is_opened_read_only() {
    let bed = Bed::with_pool();
    let readers = manifest("db", "size: 1Mi").replace("client}", "client, readOnly: true}");
    bed.put("db.yaml", &readers);
    let agent = bed.agent();
    agent.until_ready().await;
    let refused = bed.ask(write(0, 1));
    assert_eq!((refused.status, refused.sense[2]), (2, 7), "DATA PROTECT");
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    agent.until(|lun| is_ready(lun) && lun.metadata.generation == Some(2)).await;
    assert_eq!(bed.ask(write(0, 1)).status, 0);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_ended_is_started_again() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until_ready().await;
    assert_eq!(bed.ask(write(1, 7)).status, 0);
    // The mailbox's head is no place in the ring; an order has the thread look.
    bed.rings.lock().unwrap().values_mut().for_each(|ring| ring.poke32(12, u32::MAX));
    bed.put("db.yaml", &manifest("db", "size: 2Mi"));
    let why = agent.until_trouble("Restarting").await;
    assert!(why.starts_with("the LUN's thread ended and is started again: "), "{why}");
    // What the kernel would have done when the agent asked for it.
    bed.rings.lock().unwrap().values_mut().for_each(|ring| ring.reset_ring(1));
    agent.until_ready().await;
    let again = [bed.ask(read(1)), bed.ask(read(1))];
    assert!(again.iter().any(|answer| answer.data == [7; 512]), "one of them may be told of the size");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_stops_while_the_kernel_holds_one_of_its_steps() {
    let bed = Bed::with_pool();
    bed.configfs.sleep_at(4);
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until(|_| bed.configfs.changes() == 5).await;
    let stopped = timeout(LEAVE_WITHIN / 2, agent.stop()).await;
    bed.configfs.wake();
    assert!(stopped.is_ok(), "it waited for the kernel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_is_tried_again_until_the_lun_is_served() {
    for k in [0, 5, 12, 20, 28] {
        let bed = Bed::with_pool();
        bed.configfs.fail_at(Some(k));
        bed.put("db.yaml", &manifest("db", "size: 1Mi"));
        let agent = bed.agent();
        agent.until_ready().await;
        assert_eq!(bed.ask(write(1, 7)).status, 0, "failure at change {k}");
        agent.stop().await;
    }
}
