//! From one agent to the next, both alive: the ring is never reset, and nobody serves a LUN twice or not at all.

use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::*;
use crate::handover::{Lost, Succession, When};

/// More than are handed over at a time.
const LUNS: usize = 11;

async fn crowd() -> (Bed, Agent) {
    let bed = Bed::with_pool();
    for n in 0..LUNS {
        bed.put(&format!("lun-{n}.yaml"), &manifest(&format!("lun-{n}"), "size: 1Mi"));
    }
    let agent = bed.agent();
    all_ready(&agent).await;
    (bed, agent)
}

async fn all_ready(agent: &Agent) {
    let ready = async {
        while agent.board.entries().iter().filter(|entry| is_well(entry)).count() < LUNS {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("all LUNs are served");
}

fn is_well(entry: &Entry) -> bool {
    is_ready(&Lun { status: Some(entry.status.clone()), ..Lun::clone(&entry.lun) })
}

impl Bed {
    /// Has every ring answer a write, and a read of what was written.
    fn ask_all(&self, byte: u8) {
        assert_eq!(self.rings.lock().unwrap().len(), LUNS);
        let write = Request::writing(&[0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0], &[byte; 512]);
        let read = Request::reading(&[0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], 512);
        assert!(self.all_answer(&write).iter().all(|answer| answer.status == 0));
        assert!(self.all_answer(&read).iter().all(|answer| answer.data == [byte; 512]));
    }

    /// What each ring answers. The rings are not held meanwhile: an agent may be about to open one.
    fn all_answer(&self, request: &Request) -> Vec<Completion> {
        let submit = |ring: &mut Ring| ring.submit(request.clone());
        let mut open: Vec<_> = {
            let mut rings = self.rings.lock().unwrap();
            rings.iter_mut().map(|(path, ring)| (path.clone(), submit(ring))).collect()
        };
        let (mut answers, deadline) = (Vec::new(), std::time::Instant::now() + PATIENCE);
        while !open.is_empty() {
            assert!(std::time::Instant::now() < deadline, "{} rings do not answer", open.len());
            let mut rings = self.rings.lock().unwrap();
            open.retain(|(path, tag)| {
                let ring = rings.get_mut(path).expect("it stays");
                ring.handle_kick();
                let answer = ring.take(*tag);
                let is_open = answer.is_none();
                answers.extend(answer);
                is_open
            });
            drop(rings);
            std::thread::yield_now();
        }
        answers
    }

    /// Where each ring's tail is: not at 0, where a reset would put it.
    fn tails(&self) -> Vec<(PathBuf, u32)> {
        self.rings.lock().unwrap().iter().map(|(path, ring)| (path.clone(), ring.tail())).collect()
    }
}

/// The successor's end of a connection to the predecessor's socket.
async fn introduced(offers: &Offers) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let offers = offers.clone();
    tokio::spawn(async move { offers.introduce(ours, None).await });
    theirs
}

/// One that knows what is wanted and what there is.
async fn heir(bed: &Bed) -> Prepared {
    let mut heir = bed.prepared(Arc::<Fake>::clone(&bed.configfs));
    heir.views.changed().await.unwrap();
    let view = heir.views.borrow().clone();
    foresee(&heir.context, &view).await;
    heir
}

/// One who prepares, and takes over as soon as `begun`; the agent that it has become, once `old` has handed over.
async fn succeeded(bed: &Bed, old: Agent, begun: impl Future<Output = Succession>) -> Agent {
    takes_over(heir(bed).await, old, begun).await
}

async fn takes_over(mut heir: Prepared, old: Agent, begun: impl Future<Output = Succession>) -> Agent {
    let succession = begun.await;
    let (shown, view) = watch::channel(View::default());
    let (stop, stopped) = watch::channel(false);
    let (offers, successors) = handover::offers();
    let (board, desk) = (Arc::clone(&heir.context.board), Arc::clone(&heir.context.desk));
    let node = tokio::spawn(Node::new(Arc::clone(&heir.context), successors).run(view, stopped));
    let pass = async { old.node.await.unwrap().expect("all is handed over").pass().await.unwrap() };
    let (succeeded, _) = tokio::join!(succession.run(&mut heir.views, &shown, &mut heir.served), pass);
    succeeded.unwrap();
    old.source.abort();
    let exporter = Arc::new(Exporter::new(Arc::clone(&heir.context), heir.views.clone()));
    Agent { board, desk, exporter, stop, node, source: heir.source, offers }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_goes_on_with_every_ring_at_its_tail() {
    let (bed, old) = crowd().await;
    bed.ask_all(1);
    let before = bed.tails();
    let offers = old.offers.clone();
    let new =
        succeeded(&bed, old, async { Succession::ask_over(introduced(&offers).await, When::Now).await.unwrap() }).await;
    assert_eq!(bed.tails(), before, "no ring was reset");
    all_ready(&new).await;
    bed.ask_all(2);
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lun_that_is_not_as_it_was_foreseen_is_looked_at_again() {
    let (bed, old) = crowd().await;
    bed.ask_all(1);
    let before = bed.tails();
    let heir = heir(&bed).await;
    let uids: Vec<Uid> = bed.configfs.uio_devices().iter().map(|(_, name)| owner(name)).collect();
    for uid in &uids {
        let mut standing = heir.context.foresight.take(uid).expect("it was looked at");
        standing.found.hba.number = standing.found.hba.number.next();
        heir.context.foresight.put(uid, standing);
    }
    let (context, offers) = (Arc::clone(&heir.context), old.offers.clone());
    let begun = async { Succession::ask_over(introduced(&offers).await, When::Now).await.unwrap() };
    let new = takes_over(heir, old, begun).await;
    assert!(uids.iter().all(|uid| context.foresight.take(uid).is_none()), "nothing is believed twice");
    assert_eq!(bed.tails(), before, "no ring was reset");
    all_ready(&new).await;
    bed.ask_all(2);
    new.stop().await;
}

/// The UID at the end of the name that the kernel gives a UIO device.
fn owner(name: &str) -> Uid {
    Uid::parse(name.rsplit('/').next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_stands_by_goes_on_when_the_agent_is_told_to_stop() {
    let (bed, old) = crowd().await;
    bed.ask_all(1);
    let before = bed.tails();
    let two = [introduced(&old.offers).await, introduced(&old.offers).await];
    let two = two.map(|stream| tokio::spawn(Succession::ask_over(stream, When::AtItsEnd)));
    let (one, _, mut other) = futures::future::select_all(two).await;
    assert!(matches!(one.unwrap(), Err(Lost::Refused(_))), "one is enough");
    let waiting = other.remove(0);
    bed.ask_all(2);
    assert!(!waiting.is_finished(), "the agent serves");
    old.stop.send_replace(true);
    let new = succeeded(&bed, old, async { waiting.await.unwrap().unwrap() }).await;
    bed.ask_all(3);
    assert!(bed.tails() != before && bed.tails().iter().all(|(_, tail)| *tail > 0), "no ring was reset");
    all_ready(&new).await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_told_to_stop_does_so_though_one_who_stood_by_is_gone() {
    let (bed, old) = crowd().await;
    let mut wire = introduced(&old.offers).await;
    wire.write_all(b"stand-by 1 0.0.0\n").await.unwrap();
    drop(wire);
    bed.ask_all(1);
    old.stop().await;
}

/// A successor that goes as far as `says` makes it, and is lost then.
async fn lost(agent: &Agent, says: impl AsyncFnOnce(&mut BufReader<UnixStream>)) {
    let mut wire = BufReader::new(introduced(&agent.offers).await);
    wire.write_all(b"succeed 1 0.0.0\n").await.unwrap();
    says(&mut wire).await;
}

async fn hear(wire: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    timeout(PATIENCE, wire.read_line(&mut line)).await.expect("a line").unwrap();
    line.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_dies_at_any_word_leaves_the_old_agent_serving() {
    let (bed, old) = crowd().await;
    for words in 0..5_u8 {
        lost(&old, async |wire| {
            for _ in 0..words {
                hear(wire).await;
            }
        })
        .await;
        bed.ask_all(words);
    }
    all_ready(&old).await;
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_cannot_serve_a_lun_gets_none() {
    let (bed, old) = crowd().await;
    lost(&old, async |wire| {
        assert_eq!(hear(wire).await, "go");
        let take = hear(wire).await;
        let uid = take.strip_prefix("take ").expect("a LUN").to_owned();
        wire.write_all(format!("cannot {uid} no such storage here\n").as_bytes()).await.unwrap();
        let mut rest = String::new();
        timeout(PATIENCE, wire.read_to_string(&mut rest)).await.expect("it is cut off").unwrap();
        assert!(!rest.contains("yours"), "{rest}");
    })
    .await;
    bed.ask_all(1);
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_of_another_protocol_is_refused_at_once() {
    let (bed, old) = crowd().await;
    let mut wire = BufReader::new(introduced(&old.offers).await);
    wire.write_all(b"succeed 999 9.9.9\n").await.unwrap();
    let no = hear(&mut wire).await;
    assert_eq!(no, "no this agent hands over by protocol 1: stop it and start the other");
    bed.ask_all(1);
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_ends_when_its_predecessor_is_lost() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let predecessor = tokio::spawn(async move {
        let mut wire = BufReader::new(ours);
        hear(&mut wire).await;
        wire.write_all(b"go\ntake some-lun\n").await.unwrap();
    });
    let succession = Succession::ask_over(theirs, When::Now).await.unwrap();
    predecessor.await.unwrap();
    let (_views, mut wanted) = watch::channel(View::default());
    let (shown, _view) = watch::channel(View::default());
    let (_told, mut served) = mpsc::unbounded_channel();
    let outcome = succession.run(&mut wanted, &shown, &mut served).await;
    assert!(matches!(outcome, Err(Lost::Gone)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lun_that_was_deleted_meanwhile_is_no_obstacle() {
    let (bed, old) = crowd().await;
    let mut heir = bed.prepared(Arc::<Fake>::clone(&bed.configfs));
    heir.views.changed().await.unwrap();
    let mut view = heir.views.borrow().clone();
    view.luns.pop_first();
    let (_sender, mut views) = watch::channel(view);
    let succession = Succession::ask_over(introduced(&old.offers).await, When::Now).await.unwrap();
    let (shown, view) = watch::channel(View::default());
    let (stop, stopped) = watch::channel(false);
    let (_offers, successors) = handover::offers();
    let node = tokio::spawn(Node::new(Arc::clone(&heir.context), successors).run(view, stopped));
    let pass = async { old.node.await.unwrap().expect("all is handed over").pass().await.unwrap() };
    let (succeeded, _) = tokio::join!(succession.run(&mut views, &shown, &mut heir.served), pass);
    succeeded.unwrap();
    assert_eq!(heir.context.board.entries().len(), LUNS - 1);
    stop.send_replace(true);
    assert!(timeout(PATIENCE, node).await.unwrap().unwrap().is_none());
    old.source.abort();
    heir.source.abort();
}
