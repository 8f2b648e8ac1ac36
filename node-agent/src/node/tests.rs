//! The node from a directory of manifests to configfs, a ring and files, with only the kernel played:
//! configfs by lio's `Fake`, each ring by tcmu's mock.

mod figures;
mod images;
mod life;
mod local;
mod removal;
mod snapshots;
mod succession;
mod trouble;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lunette_api::{Condition, Lun, conditions};
use lunette_lio::{Configfs, Fake, Iqn, IqnPrefix, Node as Place, Portal, Preflight};
use lunette_tcmu::DeviceError;
use lunette_tcmu::mock::{Completion, Config, Kernel as Ring, Request};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::handover::{self, Offers};
use crate::metrics::Exporter;
use crate::source::Manifests;
use crate::status::Entry;

/// Far longer than anything here takes: it ends a test that would hang, and decides nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// The initiator of most tests.
const CLIENT: &str = "iqn.2026-01.io.example:client";

/// Rings by the UIO device that stands for them.
type Rings = Arc<Mutex<BTreeMap<PathBuf, Ring>>>;

/// What outlives an agent: the kernel, the disk, the manifests.
struct Bed {
    dir: TempDir,
    configfs: Arc<Fake>,
    rings: Rings,
}

/// A directory whose files answer at once, however busy this machine's disk is.
fn memory() -> std::io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm")
}

/// An agent on it.
struct Agent {
    board: Arc<Board>,
    desk: Arc<Desk>,
    exporter: Arc<Exporter>,
    stop: watch::Sender<bool>,
    node: JoinHandle<Option<Baton>>,
    source: JoinHandle<()>,
    offers: Offers,
}

/// One that is not there yet.
struct Prepared {
    context: Arc<Context>,
    views: watch::Receiver<View>,
    served: mpsc::UnboundedReceiver<Served>,
    source: JoinHandle<()>,
}

impl Bed {
    fn new() -> Self {
        Self::on(memory().unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    fn on(dir: TempDir) -> Self {
        let bed = Self { dir, configfs: Arc::new(Fake::new()), rings: Arc::default() };
        for name in ["manifests", "pool", "state"] {
            std::fs::create_dir(bed.path(name)).unwrap();
        }
        bed
    }

    /// With a pool.
    fn with_pool() -> Self {
        Self::new().and_pool()
    }

    fn and_pool(self) -> Self {
        let bed = self;
        let path = bed.path("pool");
        bed.put(
            "pool.yaml",
            &format!(
                "{HEAD}kind: LunPool\nmetadata: {{name: files}}\nspec: {{directory: {{path: {}}}}}\n",
                path.display()
            ),
        );
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a manifest, whole at once as an editor does.
    fn put(&self, name: &str, text: &str) {
        let temporary = self.path("manifests").join(format!(".{name}"));
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, self.path("manifests").join(name)).unwrap();
    }

    fn take_away(&self, name: &str) {
        std::fs::remove_file(self.path("manifests").join(name)).unwrap();
    }

    fn agent(&self) -> Agent {
        self.agent_on(Arc::<Fake>::clone(&self.configfs))
    }

    fn agent_on(&self, configfs: Arc<dyn Configfs>) -> Agent {
        let Prepared { context, views, source, .. } = self.prepared(configfs);
        let (stop, stopped) = watch::channel(false);
        let (offers, successors) = handover::offers();
        let (board, desk) = (Arc::clone(&context.board), Arc::clone(&context.desk));
        let exporter = Arc::new(Exporter::new(Arc::clone(&context), views.clone()));
        let node = tokio::spawn(Node::new(context, successors).run(views, stopped));
        Agent { board, desk, exporter, stop, node, source, offers }
    }

    fn prepared(&self, configfs: Arc<dyn Configfs>) -> Prepared {
        let manifests = Manifests::new(self.path("manifests"), "here".to_owned(), &self.path("state")).unwrap();
        let (told, served) = mpsc::unbounded_channel();
        let context = Arc::new(Context {
            node: "here".to_owned(),
            portals: vec![Portal::parse("10.0.0.1:3260").unwrap()],
            configfs,
            preflight: Preflight::at(self.path("machine"), "6.1.0-1-amd64"),
            prefix: IqnPrefix::parse(lunette_api::identity::IQN_PREFIX).unwrap(),
            kernel: self.kernel(),
            source: Source::Manifests(manifests),
            board: Arc::new(Board::default()),
            pausers: Pausers::default(),
            foresight: Foresight::default(),
            desk: Arc::new(Desk::default()),
            machine: Machine::at(self.path("machine")),
            state_dir: self.path("state"),
            run_dir: self.path("run"),
            served: told,
        });
        let (sender, views) = watch::channel(View::default());
        let for_source = Arc::clone(&context);
        let source = tokio::spawn(async move {
            if let Source::Manifests(manifests) = &for_source.source {
                manifests.follow(&sender, &for_source.board).await;
            }
        });
        Prepared { context, views, served, source }
    }

    /// Opening a device opens its ring; what is in it stays.
    fn kernel(&self) -> Kernel {
        let (rings, configfs) = (Arc::clone(&self.rings), Arc::clone(&self.configfs));
        Kernel::played(move |device: &Path| {
            let minor: u32 = device.to_str().and_then(|path| path.strip_prefix("/dev/uio")).unwrap().parse().unwrap();
            let devices = configfs.uio_devices();
            let (_, name) = devices.into_iter().find(|(number, _)| *number == minor).ok_or(DeviceError::Removed)?;
            let mut rings = rings.lock().unwrap();
            let ring = rings.entry(device.to_owned()).or_insert_with(|| Ring::new(Config::default()));
            Ok(ring.claim_named(&name))
        })
    }

    /// Has the one LUN's ring answer a command.
    fn ask(&self, request: Request) -> Completion {
        let mut rings = self.rings.lock().unwrap();
        let ring = rings.values_mut().next().expect("a ring was opened");
        let tag = ring.submit(request);
        ring.wait(tag, PATIENCE).expect("an answer")
    }

    /// READ CAPACITY (10): blocks.
    fn blocks(&self) -> u32 {
        let answer = self.ask(Request::reading(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8));
        answer.data.first_chunk().map_or(0, |last| u32::from_be_bytes(*last) + 1)
    }

    fn files(&self) -> usize {
        let names = std::fs::read_dir(self.path("pool")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| !name.to_string_lossy().starts_with('.')).count()
    }

    /// What configfs holds of targets and backstores.
    fn objects(&self) -> Vec<String> {
        let objects = self.configfs.dump().into_keys();
        objects
            .filter(|path| ["core/user_", "iscsi/iqn", "loopback/naa"].iter().any(|ours| path.starts_with(ours)))
            .collect()
    }

    fn may_log_in(&self, lun: &Lun, initiator: &str) -> bool {
        let acl = Place::iscsi().child(iqn(lun).as_str()).child("tpgt_1/acls").child(initiator);
        self.configfs.list(&acl).is_ok()
    }
}

impl Agent {
    /// Waits until a LUN is as `such` says.
    async fn until(&self, such: impl Fn(&Lun) -> bool) -> Lun {
        let found = async {
            loop {
                let entries = self.board.entries().into_iter();
                let mut luns = entries.map(|Entry { lun, status }| Lun { status: Some(status), ..Lun::clone(&lun) });
                match luns.find(|lun| such(lun)) {
                    Some(lun) => return lun,
                    None => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(lun) => lun,
            Err(_) => panic!("it never came to that; the board says {:#?}", self.board.entries()),
        }
    }

    async fn until_ready(&self) -> Lun {
        self.until(is_ready).await
    }

    /// Waits until a LUN is in trouble for that reason: the message.
    async fn until_trouble(&self, reason: &str) -> String {
        let lun =
            self.until(|lun| ready(lun).is_some_and(|ready| ready.status == "False" && ready.reason == reason)).await;
        ready(&lun).unwrap().message
    }

    async fn until_gone(&self) {
        let gone = async {
            while !self.board.entries().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("it stays: {:#?}", self.board.entries()));
    }

    /// Stops it as SIGTERM does, and waits for its end.
    async fn stop(self) {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.node).await.expect("it stops").unwrap();
        self.source.abort();
    }
}

const HEAD: &str = "apiVersion: lunette.io/v1alpha1\n";

/// A manifest of a LUN that [`CLIENT`] may log in to.
fn manifest(name: &str, spec: &str) -> String {
    format!(
        "{HEAD}kind: Lun\nmetadata: {{name: {name}}}\nspec: {{pool: files, initiators: [{{iqn: {CLIENT}}}], {spec}}}\n"
    )
}

fn ready(lun: &Lun) -> Option<Condition> {
    conditions::find(&lun.status.as_ref()?.conditions, conditions::READY).cloned()
}

fn is_ready(lun: &Lun) -> bool {
    ready(lun).is_some_and(|ready| ready.status == "True" && ready.observed_generation == lun.metadata.generation)
}

fn iqn(lun: &Lun) -> Iqn {
    let target = lun.status.as_ref().and_then(|status| status.target.as_ref());
    target.and_then(|target| target.iqn.as_ref()).expect("a target").parse().unwrap()
}
