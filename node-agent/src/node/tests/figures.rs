//! What a scraper and `top` get of a node, and limits on their way from a manifest to the ring.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::metrics;
use crate::status::Sample;

fn write(block: u32) -> Request {
    let [a, b, c, d] = block.to_be_bytes();
    Request::writing(&[0x2a, 0, a, b, c, d, 0, 0, 1, 0], &[7; 512])
}

fn write_at_once(bed: &Bed, count: u32) {
    let mut rings = bed.rings.lock().unwrap();
    let ring = rings.values_mut().next().expect("a ring was opened");
    let tags: Vec<_> = (0..count).map(|block| ring.submit(write(block))).collect();
    for tag in tags {
        assert_eq!(ring.wait(tag, PATIENCE).expect("an answer").status, 0);
    }
}

/// The value of a series, by its name and labels.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_say_what_initiators_did_and_what_the_node_has() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until_ready().await;
    for block in 0..40 {
        assert_eq!(bed.ask(write(block)).status, 0);
    }
    assert_eq!(bed.ask(write(10_000)).status, 2, "beyond the end");
    // Figures are written after the answer: the next command's come later still.
    assert_eq!(bed.blocks(), 2048);
    let page = agent.exporter.render().await;
    let lun = "namespace=\"default\",lun=\"db\"";
    for (series, expected) in [
        (format!("lunette_lun_operations_total{{{lun},op=\"write\"}}"), 41.0),
        (format!("lunette_lun_operations_total{{{lun},op=\"discard\"}}"), 0.0),
        (format!("lunette_lun_written_bytes_total{{{lun}}}"), 40.0 * 512.0),
        (format!("lunette_lun_read_bytes_total{{{lun}}}"), 0.0),
        (format!("lunette_lun_errors_total{{{lun},error=\"illegal_request\"}}"), 1.0),
        (format!("lunette_lun_errors_total{{{lun},error=\"medium_error\"}}"), 0.0),
        (format!("lunette_lun_thread_restarts_total{{{lun}}}"), 0.0),
        (format!("lunette_lun_held_seconds_total{{{lun}}}"), 0.0),
        (format!("lunette_lun_ready{{{lun}}}"), 1.0),
        (format!("lunette_lun_sessions{{{lun}}}"), 0.0),
        (format!("lunette_lun_capacity_bytes{{{lun}}}"), f64::from(1 << 20)),
        ("lunette_node_luns{state=\"Ready\"}".to_owned(), 1.0),
        ("lunette_node_luns{state=\"Degraded\"}".to_owned(), 0.0),
        ("lunette_node_pool_ready{pool=\"files\"}".to_owned(), 1.0),
        ("lunette_node_configfs_steps_total{result=\"failed\"}".to_owned(), 0.0),
        ("lunette_node_kernel_ready".to_owned(), 0.0),
        ("lunette_node_kernel_module_loaded{module=\"uio\"}".to_owned(), 0.0),
    ] {
        assert_eq!(value(&page, &series), Some(expected), "{series} in\n{page}");
    }
    let positive = |series: &str| assert!(value(&page, series).is_some_and(|value| value > 0.0), "{series} in\n{page}");
    positive("lunette_node_pool_capacity_bytes{pool=\"files\"}");
    positive("lunette_node_configfs_steps_total{result=\"done\"}");
    positive(&format!("lunette_lun_backend_seconds_count{{{lun},op=\"write\"}}"));
    positive(&format!("lunette_lun_backend_seconds_bucket{{le=\"+Inf\",{lun},op=\"write\"}}"));
    positive(&format!("lunette_lun_completion_seconds_count{{{lun}}}"));
    // Which one it is depends on this machine's file system and on what it allows.
    let engines = ["inline", "io_uring", "threads"].map(|engine| format!("{{{lun},engine=\"{engine}\"}}"));
    let engine = |engine: &String| value(&page, &format!("lunette_lun_io_engine{engine}"));
    assert_eq!(engines.iter().filter_map(engine).collect::<Vec<_>>(), [1.0], "{page}");
    assert!(page.ends_with("# EOF\n"));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_survive_a_thread_and_go_with_the_lun() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi"));
    let agent = bed.agent();
    agent.until_ready().await;
    for block in 0..3 {
        assert_eq!(bed.ask(write(block)).status, 0);
    }
    // Another manner of opening the volume needs another thread.
    bed.put("db.yaml", &manifest("db", "size: 1Mi, writeCache: WriteThrough"));
    agent.until(|lun| is_ready(lun) && lun.metadata.generation == Some(2)).await;
    assert_eq!(bed.ask(write(3)).status, 0);
    bed.blocks();
    let sample = Sample::of(&agent.board);
    let seen: Vec<_> = sample.luns.iter().map(|lun| (lun.name.as_str(), lun.writes, lun.restarts)).collect();
    assert_eq!(seen, [("db", 4, 1)]);
    bed.take_away("db.yaml");
    agent.until_gone().await;
    assert_eq!(Sample::of(&agent.board).luns, []);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_set_changed_and_taken_away_without_another_thread() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 1Mi, qos: {writeIops: 49}"));
    let agent = bed.agent();
    let why = agent.until_trouble("InvalidSpec").await;
    assert!(why.starts_with("limits of IOPS must be at least 50"), "{why}");
    bed.put("db.yaml", &manifest("db", "size: 1Mi, qos: {writeIops: 50}"));
    agent.until_ready().await;
    write_at_once(&bed, 30);
    // Saved up is a tenth of a second's worth at most: five.
    assert!(Sample::of(&agent.board).luns[0].held > 0, "thirty writes at once are more than may pass");
    for (generation, spec) in [(3, "size: 1Mi, qos: {iops: 100000}"), (4, "size: 1Mi")] {
        bed.put("db.yaml", &manifest("db", spec));
        agent.until(|lun| is_ready(lun) && lun.metadata.generation == Some(generation)).await;
        assert_eq!(bed.ask(write(1)).status, 0);
    }
    assert_eq!(Sample::of(&agent.board).luns[0].restarts, 0);
    agent.stop().await;
}

/// Serves its pages; where.
async fn served(exporter: Arc<Exporter>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(metrics::serve(listener, exporter));
    address
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_are_served_and_readiness_waits_for_what_is_wanted() {
    let bed = Bed::with_pool();
    let agent = bed.agent();
    let address = served(Arc::clone(&agent.exporter)).await;
    let ready = async {
        while !get(address, "/readyz").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the manifests are read");
    let page = get(address, "/metrics").await;
    assert!(page.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{page}");
    assert!(page.contains("lunette_node_info{version="), "{page}");
    let not_yet = Exporter::new(agent.exporter.context(), watch::channel(View::default()).1);
    let reply = get(served(Arc::new(not_yet)).await, "/readyz").await;
    assert!(reply.contains("503") && reply.contains("not yet known"), "{reply}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_writes_at_their_limit_all_come_to_their_end() {
    let bed = Bed::with_pool();
    bed.put("db.yaml", &manifest("db", "size: 4Mi, qos: {bytesPerSecond: 32Mi, burstSeconds: 1}"));
    let agent = bed.agent();
    agent.until_ready().await;
    write_much(&bed);
    agent.stop().await;
}

/// 40 MiB at depth 32.
fn write_much(bed: &Bed) {
    let mut rings = bed.rings.lock().unwrap();
    let ring = rings.values_mut().next().expect("a ring was opened");
    let write = |block: u8| Request::writing(&[0x2a, 0, 0, 0, block, 0, 0, 0, 128, 0], &[7; 65536]);
    for _ in 0..20 {
        let tags: Vec<_> = (0..32).map(|block| ring.submit(write(block % 16))).collect();
        for tag in tags {
            assert_eq!(ring.wait(tag, PATIENCE).expect("an answer").status, 0);
        }
    }
}
